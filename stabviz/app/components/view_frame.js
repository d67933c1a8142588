let frames = 0
const WALL = 1.7 // a projector's views are so much higher

// The view of the figure inside an element, whatever shadow roots are between.
function figureIn(el) {
  const inside = node => { while (node && node !== el) node = node.parentNode || node.host; return node === el }
  for (const model of Bokeh.documents.flatMap(d => [...d._all_models.values()])) {
    const view = model.type === "Figure" ? Bokeh.index.find_one(model) : null
    if (view && inside(view.el)) return view
  }
  return null
}

// The figure as a file, on the colour of its card.
async function pictureOf(view, kind) {
  const sheet = getComputedStyle(document.documentElement).getPropertyValue("--sheet").trim()
  const layer = view.export(kind, true)
  if (kind === "svg") {
    const svg = new DOMParser().parseFromString(layer.ctx.get_serialized_svg(true), "image/svg+xml").documentElement
    const ground = svg.ownerDocument.createElementNS(svg.namespaceURI, "rect")
    for (const [k, v] of [["width", "100%"], ["height", "100%"], ["fill", sheet]]) ground.setAttribute(k, v)
    svg.prepend(ground)
    return new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" })
  }
  const canvas = h("canvas", { width: layer.canvas.width, height: layer.canvas.height }), draw = canvas.getContext("2d")
  draw.fillStyle = sheet
  draw.fillRect(0, 0, canvas.width, canvas.height)
  draw.drawImage(layer.canvas, 0, 0)
  return new Promise(done => canvas.toBlob(done, "image/png"))
}

export function render({ model, el }) {
  dress(model, el)
  const send = sender(model), id = `v${++frames}`
  const title = h("h3", { id }), sentence = h("p", { class: "sentence" }), empty = h("p", { class: "empty" })
  const slot = h("div", { class: "slot", role: "img", "aria-labelledby": id })
  const box = h("div", { class: "tablebox", hidden: true, tabindex: 0, role: "region", "aria-labelledby": id })
  const asData = h("button", { class: "word", type: "button", "aria-expanded": "false", onclick: () => {
    box.hidden = !box.hidden
    asData.setAttribute("aria-expanded", !box.hidden)
    send("table", { open: !box.hidden })
  } }, "Data")
  const take = kind => h("button", { class: "word", type: "button", title: `Save the picture as ${kind.toUpperCase()}`, onclick: async () => {
    const view = figureIn(slot)
    if (!view) return
    saveAs(`${new URLSearchParams(location.search).get("lab") || "view"}-${model.slug}.${kind}`, await pictureOf(view, kind))
  } }, kind.toUpperCase())
  const card = h("section", { class: "card view", "aria-labelledby": id }, title, h("div", { class: "take" }, take("png"), take("svg"), asData), sentence, slot, box)
  el.replaceChildren(card)

  const pane = model.pane ? model.get_child("pane") : null
  if (pane) slot.append(pane)
  slot.append(empty)
  const show = () => {
    set(title, model.title)
    html(sentence, model.sentence)
    sentence.title = sentence.textContent
    card.classList.toggle("wide", model.wide)
    slot.style.height = `${Math.round(model.slot * (document.documentElement.dataset.layout === "wall" ? WALL : 1))}px`
    slot.classList.toggle("stale", model.stale)
    slot.setAttribute("aria-description", sentence.textContent)
    set(empty, model.empty)
    empty.hidden = !model.empty
    if (pane) pane.style.visibility = model.empty ? "hidden" : ""
  }
  const cell = v => typeof v === "number" ? (Number.isInteger(v) ? count(v) : short(v, 5)) : v === null ? "" : String(v)
  const drawTable = () => {
    const t = model.table
    if (!t.columns) { box.replaceChildren(h("p", { class: "fine pad" }, "Reading the data.")); return }
    box.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, t.columns.map(c => h("th", { scope: "col" }, c)))),
      h("tbody", {}, t.rows.map(r => h("tr", {}, r.map(v => h("td", {}, cell(v))))))))
  }
  const seen = on => {
    (window.__stabviz_visible ??= new Map()).set(model.slug, on)
    document.dispatchEvent(new CustomEvent("stabviz:visible", { detail: { slug: model.slug, on } }))
  }
  const watch = new IntersectionObserver(entries => seen(entries.at(-1).isIntersecting), { rootMargin: "80px" })
  watch.observe(el)
  document.addEventListener("stabviz:layout", show)
  show(); drawTable()
  model.on(["title", "sentence", "slot", "wide", "empty", "stale"], show)
  model.on("table", drawTable)
  model.on("remove", () => { document.removeEventListener("stabviz:layout", show); watch.disconnect(); seen(false) })
}
