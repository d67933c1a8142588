// Shared by all components: elements in one call, the page's style sheet, messages with a counter.
function h(tag, attrs = {}, ...kids) {
  const svg = ["svg", "path", "circle"].includes(tag)
  const el = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag)
  for (const [k, v] of Object.entries(attrs)) {
    if (v === null || v === undefined || v === false) continue
    if (k === "html") el.innerHTML = v
    else if (k.startsWith("on")) el.addEventListener(k.slice(2), v)
    else el.setAttribute(k, v === true ? "" : v)
  }
  el.append(...kids.flat().filter(kid => kid !== null && kid !== undefined && kid !== false))
  return el
}

// The sheet is parsed once a page and shared by the shadow roots; a notebook has none, there a component brings it.
function dress(model, el) {
  let style = document.querySelector("style[data-stabviz]")
  if (!style && model.css) {
    style = h("style", { "data-stabviz": "" })
    style.textContent = model.css
    document.head.append(style)
  }
  if (!style) return
  const text = style.textContent
  if (window.__stabviz_text !== text) {
    window.__stabviz_text = text
    window.__stabviz_sheet = new CSSStyleSheet()
    window.__stabviz_sheet.replaceSync(text)
  }
  const root = el.getRootNode()
  const sheet = window.__stabviz_sheet
  if (root instanceof ShadowRoot && !root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet]
  el.classList.add("sv")
}

function sender(model) {
  let n = 0
  const send = (event, fields = {}) => model.send_msg({ event, n: ++n, ...fields })
  send.fresh = () => model.seen >= n // Python has seen all that was sent: its state is not older than ours
  return send
}

// At most one call in `ms`; the last one is never lost.
function throttle(fn, ms) {
  let timer = null, last = 0, args = null
  const fire = () => { timer = null; last = performance.now(); const a = args; args = null; fn(...a) }
  const call = (...a) => {
    args = a
    if (timer === null) timer = setTimeout(fire, Math.max(0, ms - (performance.now() - last)))
  }
  call.cancel = () => { clearTimeout(timer); timer = null }
  return call
}

const english = new Intl.NumberFormat("en-US") // made once: it costs more than a thousand numbers
const count = n => english.format(Math.round(n))
function round(value, digits) { const v = Number(value); return v === 0 || !isFinite(v) ? v : Number(v.toPrecision(digits)) }
function short(v, digits = 4) {
  if (!isFinite(v)) return v > 0 ? "∞" : v < 0 ? "−∞" : "not a number"
  const r = round(v, digits), a = Math.abs(r)
  return a !== 0 && (a < 1e-3 || a >= 1e6) ? r.toExponential().replace("e+", "e") : String(r)
}
function set(el, text) { if (el.textContent !== text) el.textContent = text }
function html(el, text) { if (el.__html !== text) { el.__html = text; el.innerHTML = text } }

// The visitor gets a file.
function saveAs(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name })
  document.body.append(link)
  link.click()
  link.remove()
  setTimeout(() => URL.revokeObjectURL(link.href), 60000)
}
