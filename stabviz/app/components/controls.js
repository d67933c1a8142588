const STEPS = 200
const WHEN = { reset: ["at reset", "Turning it acts when the run is reset."], none: ["no part", "It has no part in the present choice."] }

// Position of a slider (0..n) and the value there. A logarithmic control is linear in its logarithm.
function scaleOf(c) {
  const [lo, hi] = c.bounds, log = c.scale === "log", int = c.kind === "int"
  const f = log ? Math.log : x => x, g = log ? Math.exp : x => x
  let n = STEPS
  if (!log && c.step) n = Math.max(1, Math.round((hi - lo) / c.step))
  else if (int && !log && hi - lo <= 1000) n = hi - lo
  const clip = v => Math.min(hi, Math.max(lo, v))
  const tidy = v => clip(int ? Math.round(v) : !log && c.step ? round(lo + Math.round((v - lo) / c.step) * c.step, 10) : round(v, 3))
  return {
    n, value: p => p <= 0 ? lo : p >= n ? hi : tidy(g(f(lo) + p / n * (f(hi) - f(lo)))),
    at: v => Math.min(n, Math.max(0, (f(clip(v)) - f(lo)) / (f(hi) - f(lo)) * n)),
  }
}

function controlRow(c, id, send, draft, titles = {}) {
  const word = o => titles[o] || o
  const special = v => c.also.find(([value]) => value === v)
  const text = v => c.kind === "bool" || c.kind === "choice" ? String(v) : special(v) ? special(v)[1] : short(v)
  const unit = c.unit !== "1" ? c.unit : "" // a long one would crowd the row: it stands in the explanation
  const live = throttle(value => send("live", { name: c.name, value }), 50)
  let active = false, typing = false, value = c.default
  const settle = v => { live.cancel(); draft(c.name, v); send("settled", { name: c.name, value: v }) }

  const say = h("div", { class: "say", id: `${id}-say`, hidden: true })
  const when = h("span", { class: "when", hidden: true })
  const name = h("button", {
    class: "n", type: "button", title: c.doc || null, "aria-expanded": c.doc ? "false" : null, id: `${id}-n`,
    onclick: () => { if (!c.doc) return; about = !about; name.setAttribute("aria-expanded", about); tell() },
  }, c.label)
  let about = false, error = ""
  const tell = () => {
    set(say, error || (about ? c.doc : ""))
    say.hidden = !say.textContent
    say.classList.toggle("bad", !!error)
    el.classList.toggle("wrong", !!error)
  }
  const head = h("div", { class: "r" }, c.symbol ? h("i", { class: "sym", html: c.symbol, "aria-hidden": "true" }) : null, h("span", { class: "name" }, name, when))
  const el = h("div", { class: "ctl" }, head)
  let show

  if (c.kind === "choice") {
    if (c.choices.length <= 3 && c.choices.map(word).join("").length <= 30) {
      const radios = c.choices.map(o => h("input", { type: "radio", name: id, value: o, onchange: () => settle(o) }))
      el.append(h("div", { class: "seg", role: "radiogroup", "aria-labelledby": `${id}-n` }, c.choices.map((o, i) => h("label", { title: word(o) }, radios[i], word(o)))))
      show = v => radios.forEach(r => { r.checked = r.value === v })
    } else {
      const pick = h("select", { class: "pick", "aria-labelledby": `${id}-n`, onchange: () => settle(pick.value) }, c.choices.map(o => h("option", { value: o }, word(o))))
      el.append(pick)
      show = v => { pick.value = v }
    }
  } else if (c.kind === "bool") {
    const box = h("input", { type: "checkbox", role: "switch", "aria-labelledby": `${id}-n`, onchange: () => settle(box.checked) })
    head.append(h("span", { class: "v switch" }, box))
    show = v => { box.checked = !!v }
  } else {
    const box = h("input", {
      class: "box", type: "text", inputmode: "decimal", autocomplete: "off", title: unit || null, spellcheck: "false", "aria-labelledby": `${id}-n`, "aria-describedby": `${id}-say`,
      onfocus: () => { box.value = special(value) ? special(value)[1] : String(value); box.select() },
      oninput: () => { typing = true },
      onblur: () => { typing = false; if (!error) box.value = text(value) },
      onchange: () => {
        typing = false
        const typed = box.value.trim().replace("−", "-").replace(/^∞$/, "inf"), v = Number(typed)
        if (typed && c.bounds && v >= c.bounds[0] && v <= c.bounds[1]) value = v // what is pressed next refers to it, also before an answer
        settle(typed)
      },
      onkeydown: e => {
        if (e.key === "Escape") { typing = false; box.value = text(value); box.blur() }
        if (scale && (e.key === "ArrowUp" || e.key === "ArrowDown")) { e.preventDefault(); nudge(e.key === "ArrowUp" ? 1 : -1) }
      },
    })
    const also = c.also.map(([v, label]) => h("button", { class: "also", type: "button", "aria-pressed": "false", onclick: () => {
      value = v === value ? c.default === v && c.bounds ? c.bounds[1] : c.default : v
      settle(value)
    } }, label))
    head.append(h("span", { class: "v" }, also, box, unit && unit.length <= 5 ? h("span", { class: "unit" }, unit) : null))
    const scale = c.bounds ? scaleOf(c) : null
    let range = null
    // The next value that differs: at the low end of a logarithmic integer many positions are the same number.
    const nudge = (direction, far = 1) => {
      let p = Math.round(scale.at(value)), v = value
      for (let i = 0; i < scale.n && v === value; i++) { p = Math.min(scale.n, Math.max(0, p + direction * far)); v = scale.value(p) }
      if (v !== value) { show(v); value = v; settle(v) }
    }
    if (scale) {
      range = h("input", {
        type: "range", min: 0, max: scale.n, step: "any", "aria-labelledby": `${id}-n`,
        oninput: () => { active = true; value = scale.value(+range.value); paint(); box.value = text(value); draft(c.name, value); live(value) },
        onchange: () => { active = false; value = scale.value(+range.value); show(value); settle(value) },
        onkeydown: e => {
          const d = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[e.key]
          if (d) { e.preventDefault(); nudge(Math.sign(d), Math.abs(d)) }
        },
      })
      el.append(range)
    }
    const paint = () => { if (range) { range.style.setProperty("--p", `${range.value / scale.n * 100}%`); range.setAttribute("aria-valuetext", text(value)) } }
    show = v => {
      also.forEach((b, i) => b.setAttribute("aria-pressed", c.also[i][0] === v))
      if (range) { range.value = special(v) ? (v > c.bounds[1] ? scale.n : 0) : scale.at(v) }
      paint()
      // What is being typed is not overwritten by an answer to something else.
      if (!typing && (box.getRootNode().activeElement !== box || !error)) box.value = text(v)
    }
  }
  el.append(say)
  return {
    el,
    show: v => { if (active || v === undefined) return; value = v; show(v) },
    lock: on => {
      el.classList.toggle("locked", on)
      el.querySelectorAll("input, select, .also").forEach(x => { x.disabled = on })
    },
    error: sentence => { error = sentence || ""; tell() },
    acts: a => {
      const [word, why] = WHEN[a] || ["", ""]
      set(when, word); when.title = why; when.hidden = !word
      el.classList.toggle("idle", a === "none")
    },
  }
}

