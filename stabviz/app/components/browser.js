export function render({ model }) {
  const send = sender(model), visible = new Set(), bin = []
  const listen = (target, event, fn) => { target.addEventListener(event, fn); bin.push(() => target.removeEventListener(event, fn)) }
  const address = query => location.pathname + query + location.hash
  const typing = e => e.composedPath().some(x => /^(INPUT|TEXTAREA|SELECT|DIALOG)$/.test(x.tagName) && !/^(range|checkbox|radio)$/.test(x.type) || x.isContentEditable)

  // When the figures have drawn what was sent up to a beat: they do so in an animation frame, at the latest in the next one.
  model.on("beat", () => {
    const beat = model.beat
    requestAnimationFrame(() => requestAnimationFrame(() => model.send_msg({ event: "drawn", beat })))
  })
  if (model.guest) {
    listen(document, "visibilitychange", () => send("awake", { on: !document.hidden }))
    send("here")
    model.on("remove", () => bin.forEach(off => off()))
    return
  }
  model.on("query", () => { if (location.search !== model.query) history.replaceState({}, "", address(model.query)) })
  if (/^[?]run=/.test(location.search) && model.query) history.replaceState({}, "", address(model.query)) // a run by its name: the link says what it is
  model.on("msg:custom", data => {
    if (data.do === "reload") location.reload()
    if (data.do === "save") fetch(`data:application/octet-stream;base64,${data.content}`).then(r => r.blob()).then(blob => saveAs(data.name, blob))
    if (data.do === "push") history.pushState({}, "", address(data.query))
  })
  listen(window, "popstate", () => send("back", { query: location.search }))
  listen(window, "keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.repeat || typing(e)) return
    if (!model.keys.includes(e.key)) return
    e.preventDefault()
    if (e.key === "k") document.dispatchEvent(new CustomEvent("stabviz:kick"))  // the controls know which kick, and how hard
    else send("key", { key: e.key })
  })
  listen(document, "stabviz:theme", e => send("theme", { name: e.detail }))
  listen(document, "visibilitychange", () => send("awake", { on: !document.hidden }))
  const tell = throttle(() => send("views", { slugs: [...visible] }), 100)
  listen(document, "stabviz:visible", e => { visible[e.detail.on ? "add" : "delete"](e.detail.slug); tell() })
  for (const [slug, on] of window.__stabviz_visible || []) if (on) visible.add(slug)
  if (visible.size) tell()
  const theme = document.documentElement.dataset.theme || "light"
  if (theme !== model.theme) send("theme", { name: theme })
  // What was kept free while parts were on their way is theirs now: a view that is left out leaves no gap.
  const settle = () => {
    if (!window.Bokeh?.documents[0]?.is_idle) return void setTimeout(settle, 200)
    setTimeout(() => document.querySelectorAll("[style*=--reserve]").forEach(el => el.style.setProperty("--reserve", "0px")), 500)
  }
  settle()
  send("here") // until now the page was on its way, and changes of it could overtake it
  document.documentElement.dataset.hears = "keys" // what drives the page by keys waits for this
  model.on("remove", () => { bin.forEach(off => off()); delete document.documentElement.dataset.hears })
}
