export function render({ model, el }) {
  dress(model, el)
  const send = sender(model), style = h("style"), card = h("section", { class: "card pad compare", "aria-label": "Comparison" })
  style.textContent = model.sheet
  el.replaceChildren(style, card)
  let mine = { ...model.how }
  const change = part => { mine = { ...mine, ...part }; send("set", { how: mine }) }
  const pick = (name, options, label) => h("label", {}, label, h("select", { class: "pick", "aria-label": label, onchange: e => { change({ [name]: e.target.value }); if (name === "align") draw() } },
    options.map(([v, t]) => h("option", { value: v, selected: v === mine[name] }, t))))
  const suggestions = h("datalist", { id: "events" }, ["touched", "end", "diverged", "loss<0.1"].map(v => h("option", { value: v })))
  const out = h("output"), note = h("p", { class: "fine note", role: "status" })
  const unit = v => model.unit === "step" ? `step ${count(v)}` : `${model.unit} ${short(v, 4)}`
  const scrub = throttle(moment => change({ moment }), 120)
  let typing = false, waiting = false // what is being typed is not taken away by an answer to something else
  const draw = () => {
    if (waiting = typing) return
    const several = model.runs.length > 0
    card.hidden = !several
    if (!several) return void card.replaceChildren()
    const last = model.moments.length - 1, at = mine.moment < 0 ? last : Math.min(mine.moment, last)
    const range = h("input", { type: "range", min: 0, max: last, value: at, "aria-label": "moment shown", oninput: () => { show(+range.value); scrub(+range.value === last ? -1 : +range.value) } })
    const show = i => { set(out, unit(model.moments[i] ?? 0)); range.style.setProperty("--p", `${100 * i / Math.max(1, last)}%`) }
    show(at)
    card.replaceChildren(
      h("div", { class: "top" }, h("h2", {}, `${model.runs.length} runs compared`),
        pick("align", [["step", "by step"], ["time", "by physical time"], ["event", "from an event on"]], "Aligned"),
        mine.align === "event" ? h("label", {}, "Event", h("input", { class: "box", list: "events", value: mine.event, placeholder: "touched, end, loss<0.1", onfocus: () => { typing = true }, oninput: () => { typing = true }, onchange: e => { typing = false; change({ event: e.target.value.trim() }) }, onblur: () => { typing = false; if (waiting) draw() } }), suggestions) : null,
        model.views.length > 1 ? pick("view", [["", "all views"], ...model.views.map(v => [v.slug, v.title])], "Show") : null,
        h("button", { class: "btn small", type: "button", onclick: () => send("close") }, "End comparison")),
      h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Only what differs"), model.runs.map(r => h("th", { scope: "col" },
        h("span", { class: "swatch", style: `background:var(--${r.color})` }), h("a", { href: `?run=${r.id}` }, r.name))))),
        h("tbody", {}, model.table.map(([name, ...values]) => h("tr", {}, h("th", { scope: "row" }, name), values.map(v => h("td", {}, v === "" ? "–" : v))))))),
      model.moments.length > 1 ? h("div", { class: "scrubline" }, "Moment", range, out) : "", note)
    set(note, model.note)
    note.hidden = !model.note
  }
  draw()
  let before = model.runs.length
  model.on("runs", () => { if (!before && model.runs.length) setTimeout(() => card.scrollIntoView({ block: "nearest", behavior: "smooth" }), 100); before = model.runs.length })
  model.on(["runs", "table", "views", "moments", "unit"], draw)
  model.on("how", () => { if (send.fresh()) { mine = { ...model.how }; draw() } })
  model.on("note", () => { set(note, model.note); note.hidden = !model.note })
  model.on("remove", () => scrub.cancel())
}