let serial = 0
export function render({ model, el }) {
  dress(model, el)
  const uid = `c${++serial}`, send = sender(model)
  const sheet = h("div", { class: "card pad" }), touch = h("div", { class: "card pad", style: "margin-top:12px" })
  let rows = new Map(), values = { ...model.values }
  const draft = (name, v) => { values[name] = v }
  const locked = name => model.locked.includes("all") || model.locked.includes(name)

  const presets = h("div", { class: "chips", role: "group", "aria-label": "Presets" })
  const presetGroup = h("div", { class: "group" }, h("p", { class: "cap" }, "Presets"), presets)
  const drawPresets = () => {
    presetGroup.hidden = !model.presets.length || model.hidden.includes("presets")
    presets.replaceChildren(...model.presets.map(p => h("button", { class: "chip", type: "button", title: p.doc || null, "aria-pressed": String(p.slug === model.preset), disabled: locked("preset"), onclick: () => send("preset", { slug: p.slug }) }, p.title)))
  }
  const liveBox = h("input", { type: "checkbox", role: "switch", onchange: () => send("live_switch", { on: liveBox.checked }) })
  const list = h("div"), folded = h("div"), more = h("summary", { class: "more" })
  const fold = h("details", {}, more, folded)
  const seed = h("input", { class: "box", type: "text", inputmode: "numeric", id: `${uid}-seed`, autocomplete: "off", onchange: () => {
    const v = Number(seed.value)
    if (Number.isInteger(v) && v >= 0 && v < 2 ** 31) send("seed", { value: v })
    else seed.value = model.seed
  } })
  const seedRow = h("div", { class: "seedrow" }, h("label", { class: "fine", for: `${uid}-seed` }, "seed"), seed, h("button", { class: "btn small", type: "button", onclick: () => send("new_seed") }, "New seed"))
  const liveSwitch = h("label", { class: "switch", style: "margin-left:auto", title: "On: turning a control runs again at once." }, liveBox, "Live")
  const caption = h("p", { class: "cap" }, "Controls", liveSwitch)
  const turning = h("div", { class: "group" }, caption, list, fold, seedRow)
  sheet.append(presetGroup, turning)

  const hide = () => {
    seedRow.hidden = model.hidden.includes("seed")
    liveSwitch.hidden = model.hidden.includes("live")
    turning.hidden = model.hidden.includes("controls") && seedRow.hidden
    sheet.hidden = turning.hidden && presetGroup.hidden
    caption.hidden = model.hidden.includes("controls")
  }
  const drawRows = () => {
    rows = new Map(model.rows.map((c, i) => [c.name, controlRow(c, `${uid}-${i}`, send, draft, model.titles[c.name])]))
    const part = primary => model.rows.filter(c => c.primary === primary).map(c => rows.get(c.name).el)
    list.replaceChildren(...part(true))
    folded.replaceChildren(...part(false))
    const n = folded.childElementCount
    fold.hidden = n === 0
    for (const [name, row] of rows) row.lock(locked(name))
    set(more, n === 1 ? "1 more control" : `${n} more controls`)
    show()
  }
  const show = () => {
    if (send.fresh()) values = { ...model.values }
    for (const [name, row] of rows) { row.error(model.errors[name]); row.show(values[name]); row.acts(model.acts[name]) }
    if (Object.keys(model.errors).some(name => rows.get(name) && !model.rows.find(c => c.name === name).primary)) fold.open = true
  }
  const showSeed = () => { seed.value = model.seed; seedRow.querySelectorAll("input, button").forEach(x => { x.disabled = locked("seed") }) }
  const showLive = () => { liveBox.checked = model.live }

  const drawTouch = () => {
    touch.hidden = !model.kicks.length || model.hidden.includes("touch")
    touch.replaceChildren(h("p", { class: "cap" }, "Touch the run"), ...model.kicks.map((k, i) => {
      const boxes = k.args.map((a, j) => h("input", { class: "box", type: "text", inputmode: "decimal", id: `${uid}-k${i}-${j}`, value: short(a.default), title: a.doc || null }))
      const kick = () => {
        const args = {}
        k.args.forEach((a, j) => { const v = Number(boxes[j].value); args[a.name] = boxes[j].value.trim() !== "" && isFinite(v) ? v : a.default })
        send("kick", { name: k.name, args })
      }
      return h("div", { class: "touch", style: i ? "margin-top:8px" : "" },
        h("button", { class: "btn", type: "button", title: model.touchable ? k.doc || null : model.touch_note || null, disabled: !model.touchable, onclick: kick }, k.title),
        k.args.map((a, j) => h("span", { class: "arg fine" }, h("label", { for: `${uid}-k${i}-${j}` }, a.label), boxes[j], a.unit && a.unit !== "1" ? a.unit : null)))
    }), h("p", { class: "fine", style: "margin-top:8px", hidden: model.touchable || !model.touch_note }, model.touch_note))
  }
  el.replaceChildren(sheet, touch)
  const drawAll = () => { drawPresets(); drawRows(); drawTouch(); showSeed(); hide() }
  drawAll(); showLive()
  model.on(["locked", "hidden"], drawAll)
  model.on(["presets", "preset"], drawPresets)
  model.on("rows", drawRows)
  model.on(["values", "errors", "acts", "seen"], show)
  model.on("seed", showSeed)
  model.on("live", showLive)
  model.on(["kicks", "touchable", "touch_note"], drawTouch)
  const onKick = () => touch.querySelector("button:not(:disabled)")?.click() // the key for a kick uses the sizes that stand here
  document.addEventListener("stabviz:kick", onKick)
  model.on("remove", () => document.removeEventListener("stabviz:kick", onKick))
}
