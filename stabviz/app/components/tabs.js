export function render({ model, el }) {
  dress(model, el)
  const send = sender(model)
  let value = model.value
  const list = h("div", { role: "tablist", "aria-label": "Parts of the page", onkeydown: e => {
    const d = { ArrowRight: 1, ArrowLeft: -1 }[e.key]
    if (!d) return
    const slugs = model.tabs.map(t => t.slug), next = slugs[(slugs.indexOf(value) + d + slugs.length) % slugs.length]
    open(next)
    list.children[slugs.indexOf(next)].focus()
  } })
  el.replaceChildren(h("div", { class: "tabs" }, list))
  const open = slug => { value = slug; show(); send("tab", { slug }) }
  const show = () => {
    [...list.children].forEach((b, i) => {
      const on = model.tabs[i].slug === value
      b.setAttribute("aria-selected", on)
      b.tabIndex = on ? 0 : -1
    })
    document.querySelectorAll("[data-pane]").forEach(p => { p.hidden = p.dataset.pane !== value })
  }
  const draw = () => {
    list.replaceChildren(...model.tabs.map(t => h("button", { type: "button", role: "tab", onclick: () => open(t.slug) }, t.title)))
    show()
  }
  draw()
  model.on("tabs", draw)
  model.on(["value", "seen"], () => { if (send.fresh()) { value = model.value; show() } })
}
