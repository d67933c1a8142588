// The Scoreboard: filters by wing, lab, verdict and words, sorting by column; all of it stands in the link.
addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector("table.board"), find = document.querySelector(".find input")
  find.placeholder = "Find a claim"
  find.form.addEventListener("submit", e => e.preventDefault())
  if (!table) return
  const rows = [...table.tBodies[0].rows], none = document.querySelector(".none"), count = document.querySelector("[data-count]")
  const filters = [...document.querySelectorAll("[data-filter]")], heads = [...table.querySelectorAll("[data-sort]")]
  const given = new URLSearchParams(location.search), names = ["wing", "lab", "verdict"]
  const chosen = Object.fromEntries(names.map(n => [n, given.get(n) || ""]))
  let [by, down] = [given.get("sort") ?? "", given.get("down") === "1"]

  const show = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean)
    let n = 0
    for (const row of rows) {
      const on = names.every(k => !chosen[k] || row.dataset[k] === chosen[k]) && words.every(w => row.dataset.search.includes(w))
      row.hidden = !on
      n += on
    }
    none.hidden = n > 0
    table.hidden = n === 0
    count.textContent = n === rows.length ? `${n} claims` : `${n} of ${rows.length} claims`
    for (const f of filters) {
      if (f.tagName === "SELECT") f.value = chosen[f.dataset.filter]
      else f.setAttribute("aria-pressed", String(f.value === chosen[f.dataset.filter]))
    }
  }
  const keep = () => {
    const q = new URLSearchParams({ page: "scoreboard" })
    for (const n of names) if (chosen[n]) q.set(n, chosen[n])
    if (find.value) q.set("q", find.value)
    if (by !== "") q.set("sort", by)
    if (by !== "" && down) q.set("down", "1")
    history.replaceState({}, "", `${location.pathname}?${q}`)
  }
  const key = row => { const cell = row.cells[by]; return cell.dataset.by ?? cell.textContent.trim() }
  const sort = () => {
    heads.forEach(h => h.parentElement.setAttribute("aria-sort", h.dataset.sort !== by ? "none" : down ? "descending" : "ascending"))
    const made = by === "" ? rows : rows.map(row => [key(row), row]).sort(([a], [b]) => {
      if (!a || !b) return !a - !b // what has no value is last either way
      const numbers = Number(a) - Number(b)
      return (Number.isNaN(numbers) ? a.localeCompare(b, undefined, { numeric: true }) : numbers) * (down ? -1 : 1)
    }).map(([, row]) => row)
    table.tBodies[0].append(...made)
  }

  for (const f of filters) {
    f.addEventListener(f.tagName === "SELECT" ? "change" : "click", () => { chosen[f.dataset.filter] = f.value; show(); keep() })
  }
  for (const h of heads) {
    h.addEventListener("click", () => { // up, down, and back to the order of the labs
      if (by !== h.dataset.sort) [by, down] = [h.dataset.sort, false]
      else if (!down) down = true
      else [by, down] = ["", false]
      sort()
      keep()
    })
  }
  table.tBodies[0].addEventListener("click", e => {
    const link = e.target.closest("tr").querySelector("a")
    if (!link || e.target.closest("a") || String(getSelection())) return
    if (e.ctrlKey || e.metaKey) open(link.href)
    else location.assign(link.href)
  })
  find.addEventListener("input", () => { show(); keep() })
  if (!heads.some(h => h.dataset.sort === by)) by = ""
  sort()
  show()
})
