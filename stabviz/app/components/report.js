export function render({ model, el }) {
  dress(model, el)
  const send = sender(model), note = h("span", { class: "fine", role: "status" })
  const press = h("button", { class: "btn", type: "button", onclick: () => send("build"), title: "One HTML file that opens without a network" })
  el.replaceChildren(h("div", { class: "sweepgo", style: "margin:0 0 12px" }, press, note))
  const show = () => {
    press.disabled = model.busy || !!model.why
    set(press, model.busy ? "Building the report" : "Report")
    set(note, model.busy ? "A few seconds; the run and the page go on." : model.why || model.note)
  }
  const save = () => {
    if (!model.file.text) return
    saveAs(model.file.name, new Blob([model.file.text], { type: "text/html" }))
    send("saved")
  }
  show(); save()
  model.on(["busy", "why", "note"], show)
  model.on("file", save)
}
