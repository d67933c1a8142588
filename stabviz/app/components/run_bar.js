const GOING = ["waiting", "compiling", "running"]
const BAD = ["diverged", "failed"]

function words(status, p) {
  const at = `${count(p.step)} of ${count(p.steps)} steps`
  switch (status) {
    case "": return [p.steps ? `${count(p.steps)} steps` : "", "press Run"].filter(Boolean)
    case "waiting": return ["waiting for a free core"]
    case "compiling": return ["compiling, a few seconds"]
    case "running": return [at, p.rate ? `${count(round(p.rate, 2))} per second` : "", left(p.left)].filter(Boolean)
    case "paused": return [at, "paused"]
    case "finished": return [`${count(p.step)} steps`, "finished", p.rate ? `${count(round(p.rate, 2))} per second` : ""].filter(Boolean)
    case "diverged": return [`✗ diverged at step ${count(p.step)}`, `of ${count(p.steps)}`]
    case "failed": return ["✗ failed"]
    case "cancelled": return [at, "stopped"]
    default: return [`${status} at step ${count(p.step)}`, `of ${count(p.steps)}`]
  }
}

function left(s) {
  if (s === null || s === undefined || !isFinite(s)) return ""
  if (s < 10) return `${s.toFixed(1)} s left`
  if (s < 100) return `${Math.round(s)} s left`
  return s < 5400 ? `${Math.round(s / 60)} min left` : `${(s / 3600).toFixed(1)} h left`
}

const LONG = 20 // seconds after which one looks elsewhere

export function render({ model, el }) {
  dress(model, el)
  const send = sender(model)
  let act = "run"
  const main = h("button", { class: "btn main", type: "button", title: "key r", onclick: () => send(act) })
  const step = h("button", { class: "btn", type: "button", title: "one frame, then pause (key s)", onclick: () => send("step") }, "Step")
  const reset = h("button", { class: "btn", type: "button", title: "back to step 0, same seed (key 0)", onclick: () => send("reset") }, "Reset")
  const status = h("span", { class: "s" }), hush = h("span", { class: "hush", role: "status" })
  const fill = h("b"), line = h("div", { class: "line", role: "progressbar", "aria-label": "progress of the run", "aria-valuemin": 0, "aria-valuemax": 100 }, fill)
  // A run that takes long: on demand a notification when it ends, and in any case a mark in the tab's title while nobody looks.
  const bell = h("button", { class: "btn small", type: "button", hidden: true, "aria-pressed": "false", onclick: async () => {
    const may = window.Notification && (Notification.permission === "granted" || await Notification.requestPermission() === "granted")
    told = !told
    bell.setAttribute("aria-pressed", told)
    bell.title = may ? "" : "The browser shows no notifications here: the tab's title will say it."
  } }, "Tell me")
  let told = false, last = model.status, began = performance.now()
  const ended = words => {
    const title = document.title.replace(/^[✓✗] /, "")
    if (document.hidden) document.title = `${BAD.includes(model.status) ? "✗" : "✓"} ${title}`
    if (told && window.Notification?.permission === "granted") new Notification(title, { body: words, tag: "stabviz" })
    told = false
    bell.setAttribute("aria-pressed", "false")
  }
  const looked = () => { if (!document.hidden) document.title = document.title.replace(/^[✓✗] /, "") }
  document.addEventListener("visibilitychange", looked)
  addEventListener("focus", looked)
  model.on("remove", () => { document.removeEventListener("visibilitychange", looked); removeEventListener("focus", looked) })
  el.replaceChildren(h("div", { class: "run" }, main, step, reset, bell, status, hush), line)

  const show = () => {
    const s = model.status, p = model.progress, going = GOING.includes(s)
    act = model.label ? "run" : going ? "pause" : s === "paused" ? "resume" : "run"
    set(main, model.label || (going ? "Pause" : s === "paused" ? "Resume" : s === "" ? "Run" : "Run again"))
    main.disabled = model.can.run === false
    step.disabled = model.can.step === false
    reset.disabled = model.can.reset === false
    const parts = model.sentence ? [model.sentence] : words(s, p)
    while (status.childElementCount > parts.length) status.lastChild.remove()
    while (status.childElementCount < parts.length) status.append(h("span"))
    parts.forEach((t, i) => set(status.children[i], t))
    status.title = model.sentence || ""
    const mark = model.mark || (BAD.includes(s) ? "bad" : s === "paused" ? "held" : "")
    status.className = `s ${mark === "bad" ? "bad" : ""}`
    line.className = `line ${mark} ${s === "compiling" || s === "waiting" ? "busy" : ""}`
    const share = p.steps > 0 ? Math.min(100, p.step / p.steps * 100) : s === "finished" ? 100 : 0
    fill.style.width = `${share}%`
    line.setAttribute("aria-valuenow", Math.round(share))
    if (going && !GOING.includes(last)) began = performance.now()
    bell.hidden = !going || !((p.left || 0) > LONG || performance.now() - began > LONG * 1000)
    if (GOING.includes(last) && s !== "" && s !== "paused" && !going) ended(parts.join(", "))
    last = s
    if (hush.__status !== s) { hush.__status = s; set(hush, s === "" ? "" : parts.join(", ")) } // said once for each change of status
  }
  show()
  model.on(["status", "progress", "sentence", "mark", "label", "can"], show)
}
