export function render({ model, el }) {
  dress(model, el)
  const box = h("div", {})
  el.replaceChildren(box)
  const show = () => html(box, model.object)
  show()
  model.on("object", show)
}
