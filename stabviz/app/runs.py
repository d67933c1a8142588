"""The Runs page: the store as a table, what can be done with runs, and runs laid over each other."""

from __future__ import annotations

import dataclasses
import json
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn

from stabviz import listing
from stabviz.app import downloads, link, shell
from stabviz.app.catalog import Catalog, catalog
from stabviz.app.comparison import Comparison
from stabviz.app.components import Browser, Runs
from stabviz.app.pace import again_and_again
from stabviz.job import RunError, Watch
from stabviz.lab import Lab
from stabviz.limits import READ_ONLY, Visitor
from stabviz.listing import BROKEN_OFF
from stabviz.scheduler import Scheduler
from stabviz.store import Store, StoreError
from stabviz.store.layout import checked_id

TICK_SECONDS = 0.4
BEGINS_SECONDS = 1.0


def link_of(scheduler: Scheduler, run_id: str, fork: bool = False) -> tuple[Lab, str]:
    """(lab, link) of the page of a stored run, or of a fork of it.

    Raises:
        StoreError, UnknownLab: the run or its lab is not there.
        RunError: a page cannot show it, with the reason.
    """
    found, plan = plan_of(scheduler.store, run_id)
    state = link.fork_of(plan) if fork else link.of_plan(plan)
    if not fork and state.plan(found).id != run_id:
        raise RunError(f"run {run_id} records a choice of observables, which a page cannot show: compare it, or download it.")
    return found, link.write(found, state)


def plan_of(store: Store | None, run_id: str) -> tuple[Lab, Any]:
    """(lab, plan) of a stored run. Raises as `link_of`."""
    if store is None:
        raise RunError("there is no store here: runs are kept in memory only.")
    return listing.plan_of(run_id, store.info(run_id).attrs)


def page(scheduler: Scheduler) -> pn.Template:
    """The page of this session."""
    arguments = {name: values[0].decode("utf-8", "replace") for name, values in (pn.state.session_args or {}).items()}
    browser = Browser(keys=[])
    made = RunsPage(scheduler, arguments, browser)
    template = shell.page(
        "Runs", tagline="All that was computed here: filter, compare, go on, hand on.", here="runs", search=arguments.get("q", ""),
        window_title="Runs - stabviz", browser=browser, tab="runs",
        panes={"runs": [made.table, made.comparison.head, made.comparison.cards]},
    )  # fmt: skip
    again_and_again(made.tick, lambda: TICK_SECONDS)
    me = weakref.ref(made)
    pn.state.on_session_destroyed(lambda context: (p := me()) is not None and p.close())
    template.sv_page = made
    return template


