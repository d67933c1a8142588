const SHAPE = { kick: "M6 0l5 8-5 8-5-8z", set: "M1 4h10v8h-10z", stop: "M6 1l5.5 7-5.5 7-5.5-7z" }

export function render({ model, el }) {
  dress(model, el)
  const send = sender(model)
  const scrub = throttle(frame => send("scrub", { frame }), 50)
  let follow = model.follow, frame = model.frame, playing = null
  const toggle = (event, title) => h("button", { class: "btn small", type: "button", title, "aria-pressed": "false", onclick: event })
  const followButton = toggle(() => { stop(); follow = !follow; send("follow", { on: follow }); show() }, "stay at the newest frame (key f)")
  followButton.append("Follow")
  const play = toggle(() => playing ? stop() : start(), "go through the recorded frames")
  const range = h("input", {
    type: "range", min: 0, step: 1, "aria-label": "recorded moment",
    oninput: () => { stop(); go(Math.min(+range.value, model.n - 1)) },
    onkeydown: e => {
      const d = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -1e9, End: 1e9 }[e.key]
      if (d) { e.preventDefault(); stop(); go(Math.max(0, Math.min(model.n - 1, shown() + d))) }
    },
  })
  const marks = h("div", { class: "marks" }), now = h("span", { class: "now" })
  const freeze = h("input", { type: "checkbox", role: "switch", onchange: () => send("freeze", { on: freeze.checked }) })
  el.replaceChildren(h("div", { class: "card scrub" }, followButton, play, h("div", { class: "track" }, marks, range), now,
    h("label", { class: "switch", title: "The views stay as they are; the run goes on." }, freeze, "Freeze view")))

  const shown = () => Math.max(0, follow ? model.n - 1 : Math.min(frame, model.n - 1))
  const most = () => Math.max(1, model.at.length - 1, model.n - 1)
  const go = f => { if (f < 0) return; follow = false; frame = f; show(); scrub(f) }
  const stop = () => { clearInterval(playing); playing = null; show() }
  const start = () => {
    if (model.n < 2) return
    if (shown() >= model.n - 1) go(0)
    const pace = Math.max(1, Math.round(model.n / 240)) // the whole run in about twelve seconds at most
    playing = setInterval(() => { if (shown() >= model.n - 1) stop(); else go(Math.min(shown() + pace, model.n - 1)) }, 50)
    show()
  }
  const place = step => { // where a step lies on the track, between frames too
    const a = model.at
    let i = a.findIndex(s => s >= step)
    if (i < 0) i = a.length - 1
    const f = i > 0 && a[i] > step ? i - 1 + (step - a[i - 1]) / (a[i] - a[i - 1]) : i
    return Math.max(0, f) / most() * 100
  }
  const drawMarks = () => {
    let last = -1e9
    const wide = range.clientWidth || 600
    marks.replaceChildren(...[...model.marks].sort((a, b) => a.step - b.step).map(m => {
      const x = place(m.step), free = (x - last) / 100 * wide > 12 + 6 * (m.label || "").length
      if (free) last = x
      return h("button", { class: m.kind || "kick", type: "button", tabindex: -1, style: `left:${x}%`, title: `${m.label || m.kind} at step ${count(m.step)}`,
        onclick: () => { stop(); go(Math.min(model.n - 1, Math.round(x / 100 * most()))) } },
        h("svg", { viewBox: "0 0 12 16" }, h("path", { d: SHAPE[m.kind] || SHAPE.kick })), free ? m.label : null)
    }))
  }
  const show = () => {
    const f = shown(), max = most(), step = model.at[f]
    range.max = max
    range.value = f
    range.disabled = model.n < 2
    // the thumb is 16 wide, so the ends of the track are 8 inside
    const part = i => `calc(8px + ${i / max} * (100% - 16px))`
    range.style.setProperty("--p", part(f))
    range.style.setProperty("--q", part(Math.max(f, model.n - 1)))
    const text = model.n ? `step ${count(step ?? 0)}${model.note ? `, ${model.note}` : ""}` : "no frames yet"
    set(now, text)
    range.setAttribute("aria-valuetext", text)
    followButton.setAttribute("aria-pressed", follow)
    set(play, playing ? "Stop" : "Play")
    play.setAttribute("aria-pressed", !!playing)
    play.disabled = model.n < 2
    freeze.checked = model.freeze
  }
  const sync = () => { if (send.fresh() && !playing) { follow = model.follow; frame = model.frame } show() }
  drawMarks(); show()
  model.on(["n", "note", "freeze"], show)
  model.on(["frame", "follow", "seen"], sync)
  model.on(["marks", "at"], () => { drawMarks(); show() })
  const watch = new ResizeObserver(drawMarks)
  watch.observe(range)
  model.on("remove", () => { stop(); watch.disconnect() })
}
