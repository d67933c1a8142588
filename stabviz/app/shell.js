(() => {
  const root = document.documentElement
  const cookie = (document.cookie.match(/(?:^|; )stabviz_theme=(\w+)/) || [])[1]
  const dark = matchMedia("(prefers-color-scheme: dark)")
  const setTheme = (theme, keep) => {
    root.dataset.theme = theme
    if (keep) document.cookie = `stabviz_theme=${theme}; path=/; max-age=31536000; samesite=lax`
    document.dispatchEvent(new CustomEvent("stabviz:theme", { detail: theme }))
  }
  setTheme(cookie || (dark.matches ? "dark" : "light"))
  dark.addEventListener("change", () => { if (!/stabviz_theme=/.test(document.cookie)) setTheme(dark.matches ? "dark" : "light") })

  addEventListener("DOMContentLoaded", () => {
    document.querySelector("[data-do=theme]").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark", true))
    const find = document.querySelector(".find input"), keys = document.querySelector("dialog.keys")
    const typing = e => e.composedPath().some(x => /^(INPUT|TEXTAREA|SELECT)$/.test(x.tagName) && !/^(range|checkbox|radio)$/.test(x.type) || x.isContentEditable)
    document.querySelector("[data-do=keys]").addEventListener("click", () => keys.showModal())

    // Only the views, on the whole screen: for a projector. Leaving the full screen leaves it too.
    const page = document.querySelector(".page")
    const lay = layout => { root.dataset.layout = layout; document.dispatchEvent(new CustomEvent("stabviz:layout")) }
    let before = root.dataset.layout === "wall" ? "" : root.dataset.layout
    const wall = on => {
      if (!page || on === (root.dataset.layout === "wall")) return
      if (on) { before = root.dataset.layout; lay("wall"); root.requestFullscreen?.().catch(() => {}) }
      else { lay(before); if (document.fullscreenElement) document.exitFullscreen() }
    }
    document.addEventListener("stabviz:wall", () => wall(root.dataset.layout !== "wall"))
    document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) wall(false) })
    const whole = document.querySelector(".whole")
    whole?.addEventListener("click", () => {
      const url = new URL(location.href)
      url.searchParams.delete("layout")
      whole.href = url.href
    })

    addEventListener("keydown", e => {
      if (e.ctrlKey || e.metaKey || e.altKey || typing(e)) return
      if (e.key === "p") wall(root.dataset.layout !== "wall")
      if (e.key === "Escape") wall(false)
      if (e.key === "/") { e.preventDefault(); find.focus(); find.select() }
      if (e.key === "?") { e.preventDefault(); keys.open ? keys.close() : keys.showModal() }
    })
    keys.addEventListener("click", e => { if (e.target === keys) keys.close() })

    const cards = [...document.querySelectorAll(".lab")], chips = [...document.querySelectorAll(".gal .chip")]
    if (!cards.length) return
    const none = document.querySelector(".none")
    let wing = new URLSearchParams(location.search).get("wing") || ""
    const show = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean)
      let n = 0
      for (const card of cards) {
        const on = (!wing || card.dataset.wing === wing) && words.every(w => card.dataset.search.includes(w))
        card.hidden = !on
        n += on
      }
      none.hidden = n > 0
      for (const chip of chips) chip.setAttribute("aria-current", String(chip.dataset.wing === wing))
    }
    const keep = () => {
      const q = new URLSearchParams()
      if (wing) q.set("wing", wing)
      if (find.value) q.set("q", find.value)
      history.replaceState({}, "", location.pathname + (q.size ? `?${q}` : ""))
    }
    for (const chip of chips) chip.addEventListener("click", e => { e.preventDefault(); wing = chip.dataset.wing; show(); keep() })
    find.addEventListener("input", () => { show(); keep() })
    find.form.addEventListener("submit", e => {
      e.preventDefault()
      const open = cards.filter(c => !c.hidden)
      if (open.length === 1) location.assign(open[0].getAttribute("href"))
    })
    show()
  })
})()
