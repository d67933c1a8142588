"""The claims' cards: verdicts on the run that is shown, and the studies that decide the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stabviz.app.components import card
from stabviz.app.live import studio, verdicts
from stabviz.app.scores import current
from stabviz.control import ControlError
from stabviz.job import RunError
from stabviz.lab import Claim, Judged, Lab, Verdict

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage
    from stabviz.run import Run
    from stabviz.scheduler import Scheduler


class Evidence:
    """What this session knows of each claim. Verdicts and Datasets are computed in the studio's thread, never on the event loop."""

    def __init__(self, lab: Lab, scheduler: Scheduler, page: LabPage):
        self.lab, self.scheduler, self._page = lab, scheduler, page
        self._jobs: dict[str, dict[str, Any]] = {}
        self._watches: list[Any] = []
        self._decided: dict[str, Verdict] = {}
        self._errors: dict[str, str] = {}

    def act(self, slug: str) -> None:
        """*Run it*: start what decides a claim, or choose the preset that does and run it."""
        claim = self.lab.claim(slug)
        self._errors.pop(slug, None)
        if isinstance(claim.study, str):
            self._page._preset(claim.study)
            self._page._submit(False)
            return
        begun: dict[str, Any] = {}
        watches: list[Any] = []
        try:
            for name, study in claim.studies.items():
                begun[name] = self.lab.study(study, self.scheduler, by=self._page.visitor)
                watches.append(self._page.visitor.watch(begun[name]))
        except (ControlError, LookupError, RunError) as error:
            self._errors[slug] = str(error)
            for watch in watches:  # those that have begun are stopped, if nobody else wants them
                watch.close()
            return
        self._jobs[slug] = begun
        self._watches += watches

    def find(self, slug: str) -> None:
        """Take what decides a claim from the store, if it is known to be there: a link points at the claim. Nothing is computed for it."""
        row = current()[0].row(self.lab.slug, slug) if slug else None
        store = self.scheduler.store
        if row is None or store is None or isinstance(self.lab.claim(slug).study, str):
            return
        if (names := row.trials[0].studies) and all(store.exists(name) for name in names):
            self.act(slug)

    def cards(self, run: Run | None) -> list[dict[str, Any]]:
        """All cards as they are now."""
        judged = {claim.slug: verdict for claim, verdict in verdicts(run, self.lab)} if run is not None else {}
        claims = sorted(self.lab.claims, key=lambda claim: claim.slug != self._page.state.claim)  # what a link points at comes first
        return [self._card(claim, judged.get(claim.slug)) for claim in claims]

    def _card(self, claim: Claim, here: Verdict | None) -> dict[str, Any]:
        jobs = self._jobs.get(claim.slug, {})
        common: dict[str, Any] = {"paper": claim.expected, "tolerance": claim.tolerance, "kind": claim.kind, "source": claim.source}
        if any(not job.ended for job in jobs.values()):
            done = [job.progress for job in jobs.values()]
            share = sum(p.step for p in done) / max(sum(p.steps for p in done), 1)
            return card(claim.slug, claim.statement, "running", progress=share, **common)
        decided = self._decide(claim, jobs) if jobs else None
        verdict = here if here is not None and here.holds is not None else decided or here
        if jobs and decided is None and (here is None or here.holds is None):  # carried out, and being judged
            return card(claim.slug, claim.statement, "running", progress=1.0, **common)
        still = self.scheduler.limits.read_only
        action = "Run it" if not still and claim.study is not None and (verdict is None or verdict.holds is None) else ""
        if claim.slug in self._errors:
            return card(claim.slug, claim.statement, "open", reason=self._errors[claim.slug], action=action, **common)
        if verdict is None:
            how = "" if action else "no run is shown" if still else "press Run"
            return card(claim.slug, claim.statement, "open", reason=how, action=action, **common)
        mark: Any = Judged(claim, verdict).mark
        return card(claim.slug, claim.statement, mark, measured=verdict.measured, reason=verdict.reason, action=action, **common)

    def _decide(self, claim: Claim, jobs: dict[str, Any]) -> Verdict | None:
        """The verdict of studies that have ended; None while it is being computed."""
        if claim.slug in self._decided:
            return self._decided[claim.slug]
        failed = next((job for job in jobs.values() if job.status in ("failed", "cancelled")), None)
        if failed is not None:
            self._decided[claim.slug] = Verdict(None, reason=failed.error or "its runs were stopped")
            return self._decided[claim.slug]
        answers, lab = self._decided, self.lab

        def decide() -> None:
            try:
                answers[claim.slug] = lab.verdict(claim, jobs)
            except Exception as error:  # a lab's own function: the card says so, and the page goes on
                answers[claim.slug] = Verdict(None, reason=f"judging it raised {type(error).__name__}: {error}")

        studio.ask((id(answers), claim.slug), decide)
        return None

    def close(self) -> None:
        """The session is over: nobody watches these studies for it any more."""
        for watch in self._watches:
            watch.close()
        self._watches = []
