"""Claims: what the paper says beside what is measured here. TryThis: one guided question.

Claims
    cards    [card(...)]: see `card` below; only what differs is drawn again
    title    heading
    here     slug of the card that a link points at: it is marked
    event    act(slug): the word at the card ("Run it", "Kick") was pressed
TryThis
    question, options [text], chosen (-1: not answered), answer (sentence with what was measured), right (index or -1)
    state    "ask" | "running" | "answered"; place "2 of 3" or ""
    events   choose(index)  next()
"""

from __future__ import annotations

from typing import Any, Literal

import param

from stabviz.app.components.base import Component, module
from stabviz.app.text import inline

Mark = Literal["holds", "fails", "open", "running", "shown"]
PATHS = {
    "holds": "M2 6.5l3 3 5-6", "fails": "M2.5 2.5l7 7m0-7l-7 7", "open": "M6 1.5a4.5 4.5 0 1 0 .01 0z", "shown": "M2 6h8",
}  # fmt: skip
"""Lines of the marks, in a box of 12 by 12: for pages that are plain HTML."""
KINDS = {"derived": "derived", "control": "must fail", "shown": "shown only"}


def card(
    slug: str,
    statement: str,
    mark: Mark,
    *,
    paper: str = "",
    measured: str = "",
    tolerance: str = "",
    reason: str = "",
    kind: str = "paper",
    source: str = "",
    action: str = "",
    progress: float | None = None,
) -> dict[str, Any]:
    """One card. `statement` may hold $mathematics$; `action` is the word to press ("Run it"); `progress` 0 to 1 while it runs."""
    return {
        "slug": slug,
        "statement": inline(statement),
        "mark": mark,
        "paper": inline(paper),
        "measured": inline(measured),
        "tolerance": inline(tolerance),
        "reason": inline(reason),
        "kind": KINDS.get(kind, ""),
        "source": source,
        "action": action,
        "progress": progress,
    }


class Claims(Component):
    """The list of claims. Parameters and events: see the head of this file."""

    title = param.String("The paper says, this run shows")
    cards = param.List([])
    here = param.String("")

    _esm = module("claims.js")
    reserve = 420


class TryThis(Component):
    """A guided question. Parameters and events: see the head of this file."""

    question = param.String("")
    options = param.List([])
    chosen = param.Integer(-1)
    right = param.Integer(-1)
    answer = param.String("")
    state = param.Selector(default="ask", objects=["ask", "running", "answered"])
    place = param.String("")

    _esm = module("try_this.js")
    reserve = 142

    def ask(self, question: str, options: list[str], place: str = "") -> None:
        """Put a question; what was answered before is forgotten."""
        texts = [inline(option) for option in options]
        self.param.update(question=inline(question), options=texts, chosen=-1, right=-1, answer="", state="ask", place=place)

    def tell(self, right: int, sentence: str) -> None:
        """Say what was measured."""
        self.param.update(right=right, answer=inline(sentence), state="answered")

    def _got_choose(self, index: int) -> None:
        self.param.update(chosen=int(index), state="running")
        self.emit("choose", index=self.chosen)
