"""A lab's page: controls, run, views, scrubber, claims. One `LabPage` a session; the run belongs to the scheduler."""

from __future__ import annotations

import dataclasses
import secrets
import time
from html import escape
from typing import Any

from panel.io.document import unlocked

from stabviz.app import link, sheet, tabs
from stabviz.app.bench import Bench
from stabviz.app.components import Browser, Claims, RunBar, Scrubber, Words
from stabviz.app.evidence import Evidence
from stabviz.app.live import studio, warm_up
from stabviz.app.pace import EAGER_SECONDS, Pace
from stabviz.app.quiz import Quiz
from stabviz.app.sharing import Sharing
from stabviz.app.stage import PRESS, Stage
from stabviz.app.sweeping import Sweeper
from stabviz.control import ControlError
from stabviz.job import RunError
from stabviz.lab import Lab
from stabviz.limits import READ_ONLY, Visitor
from stabviz.run import Run
from stabviz.scheduler import Scheduler

LIVE_SECONDS = 0.15
"""Live mode starts at most one run in so many seconds while a slider is dragged."""


class LabPage:
    """The page of one lab in one session. `query`: the link that was opened."""

    def __init__(self, lab: Lab, query: str, scheduler: Scheduler, browser: Browser | None = None):
        self.lab, self.scheduler = lab, scheduler
        self.state = link.read(lab, query)
        self.run: Run | None = None
        self._watch: Any = None
        self._touched: tuple[Run, Run | None] | None = None
        self._version = -1
        self._wanted: float | None = None
        self._expected: Any = None
        self._untold = False
        self.pace = Pace(self.tick)
        self._known_frames = -1
        self._stale = False
        self.visitor = Visitor(scheduler.limits)
        self.browser = browser or Browser()
        self.notice = Words(visible=False)
        self.bar = RunBar()
        self.scrubber = Scrubber()
        self.stage = Stage(lab, self.browser, self.scrubber)
        still = scheduler.limits.read_only
        self.state.live = self.state.live and not still
        self.controls = sheet.make(lab, self.state)
        if still:
            self.controls.hidden = [*self.controls.hidden, "touch", "live"]
            self.bar.can = {"run": False, "step": False, "reset": True}
        self.evidence = Evidence(lab, scheduler, self)
        self.evidence.find(self.state.claim)
        self.claims = Claims(cards=self.evidence.cards(None), here=self.state.claim)
        self.quiz = Quiz(self)
        self.bench = Bench(self)
        self.sweeper = Sweeper(self)
        self.sharing = Sharing(self)
        self.parts = tabs.Parts(self)
        self._listen()
        self._show_state()
        self.quiz.ask()
        self._attach_if_known()
        if self.state.problems:
            self.tell(" ".join(self.state.problems))
        elif self.state.start:
            self.tell(f"A fork: it starts from the last state of run {self.state.start}. A preset starts afresh.")

    # -- made once ------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        c, b = self.controls, self.bar
        for event, callback in (
            ("settled", self._settled), ("live", self._dragged), ("preset", self._preset), ("seed", self._seed),
            ("new_seed", self._new_seed), ("live_switch", self._live_switch), ("kick", self._kick),
        ):  # fmt: skip
            c.on(event, callback)
        for event, callback in (
            ("run", self.start),
            ("pause", self._pause),
            ("resume", self._resume),
            ("step", self._step),
            ("reset", self.reset),
        ):
            b.on(event, callback)
        self.scrubber.on("scrub", self._scrub)
        self.scrubber.on("follow", self._follow)
        self.claims.on("act", self.evidence.act)
        self.browser.on("key", self._key)
        self.browser.on("back", self._back)

    # -- state and link -------------------------------------------------------------------------------------------

    def _show_state(self, push: bool = False) -> None:
        """Put the state into the widgets and the address bar (`push`: as a new page, that Back leaves)."""
        sheet.show(self.controls, self.lab, self.state)
        self.claims.here = self.state.claim
        self.stage.suit(self.state.system)
        self.bench.show()
        self._address(push)

    def _address(self, push: bool = False) -> None:
        self.state.at = None if self.scrubber.follow or self.run is None else self.scrubber.frame
        query = link.write(self.lab, self.state)
        if push and query != self.browser.query:
            self.browser.push(query)
        else:
            self.browser.query = query
        self.parts.changed()

    def plan(self) -> Any:
        """The plan that the page's controls describe, or None with the reason told."""
        try:
            return self.state.plan(self.lab)
        except (ControlError, LookupError) as error:
            name = getattr(error, "control", "")
            if name in self.controls.values:
                self.controls.errors = {**self.controls.errors, name: str(error)}
            self.tell(str(error))
            return None

    def tell(self, sentence: str) -> None:
        """Say something above the views, or nothing."""
        words = f'<p class="notice" role="status">{escape(sentence)}</p>' if sentence else ""
        self.notice.param.update(object=words, visible=bool(sentence))

    # -- what the visitor does ------------------------------------------------------------------------------------

    def _settled(self, name: str, value: Any) -> None:
        if self.state.lesson.locks(name):
            sheet.again(self.controls, self.lab, self.state)
            return
        self._change(name, value)
        self._address()

    def _dragged(self, name: str, value: Any) -> None:
        if self.state.live and not self.state.lesson.locks(name):
            self._change(name, value)

    def _change(self, name: str, value: Any) -> None:
        if name == "system":
            self._choose_system(str(value))
            return
        if not self.state.live and self.run is not None and not self.run.ended and self._acts().get(name) == "at once":
            self._touch(lambda run: run.turn(wait=False, **{name: value}))
            return
        self._forget_touches()
        if name in ("steps", "frames"):
            setattr(self.state, name, int(value))
        else:
            length = self.state.length
            self.state.turn(self.lab, {name: value})
            if self.state.length != length:
                self.controls.set(steps=self.state.steps, frames=self.state.frames)
        self.state.preset = self.controls.preset = ""
        if self.state.live:
            self._want()
        else:
            self._mark_stale()

    def _acts(self) -> dict[str, str]:
        acts = self.run.acts if self.run is not None else {}
        if acts:
            short = {"at once": "once", "at reset": "reset", "no part": "none"}
            self.controls.acts = {n: short[a] for n, a in acts.items()}
        return acts

    def _choose_system(self, name: str) -> None:
        """Another System starts from its own defaults: what suits one need not suit the other."""
        self.take(dataclasses.replace(link.default(self.lab, "", name, self.state.seed), live=self.state.live, tab=self.state.tab))

    def _preset(self, slug: str) -> None:
        if self.state.lesson.locks("preset"):
            return
        self.take(dataclasses.replace(link.default(self.lab, slug, None, self.state.seed), live=self.state.live, tab=self.state.tab))

    def take(self, state: link.State) -> None:
        """Show another state, and run it where Live is on."""
        self._become(state)
        self.tell("")
        self._show_state(push=True)
        if state.live:
            self._want()
        else:
            self._mark_stale()

    def _seed(self, value: int) -> None:
        if self.state.lesson.locks("seed"):
            self.controls.seed = self.state.seed
            return
        self.state.seed = int(value)
        self._forget_touches()
        self._show_state()
        self._want() if self.state.live else self._mark_stale()

    def _new_seed(self) -> None:
        self._seed(secrets.randbelow(100_000))

    def _live_switch(self, on: bool) -> None:
        self.state.live = self.controls.live = bool(on) and not self.scheduler.limits.read_only
        self._address()
        if self.state.live and self._stale:
            self._want()

    def _forget_touches(self) -> None:
        """From here on another run is described; it begins with what the controls show."""
        self.state.values.update(sheet.turned(self.state))
        self.state.touches, self.state.more = (), ()

    def _mark_stale(self) -> None:
        """The run on the page no longer is the one that the controls describe."""
        plan = self.plan() if self.run is not None else None
        self._stale = plan is not None and self.run is not None and plan.id != self.run.id
        if self.scheduler.limits.read_only:  # what is stored is opened, since nothing else can be done with it
            self._look_up(plan or self.plan())
        elif self._stale:
            self._foretell(plan)
        self.stage.stale(self._stale)
        self._version = -1

    def _foretell(self, plan: Any) -> None:
        """Say beforehand what this server would refuse."""
        try:
            self.scheduler.limits.check_plans([plan])
        except RunError as error:
            self.tell(str(error))

    def _look_up(self, plan: Any) -> None:
        """Open the run of a plan, if the store has it."""
        store = self.scheduler.store
        if plan is not None and (self.run is None or plan.id != self.run.id) and store is not None and store.exists(plan.id):
            self._begin(plan, False)

    def _want(self) -> None:
        self._wanted = self._wanted or time.monotonic()

    def start(self) -> None:
        """Run what the controls say, or go on with a finished run."""
        if self.run is not None and self.run.status == "finished" and not self._stale:
            self._extend()
            return
        self._submit(False)

    def _submit(self, paused: bool) -> None:
        self._wanted = None
        plan = self.plan()
        if plan is not None:
            self.tell("")
            self._begin(plan, paused)

    def _begin(self, plan: Any, paused: bool) -> bool:
        """Show the run of a plan; False, with the reason told, where it may not be computed here."""
        try:
            run = self.scheduler.submit(plan, lab=self.lab, paused=paused, by=self.visitor, leaving=self._watch)
        except RunError as error:
            self.tell(str(error))
            return False
        self._attach(run)
        return True

    def _extend(self) -> None:
        run = self.run
        assert run is not None
        try:
            self.visitor.admit(leaving=self._watch)
            child = run.extend()
        except RunError as error:
            self.tell(str(error))
            return
        self._follow_to(child)

    def _pause(self) -> None:
        if self.run is not None:
            self.run.pause()

    def _resume(self) -> None:
        if self.run is not None:
            self.run.resume()

    def _step(self) -> None:
        if self.run is None or self._stale:
            self._submit(True)
        if self.run is not None and not self._stale:
            self.run.step()

    def reset(self) -> None:
        """Leave the run and forget what was done to it; controls and seed stay."""
        self._wanted = None
        self._detach()
        self._forget_touches()
        self._stale = False
        self.tell("")
        self._clear_stage()
        self.scrubber.param.update(n=0, frame=0, follow=True, marks=[], at=[])
        self.claims.cards = self.evidence.cards(None)
        self._show_bar()
        self._address()

    def _kick(self, name: str = "kick", args: dict[str, Any] | None = None) -> None:
        if self.run is None:
            self.tell("There is nothing to kick yet: press Run first.")
            return
        self._touch(lambda run: run.kick(name, wait=False, **(args or {})))

    def _touch(self, do: Any) -> None:
        heir = self._heir()
        if heir is not None:  # of a touch just before this one
            self._follow_to(heir)
        run = self.run
        assert run is not None
        self._touched = run, run.successor
        self.pace.hasten()
        studio.hurry(run.id, EAGER_SECONDS, self.pace.wake)
        try:
            child = do(run)
            if child is not None:
                self._follow_to(child)
            self.pace.look_soon()
        except (ControlError, RunError) as error:
            self._touched = None
            self.pace.answered()
            self.tell(str(error))
            sheet.again(self.controls, self.lab, self.state)

    def _heir(self) -> Run | None:
        """The run that took over after a touch of this session's own; that of another session is no business of this one."""
        if self._touched is None or self.run is not self._touched[0]:
            return None
        heir = self.run.successor
        return None if heir is self._touched[1] else heir

    def _scrub(self, frame: int) -> None:
        self._version = -1
        self._address()

    def _follow(self, on: bool) -> None:
        if on:
            self.stage.free()
        self._version = -1
        self._address()

    def _key(self, key: str) -> None:
        live = self.run is not None and not self.run.ended and not self._stale
        if key == "r":
            (self._pause if live and self.run.status != "paused" else self._resume if live else self.start)()  # type: ignore[union-attr]
        elif key == "s":
            self._step()
        elif key == "0":
            self.reset()
        elif key == "f":
            self.scrubber.follow = not self.scrubber.follow
            self._follow(self.scrubber.follow)

    def _back(self, query: str) -> None:
        self._detach()
        self.state = link.read(self.lab, query)
        self._show_state()
        self._attach_if_known()
        self._mark_stale()
        self.open(self.state.tab)

    def tab(self, slug: str) -> None:
        """A tab was opened."""
        self.state.tab = slug
        self.parts.opened(slug)
        self._address()

    def begin(self, state: link.State) -> None:
        """Show another state and run it."""
        self._become(state)
        self._show_state(push=True)
        self._submit(False)

    def _become(self, state: link.State) -> None:
        """Another state under the same lesson."""
        state.lesson = self.state.lesson
        self.state = state

    # -- the run --------------------------------------------------------------------------------------------------

    def _attach_if_known(self) -> None:
        """Find the run that the link describes: under way, or in the store."""
        plan = self.plan()
        if plan is None:
            self._show_empty()
            return
        run = self.scheduler.get(plan.id)
        store = self.scheduler.store
        if (run is not None and run.status not in ("failed", "cancelled")) or (store is not None and store.exists(plan.id)):
            if self._begin(plan, paused=run is None or run.status == "paused"):
                if self.state.at is not None:
                    self.scrubber.param.update(follow=False, frame=self.state.at)
                return
        self._show_empty()

    def _show_empty(self) -> None:
        plan = self.plan()
        self._expected = plan
        if plan is not None and not self.scheduler.limits.read_only:
            self._foretell(plan)
        self._clear_stage()
        self._show_bar()

    def _clear_stage(self) -> None:
        self.stage.nothing("Not in the store." if self.scheduler.limits.read_only else PRESS)

    def _attach(self, run: Run) -> None:
        if run is self.run:
            return
        self._detach()
        self.run, self._watch = run, self.visitor.watch(run)
        self._version, self._stale, self._expected = -1, False, None
        self.stage.waiting()
        self.scrubber.param.update(at=[int(k) for k in run.plan.schedule.at], n=0, frame=0, marks=[])
        self._show_marks()
        self._show_bar()

    def _detach(self) -> None:
        run, watch = self.run, self._watch
        self.run = self._watch = None
        if watch is not None:
            watch.close()
        limited = self.scheduler.limits.runs_per_session is not None  # else a client that asks and leaves would fill the line
        if run is not None and not run.ended and run.abandoned_for > 0 and (limited or run.status != "waiting"):
            run.cancel()

    def _follow_to(self, child: Run) -> None:
        """A touched run's child has taken over: the page goes with it, and the link too."""
        if self.run is not None:
            studio.drop(self.run.id)
        self._known_frames = child.inherited
        watch, self._watch = self._watch, self.visitor.watch(child)
        if watch is not None:
            watch.close()
        self.run, self._version, self._touched = child, -1, None
        self.state.touches = child.plan.interventions
        self.state.more = child.plan.schedule.segments[1:]
        self._untold = True
        if not self.pace.eager:  # else once its first frame is there
            self._tell_touches()

    def _tell_touches(self) -> None:
        """Say what was done to the run: marks at the scrubber, the link."""
        run, self._untold = self.run, False
        if run is not None:
            self.scrubber.param.update(at=[int(k) for k in run.plan.schedule.at], n=max(self.scrubber.n, run.frames))
            self._show_marks()
            self._address()

    def _show_marks(self) -> None:
        if self.run is not None:
            self.scrubber.marks = [{"step": i.step, "label": i.describe(), "kind": i.kind} for i in self.run.plan.interventions]

    # -- the clock ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What is new since the last tick. Everything that the page shows of a run comes through here.

        Nothing before the page has arrived in the browser: what is said until then is lost (it would say "waiting" of a run that has
        ended long since), and a new figure could overtake the page that it belongs to.
        """
        if not self.browser.seen or self.pace.resting:
            return
        start = time.perf_counter()
        self._warm()
        if self._wanted is not None and time.monotonic() - self._wanted >= LIVE_SECONDS:
            self._submit(False)
        if (heir := self._heir()) is not None:
            self._follow_to(heir)
        with unlocked():  # one message, sent at once
            if self.pace.eager:
                self._answer()
            else:
                self._look()
        self.pace.looked(time.perf_counter() - start)

    def _answer(self) -> None:
        """Somebody waits for the first frame after a touch: that and nothing else, since what was before would hold it up."""
        run = self.run
        if self._touched is not None:
            return  # the run that takes over is not there yet
        if run is None or run.ended or run.status == "paused" or self.scrubber.freeze or not self.browser.awake:
            self.pace.answered()  # no frame will come, or none is wanted
            self._look()
        elif run.frames > self._known_frames:
            self.scrubber.n = run.frames
            self._show(run, one=True)

    def _show(self, run: Run, one: bool) -> None:
        if self.stage.show(run, one):
            self.browser.mark()
            self.pace.answered()

    def _look(self) -> None:
        """Show all that is new."""
        run = self.run
        if run is not None:
            if self._untold:
                self._tell_touches()
            version = run.version
            if version != self._version:
                self._version = version
                self._show_bar()
                if not self.scrubber.freeze:
                    self.scrubber.n = run.frames
                self._acts()
                self.parts.arrived()
            if not self.browser.drawing and not self.scrubber.freeze and self.browser.awake:
                self._show(run, one=False)
            self.quiz.answer()
        self.sweeper.tick()
        self.bench.tick()
        cards = self.evidence.cards(run)
        if cards != self.claims.cards:
            self.claims.cards = cards

    def _warm(self) -> None:
        """Compile what Run will probably want, once the page is there: before that it would only hold the page up."""
        plan, self._expected = self._expected, None
        if plan is not None:
            self.scheduler.warm(plan)
            warm_up()

    tabs: Any = None
    """The `Tabs` of the page around, where there is one."""

    def open(self, slug: str) -> None:
        """Open a tab."""
        if self.tabs is not None:
            self.tabs.value = slug
        self.tab(slug)

    def _show_bar(self) -> None:
        run, still = self.run, self.scheduler.limits.read_only
        if still and not self.notice.visible:
            self.tell(READ_ONLY)
        if run is None:
            self.bar.show("", 0, self.state.steps, sentence="This run is not in the store." if still else "")
            self.bar.label = ""
            self.controls.param.update(touchable=False, touch_note="Press Run, then kick.")
            return
        p = run.progress
        words = {"failed": run.error, "cancelled": f"Broken off at step {p.step:,}." if still else "Stopped; Run goes on from here."}
        ends = run.ended and run.status not in ("finished", "failed", "cancelled")
        sentence = words.get(run.status, f"{run.status.capitalize()} at step {run.stopped_at:,}." if ends else "")
        if run.status == "waiting" and run.needed:
            first = next((r for r in run.needed.values() if not r.ended), None)
            sentence = f"First the run it starts from: step {first.progress.step:,} of {first.progress.steps:,}." if first else ""
        if not self.notice.visible:
            if run.notice:
                self.tell(run.notice)
            elif run.status == "diverged" and not self._stale:
                self.tell("The run is lost. Turn the last control back or choose a preset, then run again; Theory says when it goes wrong.")
        self.bar.show(run.status, p.step, p.steps, p.steps_per_second, p.eta, sentence[:1].upper() + sentence[1:])
        self.bar.label = "Run" if self._stale or still else "Continue" if run.status == "finished" else ""
        self.controls.param.update(
            touchable=not run.ended or run.status == "finished", touch_note="" if not ends else "This run has ended."
        )

    def close(self) -> None:
        """The session is over."""
        self.evidence.close()
        self.sweeper.close()
        self.bench.close()
        self._detach_quietly()

    def _detach_quietly(self) -> None:
        watch, self._watch, self.run = self._watch, None, None
        if watch is not None:
            watch.close()
