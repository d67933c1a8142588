export function render({ model, el }) {
  dress(model, el)
  const send = sender(model)
  const form = h("div", { class: "card pad sweepform" }), note = h("p", { class: "fine", role: "status" })
  const go = h("button", { class: "btn main", type: "button", onclick: () => send(model.busy ? "stop" : "start") })
  const title = h("h3"), canvas = h("canvas", { role: "img" }), legend = h("div", { class: "legend fine" }), says = h("p", { class: "fine says", role: "status" })
  const slices = h("canvas", { class: "slices", "aria-hidden": "true" })
  const card = h("div", { class: "card pad sweepmap" }, title, says, canvas, legend, slices)
  el.replaceChildren(h("div", { class: "sweeper" }, h("div", {}, form, h("div", { class: "sweepgo" }, go, note)), card))
  let at = null
  let mine = { ...model.setting } // what was typed last: an answer on its way must not take it back
  const change = part => { mine = { ...mine, ...part }; send("set", { setting: mine }) }
  const pick = (value, options, on, name) => h("select", { class: "pick", "aria-label": name, onchange: e => on(e.target.value) },
    options.map(([v, t]) => h("option", { value: v, selected: v === value }, t)))
  const number = (key, name) => h("input", { class: "box", "aria-label": name, value: short(model.setting[key], 6), onchange: e => change({ [key]: e.target.value }) })
  const axis = (a, words) => {
    const s = model.setting, names = model.choices.map(c => [c.name, c.label])
    const rows = [h("p", { class: "cap" }, words), pick(s[a], a === "y" ? [["", "nothing"], ...names] : names, v => change({ [a]: v }), words)]
    const choice = model.choices.find(c => c.name === s[a])
    if (s[a]) rows.push(h("div", { class: "sweeprange" }, h("span", {}, "from", number(`${a}_low`, `${words}, from`)), h("span", {}, "to", number(`${a}_high`, `${words}, to`)),
      h("span", {}, "points", number(`${a}_n`, `${words}, points`)), choice && !choice.whole ? pick(s[`${a}_log`] ? "log" : "", [["", "evenly"], ["log", "by a factor"]], v => change({ [`${a}_log`]: v === "log" }), `${words}, spacing`) : ""))
    return h("div", { class: "group" }, rows)
  }
  const fill = () => {
    const s = model.setting
    form.replaceChildren(axis("x", "Turn"), axis("y", "And turn"), h("div", { class: "group" }, h("p", { class: "cap" }, "Look at"),
      pick(s.show, model.shown.map(o => [o.name, o.label]), v => change({ show: v }), "Look at"),
      pick(s.how, model.how, v => change({ how: v }), "Which value"),
      h("div", { class: "sweeprange" }, "of", number("seeds", "Seeds"), "seeds each")))
  }
  const css = name => getComputedStyle(el).getPropertyValue(`--${name}`).trim() || "#888"
  const scale = () => {
    const flat = (model.map.bands ? [...model.map.bands, ...model.map.z] : model.map.z || []).flat().filter(v => v !== null && isFinite(v))
    if (!flat.length) return null
    const least = Math.min(...flat), high = Math.max(...flat), log = least > 0 && high / least > 100
    const low = log ? Math.max(least, high * 1e-9) : least // what is next to nothing must not take the colours from the rest
    const t = v => high === low ? 0.5 : log ? Math.max(0, Math.log(v / low) / Math.log(high / low)) : (v - low) / (high - low)
    return { low, high, log, cut: low > least, t, color: v => model.ramp[Math.max(0, Math.min(model.ramp.length - 1, Math.floor(t(v) * model.ramp.length)))] }
  }
  const box = { left: 64, right: 12, top: 8, bottom: 40 }
  const path = (c, points) => { // with a gap where a value is missing
    let pen = false
    c.beginPath()
    for (const [x, y] of points) { if (y === null) { pen = false; continue } pen ? c.lineTo(x, y) : c.moveTo(x, y); pen = true }
    c.stroke()
  }
  const borders = (c, w, tall, s) => { // what the paper says: ink on a light edge, so that it is seen on every colour
    const m = model.map, nx = m.x.length, ny = m.y.length
    const X = i => box.left + w * (i + 0.5) / nx, Y = j => ny === 1 ? box.top + tall * (1 - j) : box.top + tall * (1 - (j + 0.5) / ny)
    c.save()
    c.beginPath(); c.rect(box.left, box.top, w, tall); c.clip()
    c.lineJoin = "round"
    const both = (points, dash) => {
      c.setLineDash([])
      if (ny > 1) { c.strokeStyle = css("ground"); c.lineWidth = 4; c.globalAlpha = 0.75; path(c, points); c.globalAlpha = 1 }
      c.setLineDash(dash); c.strokeStyle = css("ink"); c.lineWidth = 1.6; path(c, points)
    }
    for (const line of m.lines || []) for (const part of line.parts) both(part.map(([i, j]) => [X(i), Y(j)]), ny > 1 ? [] : [2, 3])
    if (ny === 1 && s) for (const curve of m.curves || []) both(curve.points.map(([i, v]) => [X(i), s.log && v <= 0 ? null : box.top + tall * (1 - 0.9 * s.t(v) - 0.05)]), [6, 4])
    c.restore()
  }
  const draw = () => {
    const m = model.map, ratio = devicePixelRatio || 1, width = card.clientWidth - 34
    card.hidden = !m.z
    if (!m.z || width < 60) return
    const ny = m.y.length, nx = m.x.length, height = ny === 1 ? 260 : Math.min(460, Math.max(220, width * 0.6))
    canvas.style.height = `${height}px`
    canvas.width = width * ratio; canvas.height = height * ratio
    const c = canvas.getContext("2d"), w = width - box.left - box.right, tall = height - box.top - box.bottom, s = scale()
    c.scale(ratio, ratio)
    c.font = "11px Inter, system-ui, sans-serif"
    set(title, m.label)
    const X = i => box.left + w * (i + 0.5) / nx
    if (ny === 1) {
      if (s) {
        const Y = v => box.top + tall * (1 - 0.9 * s.t(v) - 0.05)
        const mine = m.z[0].map((v, i) => m.there[0][i] ? v : null)
        c.fillStyle = css("stable")
        for (const [low, high, alpha] of m.bands ? [[0, 4, 0.12], [1, 3, 0.25]] : []) {
          c.globalAlpha = alpha
          for (let i = 0; i + 1 < nx; i++) {
            const four = [m.bands[low][i], m.bands[low][i + 1], m.bands[high][i + 1], m.bands[high][i]]
            if (four.includes(null)) continue
            c.beginPath(); c.moveTo(X(i), Y(four[0])); c.lineTo(X(i + 1), Y(four[1])); c.lineTo(X(i + 1), Y(four[2])); c.lineTo(X(i), Y(four[3])); c.fill()
          }
        }
        c.globalAlpha = 1
        c.strokeStyle = css("stable"); c.lineWidth = 2
        path(c, mine.map((v, i) => [X(i), v]).filter(([, v]) => v !== null).map(([x, v]) => [x, Y(v)]))
        mine.forEach((v, i) => { if (v !== null) { c.beginPath(); c.arc(X(i), Y(v), nx > 80 ? 1.5 : 3, 0, 7); c.fill() } })
        c.fillStyle = css("soft"); c.textAlign = "right"
        for (const v of [s.low, s.high]) c.fillText(short(v, 3), box.left - 8, Y(v) + 4)
      }
      c.fillStyle = css("lost")
      m.lost[0].forEach((v, i) => { if (v) c.fillRect(X(i) - 2, box.top + tall - 6, 4, 6) })
      borders(c, w, tall, s)
    } else {
      const cw = w / nx, ch = tall / ny
      m.z.forEach((row, j) => row.forEach((v, i) => {
        const x = box.left + i * cw, y = box.top + (ny - 1 - j) * ch
        c.fillStyle = v === null || !s ? css(m.lost[j][i] ? "lost" : "rule") : s.color(v)
        c.fillRect(x, y, cw + 0.6, ch + 0.6)
        if (2 * m.lost[j][i] > m.seeds) { c.strokeStyle = css("ground"); c.lineWidth = 1; c.beginPath(); c.moveTo(x, y + ch); c.lineTo(x + cw, y); c.stroke() }
      }))
      borders(c, w, tall, s)
      c.fillStyle = css("soft"); c.textAlign = "right"
      const every = Math.ceil(ny / 8)
      m.y.forEach((v, j) => { if (j % every === 0) c.fillText(short(v, 3), box.left - 8, box.top + (ny - j - 0.5) * ch + 4) })
      c.save(); c.translate(12, box.top + tall / 2); c.rotate(-Math.PI / 2); c.textAlign = "center"; c.fillText(m.y_label, 0, 0); c.restore()
    }
    c.fillStyle = css("soft"); c.textAlign = "center"
    const each = Math.ceil(nx / Math.max(2, Math.floor(w / 70)))
    m.x.forEach((v, i) => { if (i % each === 0) c.fillText(short(v, 3), X(i), height - 24) })
    c.textAlign = "right"; c.fillText(m.x_label, width - box.right, height - 6)
    legend.replaceChildren(...(s && ny > 1 ? [`${s.cut ? "≤ " : ""}${short(s.low, 3)}`, h("span", { class: "rampbar", style: `background:linear-gradient(to right, ${model.ramp.join(",")})` }), `${short(s.high, 3)}${s.log ? " (logarithmic)" : ""}`] : []),
      m.lost.flat().some(Boolean) ? h("span", { class: "bad" }, `${ny > 1 ? "struck out" : "red"}: ${m.seeds > 1 ? ny > 1 ? "most seeds were lost" : "seeds were lost" : "the run was lost"}`) : "",
      m.bands ? h("span", {}, `median, 68 % and all of ${m.seeds} seeds`) : m.seeds > 1 ? h("span", {}, `median of ${m.seeds} seeds`) : "",
      ...[...(m.lines || []).map(l => [l, ny > 1 ? "" : "dotted"]), ...(ny === 1 ? m.curves || [] : []).map(l => [l, "dashed"])].map(([l, dash]) => h("p", { class: "law", title: l.source },
        h("span", { class: "stroke", style: dash ? `border-top-style:${dash}` : "" }), `${l.title}${l.sides[0] ? `: ${l.sides[0]} | ${l.sides[1]}` : ""} (${l.source})`)))
    canvas.setAttribute("aria-label", `${m.label} over ${m.x_label}${ny > 1 ? ` and ${m.y_label}` : ""}`)
    cut()
  }
  const cut = () => { // the row and the column through the cell under the pointer
    const m = model.map, s = scale(), ratio = devicePixelRatio || 1
    slices.hidden = !at || !s || m.y.length < 2
    if (slices.hidden) return
    const width = card.clientWidth - 34, height = 90
    slices.style.height = `${height}px`
    slices.width = width * ratio; slices.height = height * ratio
    const c = slices.getContext("2d"), half = width / 2
    c.scale(ratio, ratio)
    c.font = "11px Inter, system-ui, sans-serif"
    const [i, j] = at
    for (const [k, values, name] of [[0, m.z[j], m.x_label], [1, m.z.map(r => r[i]), m.y_label]]) {
      const left = k * half + 8, w = half - 24, n = values.length
      c.strokeStyle = css(k ? "edge" : "stable"); c.lineWidth = 1.5; c.beginPath()
      let pen = false
      values.forEach((v, q) => { if (v === null) { pen = false; return } const x = left + w * q / Math.max(n - 1, 1), y = 70 - 60 * s.t(v); pen ? c.lineTo(x, y) : c.moveTo(x, y); pen = true })
      c.stroke()
      c.fillStyle = css("soft"); c.fillText(`along ${name}`, left, 86)
    }
  }
  const cell = e => {
    const m = model.map
    if (!m.z) return null
    const r = canvas.getBoundingClientRect(), i = Math.floor((e.clientX - r.left - box.left) / (r.width - box.left - box.right) * m.x.length)
    const j = m.y.length === 1 ? 0 : m.y.length - 1 - Math.floor((e.clientY - r.top - box.top) / (r.height - box.top - box.bottom) * m.y.length)
    return i >= 0 && i < m.x.length && j >= 0 && j < m.y.length ? [i, j] : null
  }
  const words = () => {
    const m = model.map
    if (!m.z) return ""
    if (!at) return "Press a point to open its run."
    const [i, j] = at, v = m.z[j][i], where = `${m.x_label} ${short(m.x[i])}${m.y.length > 1 ? `, ${m.y_label} ${short(m.y[j])}` : ""}`
    const gone = m.lost[j][i], value = v === null ? "no value" : short(v)
    const what = !m.there[j][i] ? v === null ? "not there yet" : `about ${value}, not there yet` : m.seeds > 1 ? `${value}${gone ? `, ${gone} of ${m.seeds} lost` : ""}` : gone ? "lost" : value
    return `${where}: ${what}. Press to open ${m.seeds > 1 ? "its first run" : "the run"}.`
  }
  const look = throttle((i, j) => send("look", { i, j }), 200)
  canvas.addEventListener("pointermove", e => {
    const now = cell(e)
    if (String(now) === String(at)) return
    at = now; set(says, words()); cut()
    if (now && model.map.seeds > 1) look(...now)
  })
  canvas.addEventListener("pointerleave", () => { at = null; set(says, words()); cut() })
  canvas.addEventListener("click", e => { const c = cell(e); if (c) send("open", { i: c[0], j: c[1] }) })
  const state = () => { set(note, model.note); set(go, model.busy ? "Stop" : "Sweep"); go.disabled = !model.may && !model.busy; go.classList.toggle("main", !model.busy) }
  fill(); state(); draw()
  set(says, words())
  model.on(["choices", "shown", "setting", "how"], () => { if (send.fresh()) { mine = { ...model.setting }; fill() } })
  model.on(["note", "busy", "may"], state)
  model.on(["map", "ramp"], () => { draw(); set(says, words()) })
  const watch = new ResizeObserver(draw)
  watch.observe(card.parentElement)
  const repaint = () => setTimeout(draw, 50)
  document.addEventListener("stabviz:theme", repaint)
  model.on("remove", () => { look.cancel(); watch.disconnect(); document.removeEventListener("stabviz:theme", repaint) })
}
