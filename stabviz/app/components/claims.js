const MARKS = {
  holds: ["M2 6.5l3 3 5-6", "holds"], fails: ["M2.5 2.5l7 7m0-7l-7 7", "does not hold"],
  open: ["M6 1.5a4.5 4.5 0 1 0 .01 0z", "open"], running: ["M6 1.5a4.5 4.5 0 0 1 4.5 4.5", "is being decided"], shown: ["M2 6h8", "shown only"],
}

function claimCard(send) {
  const path = h("path"), mark = h("span", { class: "m", role: "img" }, h("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, path))
  const statement = h("span"), kind = h("span", { class: "kind" })
  const pair = name => { const b = h("b"); return { b, el: h("span", {}, `${name} `, b) } }
  const paper = pair("paper"), here = pair("here"), reason = h("span"), tolerance = h("span")
  let slug = ""
  const act = h("button", { class: "word", type: "button", onclick: () => send("act", { slug }) })
  const fill = h("b"), line = h("div", { class: "line", role: "progressbar" }, fill)
  const el = h("div", { class: "claim", role: "listitem" }, mark, h("div", { class: "q" }, statement, " ", kind),
    h("div", { class: "d" }, paper.el, here.el, tolerance, reason, act), line)
  const put = (node, text, box = node) => { html(node, text); box.hidden = !text }
  return {
    el,
    show: c => {
      slug = c.slug
      const [d, name] = MARKS[c.mark] || MARKS.open
      path.setAttribute("d", d)
      mark.className = `m ${c.mark}`
      mark.setAttribute("aria-label", name)
      html(statement, c.statement)
      statement.title = c.source || ""
      put(kind, c.kind)
      put(paper.b, c.paper, paper.el)
      put(here.b, c.measured, here.el)
      put(tolerance, c.tolerance)
      put(reason, c.reason)
      set(act, c.action)
      act.hidden = !c.action
      act.disabled = c.mark === "running"
      line.hidden = c.progress === null || c.progress === undefined
      line.className = `line ${c.progress < 0 ? "busy" : ""}`
      if (!line.hidden) fill.style.width = `${c.progress * 100}%`
    },
  }
}

export function render({ model, el }) {
  dress(model, el)
  const send = sender(model), made = new Map()
  const title = h("span"), tally = h("span", { class: "tally" })
  const list = h("div", { class: "card claimlist", role: "list" }, h("p", { class: "cap", role: "presentation" }, title, tally))
  el.replaceChildren(list)
  const show = () => {
    set(title, model.title)
    const decided = model.cards.filter(c => ["holds", "fails"].includes(c.mark)), n = decided.filter(c => c.mark === "holds").length
    set(tally, decided.length ? `${n} of ${decided.length} hold` : "")
    const slugs = model.cards.map(c => c.slug)
    for (const [slug, card] of made) if (!slugs.includes(slug)) { card.el.remove(); made.delete(slug) }
    model.cards.forEach((c, i) => {
      if (!made.has(c.slug)) made.set(c.slug, claimCard(send))
      const card = made.get(c.slug)
      card.show(c)
      card.el.classList.toggle("here", c.slug === model.here)
      if (list.children[i + 1] !== card.el) list.insertBefore(card.el, list.children[i + 1] || null)
    })
  }
  show()
  model.on(["cards", "title"], show)
}
