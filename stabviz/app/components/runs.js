const [ID, BASE, CHANGES, STATUS, STEPS, ENDED, SEED, FRAMES, CREATED, SIZE, CASES, AXES, PASSED] = Array(13).keys()
const OTHERS = { steps: "steps", frames: "frames", spacing: "spacing", stretches: "stretches", touched: "touched", seed: "seed", start: "starts from", keep: "records" }
const COLUMNS = [["lab", "Run"], ["differs", "What differs"], ["status", "Status"], ["claims", "Claims"], ["steps", "Length"], ["age", "Age"], ["size", "Size"]]
const GOING = ["running", "compiling", "waiting"]
const CLASS = { finished: "good", running: "held", compiling: "held", waiting: "held", paused: "held", failed: "bad", diverged: "bad" }

export function render({ model, el }) {
  dress(model, el)
  const send = sender(model), find = document.querySelector(".find input"), bin = []
  const listen = (target, event, fn) => { target.addEventListener(event, fn); bin.push(() => target.removeEventListener(event, fn)) }
  const rows = new Map(), selected = new Set(), given = new URLSearchParams(location.search)
  let bases = [], shown = [], at = -1, anchor = -1, tall = 48, by = given.get("sort") || "age", down = given.get("down") === "1"
  const chosen = { lab: given.get("lab_is") || "", status: given.get("status") || "", kind: given.get("kind") || "" }
  for (const id of (given.get("sel") || "").split(",")) if (/^[0-9a-f]{8,64}$/.test(id)) selected.add(id)

  // -- what a row says
  const read = text => JSON.parse(text)
  const take = list => { for (const r of list) { delete r.text; rows.set(r[ID], r) } }
  const base = r => bases[r[BASE]] || { values: {}, labels: {}, lab: "", lab_title: "", system: "", title: "" }
  const label = (b, name) => b.labels[name] || OTHERS[name] || name
  const value = (text, name) => (name === "steps" || name === "frames") && isFinite(text) ? count(Number(text)) : /[.e]/.test(text) && isFinite(text) ? String(Number(Number(text).toPrecision(6))) : text
  const changed = r => [...Object.entries(r[AXES]).map(([n, k]) => [label(base(r), n), `× ${k}`]), ...Object.entries(r[CHANGES]).map(([n, v]) => [label(base(r), n), value(v, n)])]
  const words = r => r.text ??= [r[ID], base(r).lab, base(r).lab_title, base(r).system, base(r).preset, base(r).title, r[STATUS], r[CASES] ? "sweep" : "",
    ...changed(r).flat(), ...Object.keys(r[CHANGES])].join(" ").toLowerCase()
  const FIELDS = { id: r => r[ID], lab: r => base(r).lab, system: r => base(r).system, preset: r => base(r).preset, status: r => r[STATUS], size: r => r[SIZE], cases: r => r[CASES],
    age: r => (Date.now() - r[CREATED]) / 864e5, steps: r => r[STEPS], ended: r => r[ENDED], frames: r => r[FRAMES], claims: r => r[PASSED]?.[0] }
  const setting = (r, name) => Object.hasOwn(FIELDS, name) ? FIELDS[name](r) : r[CHANGES][name] ?? base(r).values[name]
  const full = (b, name) => (b.found ??= {})[name] ??= Object.keys(b.values).find(n => n.startsWith(name) || label(b, n).replace(/ /g, "_").startsWith(name)) || ""
  const holds = (r, name, relation, want) => {
    const here = setting(r, name) ?? setting(r, full(base(r), name))
    if (here === undefined || here === null) return false
    const a = Number(here), b = Number(want), numbers = want !== "" && !Number.isNaN(a) && !Number.isNaN(b)
    if (relation === "=") return numbers ? a === b : String(here).toLowerCase() === want.toLowerCase()
    return numbers && (relation === "<" ? a < b : relation === ">" ? a > b : relation === "<=" ? a <= b : a >= b)
  }
  const KEY = { lab: r => `${base(r).lab_title} ${base(r).system}`, differs: r => changed(r).length, status: r => r[STATUS], claims: r => r[PASSED] && r[PASSED][1] ? r[PASSED][0] / r[PASSED][1] : null,
    steps: r => r[STEPS], age: r => -r[CREATED], size: r => r[SIZE] }

  // -- filter and sort
  const query = () => find.value.trim().split(/\s+/).filter(Boolean).map(word => {
    const parts = word.match(/^([\w.-]+?)(<=|>=|=|<|>)(.*)$/)
    return parts ? r => holds(r, parts[1].replace(/-/g, "_").toLowerCase(), parts[2], parts[3]) : (w => r => words(r).includes(w))(word.toLowerCase())
  })
  const passes = (r, tests) => (!chosen.lab || base(r).lab === chosen.lab) && (!chosen.status || r[STATUS] === chosen.status)
    && (chosen.kind !== "runs" || !r[CASES]) && (chosen.kind !== "sweeps" || r[CASES]) && tests.every(t => t(r))
  const compareTexts = new Intl.Collator(undefined, { numeric: true }).compare
  let ordered = []
  const sort = () => {
    const sign = down ? -1 : 1, key = KEY[by] || KEY.age
    ordered = [...rows.values()].map(r => [key(r), r]).sort(([a, x], [b, y]) => {
      if (a === null || b === null) return (a === null) - (b === null) || y[CREATED] - x[CREATED]
      return (typeof a === "string" ? compareTexts(a, b) : a - b) * sign || y[CREATED] - x[CREATED]
    }).map(([, r]) => r)
    menus()
    choose()
  }
  const choose = () => {
    const tests = query(), active = shown[at]?.[ID]
    shown = ordered.filter(r => passes(r, tests))
    at = active ? shown.findIndex(r => r[ID] === active) : -1
    counts(); paint(true)
  }

  // -- the parts of the page
  const picker = (name, what) => h("select", { class: "pick", "aria-label": what, onchange: e => { chosen[name] = e.target.value; keep(); choose() } })
  const labPick = picker("lab", "Lab"), statusPick = picker("status", "Status"), kindPick = picker("kind", "Runs or sweeps")
  const count_ = h("span", { class: "fine count", role: "status" }), picked = h("span", { class: "fine" }), acts = h("div", { class: "acts", role: "toolbar", "aria-label": "Selected runs" })
  const all = h("input", { type: "checkbox", "aria-label": "Select all that are shown", onchange: () => { all.checked ? shown.forEach(r => selected.add(r[ID])) : selected.clear(); after() } })
  const heads = COLUMNS.map(([name, text]) => h("div", { role: "columnheader", class: ["steps", "age", "size"].includes(name) ? "num" : "" },
    h("button", { class: "word", type: "button", onclick: () => { if (by === name) down = !down; else [by, down] = [name, false]; keep(); sort() } }, text)))
  const space = h("div", { class: "space", role: "rowgroup" }), nothing = h("p", { class: "nothing", hidden: true })
  const body = h("div", { class: "body", tabindex: 0, role: "grid", "aria-label": "Runs", "aria-multiselectable": "true" }, nothing, space)
  const card = h("div", { class: "card", role: "presentation" }, h("div", { class: "rowgrid tablehead", role: "row" }, h("div", { role: "columnheader" }, all), heads), body)
  const toasts = h("div", { class: "toasts", role: "status" }), style = h("style")
  style.textContent = model.sheet
  const page = h("div", { class: "runs" }, h("div", { class: "tools" }, labPick, statusPick, kindPick, count_), acts, card, toasts)
  el.replaceChildren(style, page)

  const tally = (pick, all_, entries, value_) => pick.replaceChildren(h("option", { value: "" }, all_), ...entries.map(([v, text]) => h("option", { value: v, selected: v === value_ }, text)))
  const menus = () => {
    const labs = new Map(), statuses = new Map()
    let sweeps = 0, cases = 0
    for (const r of rows.values()) {
      const b = base(r), known = labs.get(b.lab) || [b.lab_title || b.lab || "no lab", 0]
      labs.set(b.lab, [known[0], known[1] + 1])
      statuses.set(r[STATUS], (statuses.get(r[STATUS]) || 0) + 1)
      if (r[CASES]) { sweeps++; cases += r[CASES] }
    }
    const key = JSON.stringify([[...labs], [...statuses], sweeps])
    if (menus.last !== key) {
      menus.last = key
      tally(labPick, "All labs", [...labs].sort((a, b) => a[1][0].localeCompare(b[1][0])).map(([v, [t, n]]) => [v, `${t} (${count(n)})`]), chosen.lab)
      tally(statusPick, "All statuses", [...statuses].sort().map(([v, n]) => [v, `${v} (${count(n)})`]), chosen.status)
      tally(kindPick, "Runs and sweeps", [["runs", `Runs only (${count(rows.size - sweeps)})`], ["sweeps", `Sweeps only (${count(sweeps)}, ${count(cases)} cases)`]], chosen.kind)
    }
  }
  const counts = () => {
    set(count_, !model.whole ? `Reading the store: ${count(rows.size)} so far` : shown.length === rows.size ? `${count(rows.size)} ${rows.size === 1 ? "run" : "runs"}` : `${count(shown.length)} of ${count(rows.size)} runs`)
    nothing.hidden = shown.length > 0
    set(nothing, model.problem || (!model.whole ? "Reading the store." : rows.size ? "No run is so. Try fewer words, or take a filter away." : "No runs yet. Open a lab and press Run."))
  }
  const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" })
  const age = ms => {
    const s = Math.max(0, (Date.now() - ms) / 1000)
    return s < 60 ? "now" : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : s < 86400 * 60 ? `${Math.floor(s / 86400)} d` : `${Math.floor(s / 86400 / 30.44)} mo`
  }
  const bytes = n => n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} kB` : n < 1e9 ? `${short(n / 1e6, 3)} MB` : `${short(n / 1e9, 3)} GB`
  const length = r => r[CASES] ? `${count(r[CASES])} cases` : r[ENDED] < 0 || r[ENDED] === r[STEPS] ? count(r[STEPS]) : `${count(r[ENDED])} / ${count(r[STEPS])}`
  const openable = r => !r[CASES] && base(r).lab

  const draw = (r, i) => {
    const b = base(r), going = GOING.includes(r[STATUS]), what = changed(r)
    const box = h("input", { type: "checkbox", tabindex: -1, "aria-label": `Select run ${r[ID].slice(0, 8)}` })
    box.checked = selected.has(r[ID])
    const name = b.lab_title || b.lab || "no lab"
    return h("div", { class: `rowgrid line1${selected.has(r[ID]) ? " on" : ""}${i === at ? " at" : ""}`, role: "row", id: `run-${r[ID]}`, "aria-rowindex": i + 2,
      "aria-selected": selected.has(r[ID]), "data-i": i, style: `top:${i * tall}px` },
      h("div", { role: "gridcell" }, box),
      h("div", { role: "gridcell" }, openable(r) ? h("a", { class: "t", href: `?run=${r[ID]}`, tabindex: -1, title: name }, name) : h("span", { class: "t", title: name }, name),
        h("span", { class: "fine" }, `${r[CASES] ? "sweep, " : ""}${b.system} ${r[ID].slice(0, 8)}`)),
      h("div", { role: "gridcell", title: [b.title, ...what.map(p => p.join(" "))].filter(Boolean).join("\n") },
        h("span", { class: "d" }, ...(what.length ? what.flatMap(([n, v], k) => [k ? ", " : "", `${n} `, h("b", {}, v)]) : [b.title || "the defaults"])),
        h("span", { class: "fine" }, what.length ? `from ${b.title || "the defaults"}` : "nothing differs")),
      h("div", { role: "gridcell", class: "st" }, h("span", { class: `st ${CLASS[r[STATUS]] || (["cancelled", "broken off"].includes(r[STATUS]) ? "" : "held")}` }, r[STATUS] === "cancelled" ? "stopped" : r[STATUS]),
        going && !r[CASES] ? h("span", { class: "bar2" }, h("i", { style: `width:${100 * Math.max(0, r[ENDED]) / Math.max(1, r[STEPS])}%` })) : null),
      h("div", { role: "gridcell", class: "st", title: "claims that any run of the lab may be judged by" }, r[PASSED] && r[PASSED][1] ? `${r[PASSED][0]} of ${r[PASSED][1]}` : ""),
      h("div", { role: "gridcell", class: "num" }, length(r)), h("div", { role: "gridcell", class: "num", title: when.format(r[CREATED]) }, age(r[CREATED])),
      h("div", { role: "gridcell", class: "num" }, bytes(r[SIZE])))
  }
  let window_ = ""
  const paint = force => {
    tall = matchMedia("(max-width: 900px)").matches ? 84 : 48
    const first = Math.max(0, Math.floor(body.scrollTop / tall) - 6), last = Math.min(shown.length, Math.ceil((body.scrollTop + body.clientHeight) / tall) + 6)
    if (!force && window_ === `${first} ${last}`) return
    window_ = `${first} ${last}`
    space.style.height = `${shown.length * tall}px`
    space.replaceChildren(...shown.slice(first, last).map((r, i) => draw(r, first + i)))
    body.setAttribute("aria-rowcount", shown.length + 1)
    body.setAttribute("aria-activedescendant", at >= 0 ? `run-${shown[at][ID]}` : "")
    heads.forEach((head, i) => head.setAttribute("aria-sort", COLUMNS[i][0] !== by ? "none" : down ? "descending" : "ascending"))
    all.checked = shown.length > 0 && shown.every(r => selected.has(r[ID]))
    see()
  }
  const see = throttle(() => {
    const first = Math.floor(body.scrollTop / tall), ids = shown.slice(first, first + Math.ceil(body.clientHeight / tall) + 1).filter(r => !r[PASSED] && !r[CASES] && !GOING.includes(r[STATUS])).map(r => r[ID])
    if (ids.length && String(ids) !== see.last) { see.last = String(ids); send("see", { ids }) }
  }, 300)

  // -- the selection and what can be done with it
  const mine = () => [...selected].map(id => rows.get(id)).filter(Boolean)
  const bar = () => {
    const list = mine(), one = list.length === 1 ? list[0] : null, some = list.length > 0, runsOnly = list.every(r => !r[CASES])
    const ids = list.map(r => r[ID])
    set(picked, some ? `${count(list.length)} selected, ${bytes(list.reduce((a, r) => a + r[SIZE], 0))}` : "None selected")
    const button = (text, on, fn, title) => h("button", { class: "btn small", type: "button", disabled: !on, title, onclick: fn }, text)
    const link = (text, on, href, title, download) => h("a", { class: "btn small", href: on ? href : null, "aria-disabled": on ? null : "true", title, download: download && on ? true : null }, text)
    acts.replaceChildren(picked,
      button("Compare", list.length > 1 && list.length <= 7 && runsOnly, () => compare(ids), "two to seven runs, over each other"),
      link("Open", one && openable(one), `?run=${ids[0]}`, "the run on its lab's page"),
      ...(model.may.go_on ? [button("Continue", some && runsOnly, () => send("proceed", { ids }), "go on where they ended, or were broken off"),
        link("Fork", one && openable(one), `?run=${ids[0]}&do=fork`, "other controls, from its last state")] : []),
      ...[["netCDF", "nc", "download as netCDF"], ["Zarr", "zarr.zip", "download as a zipped Zarr"]].map(([text, kind, title]) =>
        model.files ? link(text, one, `runs/${ids[0]}.${kind}`, title, true) : button(text, one, () => send("file", { ids, kind }), title)),
      button("Report", some && list.length <= 6 && (runsOnly || one), () => model.files ? report(ids) : send("file", { ids, kind: "html", ...alignment(ids) }), "one HTML file that opens offline"),
      ...(model.may.delete ? [button("Delete", some, () => send("delete", { ids }), "for a day they can be brought back")] : []),
      button("Clear", some, () => { selected.clear(); after() }), model.told ? h("span", { class: "fine" }, model.told) : "")
  }
  const after = () => { bar(); paint(true); keep() }
  const toggle = (i, on, range) => {
    const [a, b] = range && anchor >= 0 ? [Math.min(anchor, i), Math.max(anchor, i)] : [i, i]
    for (let k = a; k <= b; k++) on ? selected.add(shown[k][ID]) : selected.delete(shown[k][ID])
    at = anchor = i
    after()
  }
  const compare = ids => send("compare", { ids })
  const say = ({ text, undo = [], href = "", seconds = undo.length ? 10 : 6 }) => {
    const note = h("div", { class: "toast" }, h("span", {}, text))
    const gone = () => note.remove()
    if (undo.length) note.append(h("button", { class: "word", type: "button", onclick: () => { send("undo", { ids: undo }); gone() } }, "Undo"))
    if (href) note.append(h("a", { href }, "Open"))
    note.append(h("button", { class: "word", type: "button", "aria-label": "Close", onclick: gone }, "×"))
    toasts.append(note)
    let timer = setTimeout(gone, seconds * 1000)
    note.addEventListener("pointerenter", () => clearTimeout(timer))
    note.addEventListener("pointerleave", () => { timer = setTimeout(gone, 3000) })
    return gone
  }
  const alignment = ids => { // a report of the runs that are compared shows them as they are compared
    const { align = "step", event = "" } = model.how
    return [...ids].sort().join() === [...model.compared].sort().join() ? { align, event } : {}
  }
  const report = async ids => {
    const end = say({ text: "Making the report…", seconds: 120 })
    try {
      const answer = await fetch(`runs/${ids.join("+")}.html?${new URLSearchParams(alignment(ids))}`), blob = await answer.blob()
      end()
      if (!answer.ok) return void say({ text: await blob.text() })
      saveAs(`stabviz-${ids[0].slice(0, 8)}.html`, blob)
      say({ text: "The report is downloaded." })
    } catch { end(); say({ text: "The report could not be fetched: the server does not answer." }) }
  }

  // -- the address holds it all
  const keep = () => {
    const q = new URLSearchParams({ page: "runs" })
    if (find.value) q.set("q", find.value)
    if (chosen.lab) q.set("lab_is", chosen.lab)
    if (chosen.status) q.set("status", chosen.status)
    if (chosen.kind) q.set("kind", chosen.kind)
    if (by !== "age" || down) q.set("sort", by)
    if (down) q.set("down", "1")
    if (selected.size && selected.size <= 40) q.set("sel", [...selected].join(","))
    if (model.compared.length) {
      q.set("compare", model.compared.join(","))
      const { align, event, view } = model.how
      if (align && align !== "step") q.set("align", align)
      if (event) q.set("event", event)
      if (view) q.set("view", view)
    }
    const text = `${location.pathname}?${q.toString().replaceAll("%2C", ",")}`
    if (text !== location.pathname + location.search) history.replaceState({}, "", text)
  }

  listen(find, "input", () => { choose(); keep() })
  listen(find.form, "submit", e => e.preventDefault())
  find.placeholder = "Words, or learning_rate=0.1, steps>1000"
  find.setAttribute("aria-label", "Filter the runs by words, or by a control")
  listen(body, "scroll", () => paint(false))
  listen(body, "click", e => {
    const line = e.target.closest(".line1")
    if (!line || e.target.closest("a")) return
    const i = +line.dataset.i, box = e.target.closest("input")
    toggle(i, box ? box.checked : !selected.has(shown[i][ID]), e.shiftKey)
  })
  listen(body, "dblclick", e => { const r = shown[+e.target.closest(".line1")?.dataset.i]; if (r && openable(r)) location.assign(`?run=${r[ID]}`) })
  listen(body, "keydown", e => {
    const page_ = Math.floor(body.clientHeight / tall) - 1, to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page_, PageUp: at - page_, Home: 0, End: shown.length - 1 }[e.key]
    if (to !== undefined && shown.length) {
      e.preventDefault()
      at = Math.max(0, Math.min(shown.length - 1, to))
      if (at * tall < body.scrollTop) body.scrollTop = at * tall
      if ((at + 1) * tall > body.scrollTop + body.clientHeight) body.scrollTop = (at + 1) * tall - body.clientHeight
      if (e.shiftKey) toggle(at, true, false)
      else paint(true)
    } else if (e.key === " " && at >= 0) { e.preventDefault(); toggle(at, !selected.has(shown[at][ID]), false) }
    else if (e.key === "Enter" && at >= 0 && openable(shown[at])) location.assign(`?run=${shown[at][ID]}`)
    else if (e.key === "Delete" && selected.size && model.may.delete) send("delete", { ids: mine().map(r => r[ID]) })
    else if (e.key === "Escape") { selected.clear(); after() }
    else if (e.key === "a" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); shown.forEach(r => selected.add(r[ID])); after() }
  })

  const reload = () => {
    bases = read(model.bases)
    rows.clear()
    take(read(model.data))
    sort(); bar()
  }
  model.on("data", reload)
  model.on(["whole", "problem"], counts)
  model.on(["compared", "how"], () => { page.classList.toggle("short", model.compared.length > 0); keep(); paint(true) })
  model.on("msg:custom", data => {
    if (data.do === "say") say(data)
    if (data.do !== "patch") return
    bases.push(...read(data.bases))
    take(read(data.rows))
    for (const id of data.gone) rows.delete(id) // still selected, if it is brought back
    sort(); bar()
  })
  const watch = new ResizeObserver(() => paint(true))
  watch.observe(body)
  const clock = setInterval(() => paint(true), 30000)
  page.classList.toggle("short", model.compared.length > 0)
  reload()
  send("here")
  model.on("remove", () => { bin.forEach(off => off()); watch.disconnect(); clearInterval(clock); see.cancel() })
}
