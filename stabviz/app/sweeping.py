"""The Sweep tab: one or two controls over a range, a map that fills and sharpens while it computes, each point a run to open."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from stabviz.app import figures, link, sweep_map
from stabviz.app.components import Sweep, ViewFrame
from stabviz.app.live import Slot, studio
from stabviz.app.palette import tokens
from stabviz.app.sweep_link import HOW, Axis, observables_of
from stabviz.app.sweep_link import Sweep as Asked
from stabviz.colors import ramp
from stabviz.control import Control, ControlError
from stabviz.generic_views import ensemble
from stabviz.job import RunError
from stabviz.limits import READ_ONLY
from stabviz.studies import Study
from stabviz.system import controls

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage

FRAMES, FRAMES_OF_ENSEMBLES = 20, 60
"""Recorded moments of each point."""


class Sweeper:
    """What the tab shows and does, for one page."""

    def __init__(self, page: LabPage):
        self._page = page
        self.card = Sweep(how=list(HOW.items()))
        self.slot = Slot(ensemble("", ""))
        self.frame = ViewFrame(slug="ensemble", wide=True, pane=self.slot.box, visible=False)
        self._job: Any = None
        self._watch: Any = None
        self._axes: dict[str, list[Any]] = {}
        self._asked: Asked | None = None
        self._shown: Asked | None = None
        """What the map is of; the form may ask for something else by now."""
        self._base: link.State | None = None
        self._seen: Any = None
        self._system = ""
        self._answers: list[tuple[int, Any]] = []
        """What the threads that make a study's plans have come to: (which asking, the job and its watch, or what was wrong)."""
        self._asking = 0
        self._one = threading.Lock()
        self._cell: tuple[int, int] | None = None
        self._theme = ""
        self._drawn: Any = None
        self._lines: tuple[Any, dict[str, Any]] | None = None
        for event, callback in (
            ("set", self.set), ("start", self.start), ("stop", self.stop), ("open", self.open), ("look", self.look),
        ):  # fmt: skip
            self.card.on(event, callback)

    # -- the form -------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Offer the controls and observables of the System that the page shows, and the sweep that its state names."""
        page = self._page
        if self._system != page.state.system:
            self._offer()
        asked = page.state.sweep
        if asked is not None and asked != self._asked:
            self._asked = asked
            self.card.setting = self._setting(asked)
            self._clear()
            self._ask(begin=False)
        if self._job is None:
            self._budget()

    def _offer(self) -> None:
        page = self._page
        self._system = page.state.system
        specs = [s for s in self._specs.values() if s.kind in ("float", "int") and s.bounds and s.name not in ("steps",)]
        primary = [s for n in page.lab.primary for s in specs if s.name == n]
        specs = primary + [s for s in specs if s not in primary]
        choices = [self._choice(s) for s in specs] + [{"name": "seed", "label": "seed", "low": 0, "high": 9, "log": False, "whole": True}]
        shown = observables_of(page.lab.system(self._system, **page.state.values))
        self._asked = Asked((self._range(choices[0], 24),), next(iter(shown), ""), "last" if shown else "ended")
        self._clear()
        self.card.param.update(
            choices=choices, shown=[{"name": n, "label": label} for n, label in shown.items()], setting=self._setting(self._asked)
        )

    @property
    def _specs(self) -> dict[str, Control]:
        return dict(controls(self._page.lab.system_class(self._system)))

    def _choice(self, spec: Control) -> dict[str, Any]:
        low, high = (float(b) for b in spec.bounds or (0, 1))
        label = f"{spec.label} [{spec.unit}]" if spec.unit not in ("", "1") else spec.label
        return {"name": spec.name, "label": label, "low": low, "high": high, "log": spec.scale == "log", "whole": spec.kind == "int"}

    def _range(self, choice: dict[str, Any], count: int) -> Axis:
        """A range around the present value: a factor ten either way, or once its size."""
        low, high = choice["low"], choice["high"]
        value = self._page.state.values.get(choice["name"])
        if isinstance(value, int | float) and np.isfinite(value) and value:
            near = (value / 10, value * 10) if choice["log"] and value > 0 else (value - abs(value), value + abs(value))
            low, high = max(low, near[0]), min(high, near[1])
        if choice["whole"]:
            low, high = float(round(low)), float(max(round(high), min(round(low) + count - 1, choice["high"])))
            count = min(count, int(high - low) + 1)
        return Axis(choice["name"], float(low), float(high), count, bool(choice["log"] and low > 0))

    @staticmethod
    def _setting(asked: Asked) -> dict[str, Any]:
        made: dict[str, Any] = {"show": asked.show, "how": asked.how, "seeds": asked.seeds, "x": "", "y": ""}
        for axis, a in zip("xy", asked.axes, strict=False):
            made |= {axis: a.name, f"{axis}_low": a.low, f"{axis}_high": a.high, f"{axis}_n": a.count, f"{axis}_log": a.log}
        return made

    def set(self, setting: dict[str, Any]) -> None:
        """A choice was made in the form; a new axis starts with the whole range of its control."""
        old, new = self.card.setting, dict(setting)
        by = {c["name"]: c for c in self.card.choices}
        for axis, count in (("x", 24), ("y", 12)):
            if new.get(axis) != old.get(axis) and new.get(axis) in by:
                made = self._setting(Asked((self._range(by[new[axis]], count),), ""))
                new |= {axis + name[1:]: value for name, value in made.items() if name[0] == "x"}
        self.card.setting = new
        asked = self._read()
        if asked is None:
            return
        self._asked = self._page.state.sweep = asked
        self._page._address()
        if self._shown is not None and dataclasses.replace(self._shown, how=asked.how) == asked:
            self._shown, self._seen = asked, None  # the same study, looked at otherwise
        self._budget()

    def _read(self) -> Asked | None:
        """What the form says; None, with the reason told, where it says nothing that can be done."""
        s = self.card.setting
        try:
            axes: list[Axis] = []
            for axis in ("x", "y"):
                if s.get(axis) and s[axis] not in [a.name for a in axes]:
                    try:
                        numbers = float(s[f"{axis}_low"]), float(s[f"{axis}_high"]), int(float(s[f"{axis}_n"]))
                    except (ValueError, TypeError, OverflowError):
                        numbers = np.nan, np.nan, 0
                    axes.append(Axis(s[axis], *numbers, log=bool(s.get(f"{axis}_log"))))
            seeds = str(s.get("seeds", 1)).strip()
            if not (seeds.isascii() and seeds.isdigit() and int(seeds) > 0):
                raise ControlError("seeds", f"seeds cannot be {seeds[:20]!r}: it takes a whole number from 1.")
            asked = Asked(tuple(axes), str(s.get("show", "")), str(s.get("how", "last")), int(seeds))
            asked.points(self._specs, self._page.state.seed)
        except ControlError as error:
            self.card.note = str(error)
            return None
        return asked

    def _budget(self) -> None:
        """Say what the sweep would cost."""
        if self._page.scheduler.limits.read_only:
            self.card.param.update(may=False, note=READ_ONLY)
            return
        if self.card.busy or (asked := self._read()) is None:
            return
        points = asked.points(self._specs, self._page.state.seed)
        count, run = int(np.prod([len(v) for v in points.values()])), self._page.run
        speed = run.progress.steps_per_second if run is not None else 0
        steps = count * self._page.state.steps
        left = steps / speed if speed else 0
        most = self._page.scheduler.limits.max_cases
        if most is not None and count > most:
            self.card.note = f"{count:,} points; {most:,} is the most here: take fewer of them."
            return
        cost = f", at most {left:,.0f} s" if left >= 1 else ", about a second" if speed else "; run it once to know how long it takes"
        self.card.note = f"{count:,} {'point' if count == 1 else 'points'}, {steps:,} steps{cost}."

    # -- the study ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Carry the sweep out, or find it."""
        asked = self._read()
        if asked is not None:
            self._asked = self._page.state.sweep = asked
            self._page._address()
            self.card.param.update(busy=True, note="Preparing.")
            self._ask(begin=True)

    def _ask(self, begin: bool) -> None:
        """Have the study's plans made by a thread: they cost some ms each, and the loop is everybody's."""
        page, asked = self._page, self._asked
        assert asked is not None
        self._base = dataclasses.replace(page.state, values=dict(page.state.values), touches=(), more=())
        try:
            axes = asked.points(self._specs, page.state.seed)
        except ControlError as error:
            self.card.param.update(busy=False, note=str(error))
            return
        state, frames = self._base, FRAMES_OF_ENSEMBLES if asked.seeds > 1 else FRAMES
        own = link.own_length(page.lab, state)
        study = Study(
            system=state.system, controls={n: v for n, v in state.values.items() if n not in axes},
            steps=None if own == page.state.length and len(own) == 1 else state.steps,  # a length that follows from an axis follows it
            frames=min(state.frames, frames), spacing=state.spacing, seed=state.seed, axes=axes,
            keep=(asked.show,) if asked.show else None, asked=None if asked.show else (),  # nothing dear that is not shown
        )  # fmt: skip
        self._asking += 1
        lab, scheduler, number = page.lab, page.scheduler, self._asking

        def make() -> None:
            watch = None
            with self._one:
                if number != self._asking:  # something else was asked for meanwhile
                    return
                try:
                    found = scheduler.submit_study(study, lab, begin=begin, by=page.visitor)
                    watch = None if found is None else page.visitor.watch(found)
                except (ControlError, RunError, LookupError) as error:
                    found = error
            self._answers.append((number, (asked, axes, found, watch)))

        threading.Thread(target=make, name="stabviz-sweep", daemon=True).start()

    def _answered(self) -> None:
        """Take over what a thread has come to."""
        while self._answers:
            number, answer = self._answers.pop(0)
            if number == self._asking:
                self._take(*answer)
            elif answer[-1] is not None:
                answer[-1].close()

    def _take(self, asked: Asked, axes: dict[str, list[Any]], found: Any, watch: Any) -> None:
        if found is None:
            return
        if isinstance(found, Exception):
            self.card.param.update(busy=False, note=str(found))
            return
        self._close_watch()
        self._clear()
        self._shown, self._axes, self._job, self._watch = asked, axes, found, watch
        self.card.busy = not found.ended and found.status != "paused"

    def _clear(self) -> None:
        """Show no map."""
        self._job = self._shown = self._seen = self._cell = self._drawn = self._lines = None
        self.frame.visible = False
        self.card.map = {}

    def stop(self) -> None:
        """Stop it; the points that are complete are kept."""
        self._asking += 1  # whatever is being prepared is not wanted any more
        if self._job is not None:
            self._job.cancel()
        else:
            self.card.busy = False
            self._budget()

    def tick(self) -> None:
        """Show what is there by now."""
        self._answered()
        job = self._job
        if job is None:
            return
        theme = figures.theme_of(_document())
        if theme != self._theme:
            self._theme, self.card.ramp = theme, ramp("sequential", 64, tokens(theme))
        if job.version != self._seen:
            self._seen = job.version
            self._show(job)
        self._show_ensemble()

    def _show(self, job: Any) -> None:
        if job.status == "failed":
            self.card.param.update(busy=False, note=job.error)
            return
        dataset, p = job.dataset, job.progress
        if "status" in dataset:
            self.card.map = self._map(dataset)
        done = f"{p.step:,} of {p.steps:,} steps"
        if job.ended:
            self._close_watch()
            whole = "it is in the store, and a wider range computes only what is new"
            where = job.notice.rstrip(".") or (whole if job.status == "finished" else "what is complete is kept")
            self.card.param.update(busy=False, note=f"{job.status.capitalize()}: {where}.")
        elif job.status == "paused":
            self.card.param.update(busy=False, note=f"Broken off at {done}; Sweep goes on from there.")
        else:
            self.card.note = f"{done}, {p.eta:,.0f} s left." if p.eta else f"{done}." if p.step else "Compiling, a few seconds."

    def _map(self, dataset: Any) -> dict[str, Any]:
        asked, page = self._shown, self._page
        assert asked is not None and self._base is not None
        if self._lines is None or self._lines[0] != asked:
            boundaries = [
                b for b in page.lab.boundaries
                if b.suits(self._system, tuple(self._axes), asked.show if asked.how in ("last", "max") else "-")
            ]  # fmt: skip
            self._lines = asked, sweep_map.lines(boundaries, self._base.values, self._axes)
        label = "Steps until the end" if asked.how == "ended" else next(o["label"] for o in self.card.shown if o["name"] == asked.show)
        names = sweep_map.plane(self._axes)
        return sweep_map.table(dataset, self._axes, asked.show, asked.how) | self._lines[1] | {
            "label": label[:1].upper() + label[1:],
            "x_label": self._label(names[0]),
            "y_label": self._label(names[1]) if len(names) > 1 else "",
        }  # fmt: skip

    def _label(self, name: str) -> str:
        return next(c["label"] for c in self.card.choices if c["name"] == name)

    # -- a point --------------------------------------------------------------------------------------------------

    def _at(self, i: int, j: int) -> dict[str, int]:
        """Where a cell stands on the axes of the map."""
        return dict(zip(sweep_map.plane(self._axes), (int(i), int(j)), strict=False))

    def open(self, i: int, j: int) -> None:
        """Open the run of a point; of an ensemble its first seed."""
        if self._base is None or self._job is None:
            return
        values = {name: self._axes[name][at] for name, at in self._at(i, j).items()}
        state = dataclasses.replace(self._base, values={**self._base.values}, tab="live", sweep=self._page.state.sweep)
        state.seed = int(values.pop("seed", state.seed))
        state.turn(self._page.lab, values)
        self._page.begin(state)
        self._page.open("live")

    def look(self, i: int, j: int) -> None:
        """Show the ensemble of a point over the steps."""
        self._cell = int(i), int(j)
        self._show_ensemble()

    def _show_ensemble(self) -> None:
        job, asked = self._job, self._shown
        if job is None or asked is None or asked.seeds < 2 or "status" not in job.dataset:
            return
        where = self._at(*(self._cell or (0, 0)))
        key = (job.id, job.version, asked.show, *where.values())
        if self._drawn is None or self._drawn[0] != key:
            label = next(o["label"] for o in self.card.shown if o["name"] == asked.show)
            view = ensemble(asked.show, label)
            if self.slot.view.slug != view.slug:
                self.slot.clear()
                self.slot.view = view
            dataset = job.dataset.isel(where)
            picture = studio.picture(job, view)
            studio.ask((id(self), "ensemble"), lambda: _draw(picture, key, dataset))
            place = ", ".join(f"{self._label(n)} {self._axes[n][at]:.4g}" for n, at in where.items())
            self._drawn = key, picture, f"{label[:1].upper()}{label[1:]} at {place}"
        _, picture, title = self._drawn
        frame = picture.get(self._drawn[0])
        if frame is not None and (frame is self.slot.frame or self.slot.show(frame, True)):
            self.frame.param.update(visible=True, title=title)
            self.frame.say(frame.sentence)

    def _close_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def close(self) -> None:
        """The session is over; what nobody else watches is stopped after a while."""
        self._asking += 1
        self._answered()
        self._close_watch()


def _draw(picture: Any, key: Any, dataset: Any) -> None:
    try:
        picture.draw(key, dataset)
    except ValueError as error:  # a number that is recorded otherwise than over the steps has no bands
        picture.error = str(error)


def _document() -> Any:
    import panel as pn

    return pn.state.curdoc
