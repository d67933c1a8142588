export function render({ model, el }) {
  dress(model, el)
  const send = sender(model)
  const place = h("span", { style: "margin-left:auto;font-weight:400" }), question = h("p"), opts = h("div", { class: "opts" })
  const answer = h("div", { class: "answer fine", role: "status" }), words = h("span")
  const next = h("button", { class: "word", type: "button", onclick: () => send("next") }, "Next question")
  answer.append(words, " ", next)
  const card = h("div", { class: "card pad try" }, h("p", { class: "cap" }, "Try this", place), question, opts, answer)
  el.replaceChildren(card)
  const show = () => {
    card.hidden = !model.question
    html(question, model.question)
    set(place, model.place)
    const key = JSON.stringify(model.options)
    if (opts.__key !== key) {
      opts.__key = key
      opts.replaceChildren(...model.options.map((o, i) => h("button", { class: "btn", type: "button", html: o, onclick: () => send("choose", { index: i }) })))
    }
    [...opts.children].forEach((b, i) => {
      b.setAttribute("aria-pressed", i === model.chosen)
      b.disabled = model.state !== "ask"
      b.style.color = model.state === "answered" && (i === model.right || i === model.chosen) ? `var(--${i === model.right ? "stable" : "lost"})` : ""
    })
    html(words, model.state === "running" ? "Running it, to measure." : model.answer)
    answer.hidden = model.state === "ask"
    next.hidden = model.state !== "answered" || !model.place
  }
  show()
  model.on(["question", "options", "chosen", "right", "answer", "state", "place"], show)
}
