let frames = 0

export function render({ model, el }) {
  dress(model, el)
  const send = sender(model), id = `v${++frames}`
  const title = h("h3", { id }), sentence = h("p", { class: "sentence" }), empty = h("p", { class: "empty" })
  const slot = h("div", { class: "slot", role: "img", "aria-labelledby": id })
  const box = h("div", { class: "tablebox", hidden: true, tabindex: 0, role: "region", "aria-labelledby": id })
  const asData = h("button", { class: "word asdata", type: "button", "aria-expanded": "false", onclick: () => {
    box.hidden = !box.hidden
    asData.setAttribute("aria-expanded", !box.hidden)
    send("table", { open: !box.hidden })
  } }, "Data")
  const card = h("section", { class: "card view", "aria-labelledby": id }, title, asData, sentence, slot, box)
  el.replaceChildren(card)

  const pane = model.pane ? model.get_child("pane") : null
  if (pane) slot.append(pane)
  slot.append(empty)
  const show = () => {
    set(title, model.title)
    html(sentence, model.sentence)
    sentence.title = sentence.textContent
    card.classList.toggle("wide", model.wide)
    slot.style.height = `${model.slot}px`
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
  show(); drawTable()
  model.on(["title", "sentence", "slot", "wide", "empty", "stale"], show)
  model.on("table", drawTable)
  model.on("remove", () => { watch.disconnect(); seen(false) })
}
