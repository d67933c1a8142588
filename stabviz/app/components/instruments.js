export function render({ model, el }) {
  dress(model, el)
  const send = sender(model), grid = h("div", { class: "bench" })
  el.replaceChildren(grid)
  const note = h("p", { class: "fine", role: "status" })
  const show = () => grid.replaceChildren(...model.items.map(item => {
    const on = model.at_work.includes(item.word)
    const press = h("button", { class: on ? "btn" : "btn main", type: "button", disabled: !!item.why, onclick: () => send(on ? "drop" : "take", { word: item.word }) },
      on ? "Take it off" : "Measure")
    return h("section", { class: "card pad", "aria-label": item.title }, h("h3", {}, item.title), h("p", { class: "fine" }, item.doc),
      item.here && !item.why ? note : "",
      item.why ? h("p", { class: "fine bad" }, item.why) : h("div", { class: "acts" }, press,
        item.here ? h("button", { class: "btn", type: "button", onclick: () => send("here") }, "At the moment shown") : ""))
  }))
  const tell = () => set(note, model.note)
  show(); tell()
  model.on("note", tell)
  model.on(["items", "at_work"], show)
}
