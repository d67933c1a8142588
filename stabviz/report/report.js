// A report in the browser: puts Bokeh's figures on the page and moves them through the moments that are kept. Nothing is fetched.
(() => {
  const root = document.documentElement, data = JSON.parse(document.getElementById("report-data").textContent)
  const one = (query, from = document) => from.querySelector(query), all = (query, from = document) => [...from.querySelectorAll(query)]
  const count = n => Math.round(n).toLocaleString("en-US")
  const trouble = text => { const p = one("#trouble"); p.textContent = text; p.hidden = false }

  // -- columns ---------------------------------------------------------------------------------------------------

  const unpack = async block => {
    const raw = atob(block), bytes = new Uint8Array(raw.length)
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i)
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))
    return new Uint8Array(await new Response(stream).arrayBuffer())
  }
  const numbers = (bytes, t) => { // the four bytes of each number lie apart
    const n = t.count, out = new Uint8Array(4 * n)
    for (let b = 0; b < 4; b++) for (let i = 0; i < n; i++) out[4 * i + b] = bytes[t.start + b * n + i]
    return t.kind === "i4" ? new Int32Array(out.buffer) : new Float32Array(out.buffer)
  }
  const open = (bytes, t) => {
    if (t.list) t.list.forEach(x => open(bytes, x))
    if (!t.kind) return
    t.values = numbers(bytes, t)
    if (!t.at) return
    const sizes = Array.isArray(t.sizes) ? t.sizes : null, most = Math.max(...t.at) + 1
    let sum = 0
    t.starts = Array.from({ length: most + 1 }, (_, i) => { const at = sizes ? sum : i * t.sizes; sum += sizes ? sizes[i] ?? 0 : 0; return at })
  }
  let NDArray = null // Bokeh's class for pictures, taken from the first one that it has made itself
  const take = (t, i) => {
    if (t.list) return t.list.map(x => take(x, i))
    if (t.json) return t.json[t.at[i]]
    if (t.n) return t.values.subarray(0, t.n[i])
    if (!t.at) return t.shape ? matrix(t.values, t.shape[0]) : t.values
    const k = t.at[i], part = t.values.subarray(t.starts[k], t.starts[k + 1])
    return t.shape ? matrix(part, t.shape[k]) : part
  }
  const matrix = (values, shape) => NDArray ? new NDArray(values, shape) : values

  // -- colours ---------------------------------------------------------------------------------------------------

  const theme = () => root.dataset.theme
  const turned = column => {
    if (!Array.isArray(column) || typeof column[0] !== "string") return column
    const map = theme() === "dark" ? data.dark : data.light
    return column.some(c => map[c]) ? column.map(c => map[c] ?? c) : column
  }
  const paint = figure => {
    if (!figure.view) return
    const doc = figure.view.model.document, side = theme() === "dark" ? 3 : 2
    for (const patch of figure.dark) doc.get_model_by_id(patch[0])?.setv({ [patch[1]]: patch[side] })
    for (const source of doc._all_models.values()) {
      if (source.type !== "ColumnDataSource") continue
      const changed = Object.entries(source.data).filter(([, c]) => turned(c) !== c)
      if (changed.length) source.data = { ...source.data, ...Object.fromEntries(changed.map(([k, c]) => [k, turned(c)])) }
    }
  }
  const setTheme = (name, keep) => {
    root.dataset.theme = name
    if (keep) try { localStorage.setItem("stabviz_theme", name) } catch { /* a browser that keeps nothing for files */ }
    figures.forEach(paint)
  }

  // -- figures ---------------------------------------------------------------------------------------------------

  const panels = [], figures = []
  const close = (a, b) => Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b), 1e-300)
  const follow = (figure, axis, want) => { // unless a person has moved it: a zoom survives every moment
    if (!want) return
    const range = figure.view.model[`${axis}_range`], last = figure.last[axis]
    if (last && !(close(range.start, last[0]) && close(range.end, last[1]))) return
    if (last && last[0] === want[0] && last[1] === want[1]) return
    figure.last[axis] = want
    range.setv({ start: want[0], end: want[1], reset_start: want[0], reset_end: want[1] })
  }
  const put = async (panel, figure) => {
    figure.last = {}
    const wide = figure.item.doc.roots[0].attributes.sizing_mode !== undefined
    figure.box = document.createElement("div")
    figure.box.className = wide ? "figure wide" : "figure"
    panel.slot.append(figure.box)
    const target = document.createElement("div")
    target.id = figure.item.target_id = `f${figures.length}`
    target.style.cssText = wide ? "width:100%;height:100%" : ""
    figure.box.append(target)
    figures.push(figure)
    const views = await Bokeh.embed.embed_item(figure.item, target)
    figure.view = (views.roots ?? views)[0] ?? [...views][0]
    const doc = figure.view.model.document
    for (const track of figure.tracks) track.model = doc.get_model_by_id(track.source ?? track.span)
    figure.line = doc.get_model_by_id(figure.line)
    for (const track of figure.tracks) {
      const first = track.model?.data?.image?.[0]
      if (first && !NDArray) NDArray = Float32Array === first.constructor ? null : Object.getPrototypeOf(first).constructor
    }
    figure.box.hidden = true
  }
  const move = (panel, i) => {
    if (panel.shown === i || !panel.figures.length || !panel.figures.every(f => f.view)) return
    panel.shown = i
    const one_only = panel.at.length === 1, j = one_only ? 0 : i, which = panel.at[j], figure = panel.figures[which]
    panel.figures.forEach((f, k) => { f.box.hidden = k !== which })
    const local = panel.local[j]
    for (const track of figure.tracks) {
      const columns = Object.entries(track.columns).map(([name, t]) => [name, take(t, local)])
      if (track.span) track.model.location = columns[0][1]
      else {
        const length = columns[0][1].length, old = Object.entries(track.model.data).filter(([, c]) => c.length === length)
        track.model.data = { ...Object.fromEntries(old), ...Object.fromEntries(columns.map(([k, c]) => [k, turned(c)])) }
      }
    }
    for (const axis of ["x", "y"]) follow(figure, axis, panel.ranges[axis][panel.ranges[axis].length === 1 ? 0 : j])
    if (panel.moments.length) figure.line.setv({ location: figure.log ? Math.max(panel.moments[i], panel.floor) : panel.moments[i], visible: i < panel.moments.length - 1 })
    if (panel.table) panel.table()
  }
  const join = group => { // the same view of several runs zooms together
    const several = panels.filter(p => p.group === group && p.figures.length === 1).map(p => p.figures[0])
    let busy = false
    for (const a of several) for (const axis of ["x", "y"]) {
      const range = a.view.model[`${axis}_range`]
      range.change.connect(() => {
        if (busy) return
        busy = true
        for (const b of several) if (b !== a) b.view.model[`${axis}_range`].setv({ start: range.start, end: range.end })
        busy = false
      })
    }
  }

  // -- the moment ------------------------------------------------------------------------------------------------

  let moment = data.at.length - 1, playing = null, due = false
  const visible = new Set()
  const range = one(".scrub input"), now = one(".scrub .now"), play = one("[data-do=play]")
  const place = panel => panel.keys ? panel.chosen ?? 0 : data.frames[panel.subject][moment]
  const say = () => {
    for (const panel of panels) {
      const text = panel.sentences[place(panel)] ?? ""
      if (panel.said !== text) { panel.said = text; panel.say.innerHTML = text; panel.say.title = panel.say.textContent }
    }
  }
  const draw = () => {
    due = false
    for (const panel of panels) if (visible.has(panel) || panel.shown === undefined) move(panel, place(panel))
  }
  const show = () => {
    const last = data.at.length - 1, p = `calc(8px + ${moment / Math.max(last, 1)} * (100% - 16px))`
    range.value = moment
    range.style.setProperty("--p", p)
    range.style.setProperty("--q", "100%")
    const words = data.words[moment]
    now.textContent = words
    now.title = words
    range.setAttribute("aria-valuetext", words)
    play.textContent = playing ? "Stop" : "Play"
    play.setAttribute("aria-pressed", String(!!playing))
    say()
    if (!due) { due = true; requestAnimationFrame(draw) }
  }
  const go = i => { moment = Math.max(0, Math.min(data.at.length - 1, i)); show() }
  const stop = () => { clearInterval(playing); playing = null; show() }
  const start = () => {
    if (moment >= data.at.length - 1) go(0)
    playing = setInterval(() => { if (moment >= data.at.length - 1) stop(); else go(moment + 1) }, Math.max(60, Math.min(250, 9000 / data.at.length)))
    show()
  }
  const marks = () => {
    let free = -1e9
    const wide = range.clientWidth || 600, last = Math.max(data.at.length - 1, 1)
    one(".scrub .marks").replaceChildren(...data.marks.map(m => {
      const b = document.createElement("button"), x = m.at / last * 100
      b.type = "button"
      b.className = m.kind
      b.tabIndex = -1
      b.style.left = `${x}%`
      b.title = m.title
      b.innerHTML = `<svg viewBox="0 0 12 16"><path d="${{ kick: "M6 0l5 8-5 8-5-8z", set: "M1 4h10v8h-10z", stop: "M6 1l5.5 7-5.5 7-5.5-7z" }[m.kind] ?? ""}"/></svg>`
      if ((x - free) / 100 * wide > 12 + 6 * m.label.length && x / 100 * wide + 14 + 6 * m.label.length < wide) { free = x; b.append(m.label) }
      b.addEventListener("click", () => { clearInterval(playing); playing = null; go(Math.round(m.at)) })
      return b
    }))
  }

  // -- tables, copies, keys --------------------------------------------------------------------------------------

  const cell = v => typeof v === "number" ? String(+v.toPrecision(6)) : v === null || v === undefined ? "" : String(v)
  const table = (panel, box) => {
    const doc = panel.figures[panel.at[panel.at.length === 1 ? 0 : panel.shown]].view.model.document
    const flat = [...doc._all_models.values()].filter(m => m.type === "ColumnDataSource").map(m => Object.entries(m.data).filter(([, c]) => c.length && (typeof c[0] !== "object" || c[0] === null)))
    const columns = flat.sort((a, b) => (b[0]?.[1].length ?? 0) - (a[0]?.[1].length ?? 0))[0] ?? []
    const made = document.createElement("table"), head = made.createTHead().insertRow(), n = columns[0]?.[1].length ?? 0, each = Math.max(1, Math.ceil(n / 200))
    for (const [name] of columns) { const th = document.createElement("th"); th.scope = "col"; th.textContent = name; head.append(th) }
    const body = made.createTBody()
    for (let i = 0; i < n; i += each) { const row = body.insertRow(); for (const [, c] of columns) row.insertCell().textContent = cell(c[i]) }
    box.replaceChildren(made)
  }
  document.addEventListener("click", async e => {
    const button = e.target.closest("[data-do], .asdata")
    if (!button) return
    if (button.dataset.do === "theme") setTheme(theme() === "dark" ? "light" : "dark", true)
    if (button.dataset.do === "print") print()
    if (button.dataset.do === "play") playing ? stop() : start()
    if (button.dataset.do === "copy") {
      const code = one("code", button.parentElement)
      try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied" }
      catch { getSelection().selectAllChildren(code); button.textContent = document.execCommand("copy") ? "Copied" : "Selected" }
      setTimeout(() => { button.textContent = "Copy" }, 1500)
    }
    if (button.classList.contains("asdata")) {
      const box = one(".tablebox", button.parentElement), panel = panels.find(p => p.group === +button.dataset.group && p.figures.length)
      box.hidden = !box.hidden
      button.setAttribute("aria-expanded", String(!box.hidden))
      if (panel) { panel.table = box.hidden ? null : () => table(panel, box); panel.table?.() }
    }
  })
  addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(SELECT|TEXTAREA|INPUT)$/.test(e.target.tagName) && e.target !== range) return
    if (e.key === "t") return setTheme(theme() === "dark" ? "light" : "dark", true)
    if (!range) return
    const by = { ArrowRight: 1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -1e9, End: 1e9 }[e.key]
    const far = e.target === range || e.key.startsWith("Arrow") // elsewhere Home and the like scroll the page
    if (by && far) { e.preventDefault(); clearInterval(playing); playing = null; go(moment + by) }
    if (e.key === "p") playing ? stop() : start()
  })

  // -- the map of a sweep: what is chosen takes the place of the moment ---------------------------------------------

  const choose = panel => {
    const [name, how] = all("select", panel.slot.closest(".view"))
    how.disabled = !panel.keys.includes(`${name.value}/max`)
    const key = name.value === "" ? "/ended" : `${name.value}/${how.disabled ? "last" : how.value}`
    panel.chosen = Math.max(0, panel.keys.indexOf(key))
    say()
    draw()
  }

  // -- start -----------------------------------------------------------------------------------------------------

  const begin = async () => {
    for (const p of data.panels) {
      const panel = { ...p, slot: one(`#plot-${p.group}-${p.subject}`), say: one(`#say-${p.group}-${p.subject}`) }
      const positive = panel.moments.filter(x => x > 0)
      panel.floor = positive.length ? Math.min(...positive) : 1
      const seen = {}
      panel.local = panel.at.map(k => { seen[k] = (seen[k] ?? -1) + 1; return seen[k] })
      panels.push(panel)
    }
    if (range) {
      range.max = data.at.length - 1
      range.disabled = play.disabled = data.at.length < 2
      range.addEventListener("input", () => { clearInterval(playing); playing = null; go(+range.value) })
      new ResizeObserver(marks).observe(range)
      show()
    }
    const watch = new IntersectionObserver(entries => {
      for (const e of entries) { const panel = panels.find(p => p.slot === e.target); e.isIntersecting ? visible.add(panel) : visible.delete(panel) }
      draw()
    }, { rootMargin: "120px" })
    for (const panel of panels) {
      if (panel.block) {
        const bytes = await unpack(panel.block)
        panel.block = null
        for (const f of panel.figures) for (const t of f.tracks) Object.values(t.columns).forEach(c => open(bytes, c))
      }
      for (const figure of panel.figures) { await put(panel, figure); if (theme() === "dark") paint(figure) }
      move(panel, place(panel))
      watch.observe(panel.slot)
    }
    for (const panel of panels.filter(p => p.keys)) {
      all("select", panel.slot.closest(".view")).forEach(s => s.addEventListener("change", () => choose(panel)))
      choose(panel)
    }
    if (data.frames.length > 1) new Set(panels.map(p => p.group)).forEach(join)
    root.dataset.ready = "true"
  }
  const prefers = matchMedia("(prefers-color-scheme: dark)")
  let kept = null
  try { kept = localStorage.getItem("stabviz_theme") } catch { /* as above */ }
  setTheme(kept === "dark" || kept === "light" ? kept : prefers.matches ? "dark" : "light")
  prefers.addEventListener("change", () => setTheme(prefers.matches ? "dark" : "light"))
  let before = null
  addEventListener("beforeprint", () => { before = theme(); setTheme("light"); panels.forEach(p => move(p, place(p))) })
  addEventListener("afterprint", () => { if (before) setTheme(before) })
  if (typeof DecompressionStream === "undefined") trouble("This browser is older than the report: the pictures need one from 2023 or later.")
  else begin().catch(error => { trouble("The pictures could not be drawn in this browser."); console.error(error) })
})()
