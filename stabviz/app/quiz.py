"""Guided experiments: a question, a guess, the run that answers it, and what it showed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabviz.app import link
from stabviz.app.components import TryThis

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage


class Quiz:
    """The card "Try this" of one page."""

    def __init__(self, page: LabPage):
        self._page = page
        self._at, self._guess = 0, -1
        self.card = TryThis(visible=bool(page.lab.experiments) and not page.scheduler.limits.read_only)
        self.card.on("choose", self.choose)
        self.card.on("next", self.next)

    def ask(self) -> None:
        """Put the question."""
        experiments = self._page.lab.experiments
        if experiments:
            e = experiments[self._at]
            self.card.ask(e.question, list(e.options), f"{self._at + 1} of {len(experiments)}")

    def choose(self, index: int) -> None:
        """A guess was made: run the experiment."""
        page, experiment = self._page, self._page.lab.experiments[self._at]
        self._guess = int(index)
        state = link.default(page.lab, experiment.preset or "", None, page.state.seed)
        state.turn(page.lab, experiment.controls)
        state.steps = experiment.steps or state.steps
        page.begin(state)

    def next(self) -> None:
        """The next question."""
        self._at, self._guess = (self._at + 1) % len(self._page.lab.experiments), -1
        self.ask()

    def answer(self) -> None:
        """Say what the run of the experiment showed, once it has ended."""
        run = self._page.run
        if self._guess < 0 or run is None or not run.ended or self.card.state != "running":
            return
        try:
            right, sentence = self._page.lab.experiments[self._at].answer(run.dataset)
        except Exception as error:  # a lab of one's own may raise anything
            right, sentence = -1, f"The answer could not be computed ({type(error).__name__}: {str(error)[:100]})."
        self.card.tell(right, sentence)