class RunsPage:
    """One session's table. What takes time is done in threads, whose answers `tick` takes to the browser."""

    def __init__(self, scheduler: Scheduler, words: dict[str, str], browser: Browser):
        self.scheduler, self.browser = scheduler, browser
        self.catalog: Catalog = catalog(scheduler)
        self.catalog.look()
        limits = scheduler.limits
        self.visitor = Visitor(limits)
        may = {"delete": limits.deleting and not limits.read_only, "go_on": not limits.read_only}
        self.table = Runs(files=bool(downloads.serving), may=may, told=READ_ONLY if limits.read_only else "")
        self.comparison = Comparison(scheduler, self.catalog)
        self._answers: list[Callable[[], None]] = []
        self._watches: list[Watch] = []
        self._here = False
        self._version, self._bases = 0, 0
        self._fill()
        for event, callback in (
            ("see", self.see), ("delete", self.delete), ("undo", self.undo), ("proceed", self.proceed),
            ("compare", self.compare), ("here", self.here), ("file", self.file),
        ):  # fmt: skip
            self.table.on(event, callback)
        self.comparison.head.on("close", lambda: self.compare([]))
        self.comparison.head.param.watch(self._told, "how")
        if names := _checked(words.get("compare", "").split(",")):
            self.compare(names, **{name: words.get(name, "") for name in ("align", "event", "view")})

    def _fill(self) -> None:
        """All rows that are known, as the page begins."""
        self._version, rows, _ = self.catalog.since(0)
        self._bases = len(self.catalog.bases)
        bases = [dataclasses.asdict(base) for base in self.catalog.bases[: self._bases]]
        self.table.param.update(
            bases=json.dumps(bases), data=json.dumps(rows, separators=(",", ":")), whole=self.catalog.whole, problem=self.catalog.problem
        )

    def here(self) -> None:
        """The page has arrived in the browser: from now on changes can be sent."""
        self._here = True

    def tick(self) -> None:
        """What is new since the last tick."""
        if self._here and self.browser.awake:
            self.catalog.look()
            version, rows, gone = self.catalog.since(self._version)
            if version != self._version:
                count = len(self.catalog.bases)
                bases = [dataclasses.asdict(base) for base in self.catalog.bases[self._bases : count]]
                self._version, self._bases = version, count
                self.table.patch(rows, gone, bases)
            if (self.table.whole, self.table.problem) != (self.catalog.whole, self.catalog.problem):
                self.table.param.update(whole=self.catalog.whole, problem=self.catalog.problem)
        if self._here:
            self.comparison.tick()
        while self._answers:
            self._answers.pop(0)()

    # -- what the visitor does ------------------------------------------------------------------------------------

    def see(self, ids: Sequence[str]) -> None:
        """These rows are on the screen, without a verdict yet."""
        self.catalog.judge(_checked(ids)[:60])

    def delete(self, ids: Sequence[str]) -> None:
        """Delete runs, so that they can be brought back."""
        self._each(ids, self._discard, lambda done: self.table.say(f"{_runs(done)} deleted.", undo=done))

    def undo(self, ids: Sequence[str]) -> None:
        """Bring deleted runs back."""
        self._each(ids, self._restore, lambda done: self.table.say(f"{_runs(done)} brought back."))

    def proceed(self, ids: Sequence[str]) -> None:
        """Go on with runs: where they were broken off, or for another stretch."""
        went: list[str] = []

        def done(names: Sequence[str]) -> None:
            href = f"?run={went[0]}" if len(went) == 1 else ""
            self.table.say(f"{_runs(names)} {'goes' if len(names) == 1 else 'go'} on.", href=href)

        self._each(ids, lambda name: went.append(self._go_on(name)), done)

    def compare(self, ids: Sequence[str], **how: str) -> None:
        """Lay runs over each other; with none, end it. `how`: see `Comparison.begin`; as it was, if left out."""
        last = {name: value for name, value in self.comparison.head.how.items() if name != "moment"}
        self.comparison.begin(_checked(ids), **{**last, **how})
        self.table.compared = list(self.comparison.names)
        self._told()

    def file(self, ids: Sequence[str], kind: str, align: str = "step", event: str = "") -> None:
        """Send the file of a run, or the report of some, through the page."""
        names = _checked(ids)[:8]
        if not names or kind not in downloads.TYPES:
            return

        def work() -> None:
            try:
                name, content = downloads.whole(self.scheduler.store, names, kind, str(align), str(event)[:80])
                self._answers += [lambda: self.browser.save(name, content), lambda: self.table.say(f"{name} is downloaded.")]
            except downloads.REFUSED as error:
                text = str(error)
                self._answers.append(lambda: self.table.say(text))

        self.table.say("Making the file…")
        threading.Thread(target=work, name="stabviz-file", daemon=True).start()

    def _told(self, *events: Any) -> None:
        self.table.how = {name: value for name, value in self.comparison.head.how.items() if name != "moment"}

    def _go_on(self, run_id: str) -> str:
        found, plan = plan_of(self._store, run_id)
        watch = self.scheduler.limits.runs_per_session is not None
        run = self.scheduler.submit(plan, lab=found, by=self.visitor)
        if watch:  # stopped when the session ends, so that nobody fills the machine by going away
            self._watches.append(self.visitor.watch(run))
        one = self.catalog.row(run_id)
        if one is not None and one.status in (BROKEN_OFF, "cancelled", "paused", "running"):
            return run.id
        run.wait()
        self.visitor.admit()
        longer = run.extend()
        if watch:
            self._watches.append(self.visitor.watch(longer))
        return str(longer.wait(BEGINS_SECONDS).id)  # one that cannot begin raises, soon

    def _restore(self, run_id: str) -> None:
        self.scheduler.limits.check_deleting()
        self._store.restore(run_id)

    def _discard(self, run_id: str) -> None:
        self.scheduler.limits.check_deleting()
        self.scheduler.forget(run_id)
        self._store.discard(run_id)
        self.catalog.forget([run_id])

    @property
    def _store(self) -> Store:
        if self.scheduler.store is None:
            raise RunError("there is no store here: runs are kept in memory only.")
        return self.scheduler.store

    def _each(self, ids: Sequence[str], do: Callable[[str], Any], then: Callable[[Sequence[str]], None]) -> None:
        """Do something to each run in a thread, then say what was done, and what not."""
        names = _checked(ids)

        def work() -> None:
            done: list[str] = []
            problems: dict[str, None] = {}
            for name in names:
                try:
                    do(name)
                    done.append(name)
                except (StoreError, RunError, LookupError) as error:
                    problems[str(error)] = None
            self.catalog.refresh()
            if done:
                self._answers.append(lambda: then(done))
            if problems:
                text = " ".join(list(problems)[:3]) + (f" And {len(problems) - 3} more." if len(problems) > 3 else "")
                self._answers.append(lambda: self.table.say(text))

        threading.Thread(target=work, name="stabviz-runs", daemon=True).start()

    def close(self) -> None:
        """The session is over."""
        self._answers.clear()
        for watch in self._watches:
            watch.close()


def _checked(ids: Any) -> list[str]:
    """Names that the browser sent, if they can be names of runs."""
    found = []
    for name in list(ids)[:5000]:
        try:
            found.append(checked_id(name))
        except StoreError:
            continue
    return found


def _runs(names: Sequence[str]) -> str:
    return f"Run {names[0][:8]}" if len(names) == 1 else f"{len(names)} runs"
