const ICON = "M2 6V2h4M14 6V2h-4M2 10v4h4M14 10v4h-4"

// The clipboard where the browser lets us; over plain HTTP a selected field and the old command.
async function copyText(text) {
  try { await navigator.clipboard.writeText(text); return true } catch { /* not a secure context, or refused */ }
  const field = h("textarea", { style: "position:fixed;opacity:0", "aria-hidden": "true" })
  field.value = text
  const around = document.querySelector("dialog[open]") || document.body // a dialog makes what is outside of it inert
  around.append(field)
  field.select()
  const ok = document.execCommand("copy")
  field.remove()
  return ok
}

export function render({ model, el }) {
  dress(model, el)
  const send = sender(model)
  const said = h("p", { class: "fine said", role: "status" })
  const copier = (title, text) => h("button", { class: "btn small", type: "button", onclick: async () => {
    set(said, await copyText(text()) ? `${title} copied.` : "The browser does not let us copy: select the text and copy it.")
  } }, `Copy ${title.toLowerCase()}`)

  const link = h("input", { class: "box address", readonly: true, "aria-label": "Link to this page", onfocus: () => link.select() })
  const showLink = () => { link.value = new URL(model.query || location.search, location.href).href; lesson.value = address() }
  const texts = h("div", {})
  const drawTexts = () => texts.replaceChildren(...model.texts.map(t => h("section", {},
    h("h3", {}, t.title), h("pre", { tabindex: 0, "aria-label": t.title }, h("code", {}, t.text)), copier(t.title, () => t.text))))

  // A link for a class: this page's, and what the marks below say.
  let hide = new Set(), lock = new Set(), layout = ""
  const lesson = h("input", { class: "box address", readonly: true, "aria-label": "Link for a class", onfocus: () => lesson.select() })
  const address = () => {
    const url = new URL(model.query || location.search, location.href)
    for (const [word, text] of [["hide", [...hide].join(",")], ["lock", [...lock].join(",")], ["layout", layout]]) {
      if (text) url.searchParams.set(word, text)
      else url.searchParams.delete(word)
    }
    return url.href.replaceAll("%2C", ",")
  }
  const frame = () => `<iframe src="${address().replaceAll("&", "&amp;")}" width="100%" height="720" style="border:0" allow="fullscreen; clipboard-write"></iframe>`
  const mark = (of, name, label) => {
    const box = h("input", { type: "checkbox", onchange: () => { of[box.checked ? "add" : "delete"](name); lesson.value = address() } })
    box.checked = of.has(name)
    return h("label", { class: "mark" }, box, label)
  }
  const marks = h("div", {})
  const drawMarks = () => {
    const pick = h("select", { class: "pick", "aria-label": "Layout", onchange: () => { layout = pick.value; lesson.value = address() } }, model.layouts.map(([word, title]) => h("option", { value: word }, title)))
    pick.value = layout
    marks.replaceChildren(
      h("p", { class: "fine" }, "Leave out"), h("div", { class: "marks" }, model.parts.map(([word, title]) => mark(hide, word, title))),
      h("p", { class: "fine" }, "Keep as they are"), h("div", { class: "marks" }, mark(lock, "all", "all controls"), mark(lock, "preset", "the preset"), mark(lock, "seed", "the seed")),
      h("details", {}, h("summary", { class: "more" }, "Single controls"), h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "control"), h("th", {}, "leave out"), h("th", {}, "keep"))),
        h("tbody", {}, model.controls.map(([name, label]) => h("tr", {}, h("td", {}, label), h("td", {}, mark(hide, name, h("span", { class: "hush" }, `leave out ${label}`))), h("td", {}, mark(lock, name, h("span", { class: "hush" }, `keep ${label}`)))))))),
      h("p", { class: "fine" }, "Layout"), pick)
    lesson.value = address()
  }
  const close = h("button", { class: "btn small", type: "button", onclick: () => dialog.close() }, "Close")
  const dialog = h("dialog", { class: "share", "aria-label": "Share", onclick: e => { if (e.target === dialog) dialog.close() } },
    h("div", { class: "top" }, h("h2", {}, "Share"), said, close),
    h("section", {}, h("h3", {}, "This page"), link, copier("Link", () => link.value)), texts,
    h("section", {}, h("h3", {}, "For a class"), marks, lesson, h("div", { class: "acts" }, copier("Class link", address), copier("Frame", frame))))
  const open = () => {
    set(said, "")
    showLink();
    ({ hide, lock, layout } = { hide: new Set(model.lesson.hide), lock: new Set(model.lesson.lock), layout: model.lesson.layout })
    drawMarks()
    send("open")
    dialog.showModal()
  }
  const wall = h("button", { class: "icon", type: "button", title: "Only the views, full screen (key p)", "aria-label": "Only the views, full screen", onclick: () => document.dispatchEvent(new CustomEvent("stabviz:wall")) },
    h("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, h("path", { d: ICON, fill: "none", stroke: "currentColor", "stroke-width": 1.4 })))
  el.replaceChildren(h("div", { class: "sharing" }, wall, h("button", { class: "btn small", type: "button", onclick: open }, "Share")), dialog)
  drawTexts()
  model.on("texts", drawTexts)
  model.on("query", showLink)
  model.on("controls", drawMarks)
}
