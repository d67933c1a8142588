"""The Sweep tab: one or two controls over a range, a map that fills while it computes, and each point a run to open."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from stabviz.app import figures, link
from stabviz.app.components import Sweep
from stabviz.app.palette import tokens
from stabviz.colors import ramp
from stabviz.control import Control, ControlError
from stabviz.job import RunError
from stabviz.studies import Study
from stabviz.system import controls

if TYPE_CHECKING:
    import xarray as xr

    from stabviz.app.lab_page import LabPage

FRAMES = 20
"""Recorded moments of each point, unless its value is how long it lasts."""
MOST = 4096
"""Points of a sweep on the page; the command line and Python take more."""


class Sweeper:
    """What the tab shows and does, for one page."""

    def __init__(self, page: LabPage):
        self._page = page
        self.card = Sweep()
        self._job: Any = None
        self._watch: Any = None
        self._axes: dict[str, list[Any]] = {}
        self._base: link.State | None = None
        self._seen: Any = None
        self._system = ""
        for event, callback in (("set", self.set), ("start", self.start), ("stop", self.stop), ("open", self.open)):
            self.card.on(event, callback)

    def show(self) -> None:
        """Offer the controls and observables of the System that the page shows."""
        page = self._page
        if self._system == page.state.system:
            self._budget()
            return
        self._system = page.state.system
        cls = page.lab.system_class(self._system)
        specs = [s for s in controls(cls).values() if s.kind in ("float", "int") and s.bounds and s.name not in ("steps",)]
        primary = [s for n in page.lab.primary for s in specs if s.name == n]
        specs = primary + [s for s in specs if s not in primary]
        choices = [self._choice(s) for s in specs] + [{"name": "seed", "label": "seed", "low": 0, "high": 9, "log": False, "whole": True}]
        observables = page.lab.system(self._system, **page.state.values).observables
        shown = [{"name": n, "label": o.long_name} for n, o in observables.items() if not o.dims and o.role is None]
        first = choices[0]
        self.card.param.update(
            choices=choices, shown=shown, map={}, ramp=self._ramp(),
            setting={**self._range("x", first), "y": "", "show": shown[0]["name"] if shown else "", "how": "last" if shown else "ended"},
        )  # fmt: skip
        self._budget()

    def _choice(self, spec: Control) -> dict[str, Any]:
        low, high = (float(b) for b in spec.bounds or (0, 1))
        label = f"{spec.label} [{spec.unit}]" if spec.unit not in ("", "1") else spec.label
        return {"name": spec.name, "label": label, "low": low, "high": high, "log": spec.scale == "log", "whole": spec.kind == "int"}

    def _range(self, axis: str, choice: dict[str, Any]) -> dict[str, Any]:
        """A range around the present value: a factor ten either way, or once its size."""
        low, high, count = choice["low"], choice["high"], 24 if axis == "x" else 12
        value = self._page.state.values.get(choice["name"])
        if isinstance(value, int | float) and np.isfinite(value) and value:
            near = (value / 10, value * 10) if choice["log"] and value > 0 else (value - abs(value), value + abs(value))
            low, high = max(low, near[0]), min(high, near[1])
        if choice["whole"]:
            low, high = float(round(low)), float(max(round(high), min(round(low) + count - 1, choice["high"])))
            count = min(count, int(high - low) + 1)
        return {axis: choice["name"], f"{axis}_low": low, f"{axis}_high": high, f"{axis}_n": count}

    def _ramp(self) -> list[str]:
        return ramp("sequential", 64, tokens(figures.theme_of(self._document)))

    @property
    def _document(self) -> Any:
        import panel as pn

        return pn.state.curdoc

    def set(self, setting: dict[str, Any]) -> None:
        """A choice was made in the form; a new axis starts with the whole range of its control."""
        old, new = self.card.setting, dict(setting)
        by = {c["name"]: c for c in self.card.choices}
        for axis in ("x", "y"):
            if new.get(axis) != old.get(axis) and new.get(axis) in by:
                new |= self._range(axis, by[new[axis]])
        self.card.setting = new
        self._budget()

    def _points(self) -> dict[str, list[Any]]:
        """Each axis and its values.

        Raises:
            ControlError: a range that its control does not take.
        """
        setting, axes = self.card.setting, {}
        specs = controls(self._page.lab.system_class(self._system))
        by = {c["name"]: c for c in self.card.choices}
        for axis in ("x", "y"):
            name = setting.get(axis) or ""
            if not name or name in axes:
                continue
            try:
                low, high, count = float(setting[f"{axis}_low"]), float(setting[f"{axis}_high"]), int(float(setting[f"{axis}_n"]))
                if not (np.isfinite([low, high]).all() and low <= high and 1 <= count <= MOST):
                    raise ValueError
            except (ValueError, TypeError):
                label = by[name]["label"]
                raise ControlError(name, f"{label}: a range goes from a number up to another, in 1 to {MOST:,} points.") from None
            log = by[name]["log"] and low > 0
            points = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
            if by[name]["whole"]:
                points = np.unique(np.round(points)).astype(int)
            axes[name] = [x.item() if name == "seed" else specs[name].validate(x.item()) for x in np.clip(points, low, high)]
        if int(np.prod([len(v) for v in axes.values()])) > MOST:
            raise ControlError("points", f"These are more than {MOST:,} points: take fewer, or sweep in Python or on the command line.")
        return axes

    def _budget(self) -> None:
        """Say what the sweep would cost."""
        if self.card.busy:
            return
        try:
            axes = self._points()
        except ControlError as error:
            self.card.note = str(error)
            return
        count, run = int(np.prod([len(v) for v in axes.values()])), self._page.run
        speed = run.progress.steps_per_second if run is not None else 0
        steps = count * self._page.state.steps
        left = steps / speed if speed else 0
        cost = f", at most {left:,.0f} s" if left >= 1 else ", about a second" if speed else "; run it once to know how long it takes"
        self.card.note = f"{count:,} points, {steps:,} steps{cost}."

    def start(self) -> None:
        """Carry the sweep out, or find it."""
        page = self._page
        try:
            self._axes = self._points()
            self._base = dataclasses.replace(page.state, values=dict(page.state.values), touches=(), more=())
            controls_of_all = {n: v for n, v in page.state.values.items() if n not in self._axes}
            how, name = self.card.setting.get("how"), self.card.setting.get("show")
            study = Study(
                system=page.state.system, controls=controls_of_all, steps=page.state.steps, frames=min(page.state.frames, FRAMES),
                spacing=page.state.spacing, seed=page.state.seed, axes=self._axes, keep=(name,) if name and how != "ended" else None,
            )  # fmt: skip
            self._job = page.scheduler.submit_study(study, page.lab)
        except (ControlError, RunError) as error:
            self.card.note = str(error)
            return
        self._close_watch()
        self._watch, self._seen = self._job.watch(), None
        self.card.busy = True
        self.tick()

    def stop(self) -> None:
        """Stop it; the points that are complete are kept."""
        if self._job is not None:
            self._job.cancel()

    def tick(self) -> None:
        """Show what is there by now."""
        job = self._job
        if job is None or job.version == self._seen:
            return
        self._seen = job.version
        if job.status == "failed":
            self.card.param.update(busy=False, note=job.error)
            return
        dataset, p = job.dataset, job.progress
        if "status" in dataset:
            self.card.param.update(map=self._map(dataset), ramp=self._ramp())
        done = f"{p.step:,} of {p.steps:,} steps"
        if job.ended:
            self._close_watch()
            whole = "it is in the store, and a wider range computes only what is new"
            where = whole if job.status == "finished" else "what is complete is kept"
            self.card.param.update(busy=False, note=f"{job.status.capitalize()}: {where}.")
        else:
            self.card.note = f"{done}, {p.eta:,.0f} s left." if p.eta else f"{done}." if p.step else "Compiling, a few seconds."

    def _map(self, dataset: xr.Dataset) -> dict[str, Any]:
        """The values as rows of numbers, None where there is none yet."""
        names, setting = list(self._axes), self.card.setting
        status = dataset["status"].transpose(*reversed(names)).values
        lost = ~np.isin(status, ("waiting", "running", "finished"))
        how, name = setting.get("how"), setting.get("show")
        if how == "ended":
            values = dataset["ended_step"].transpose(*reversed(names)).values.astype(float)
            values[values < 0] = np.nan
        else:
            every = dataset[name].transpose(*reversed(names), ...).values.astype(float)
            values = _reduced(every, str(how))
            values[np.isin(status, ("waiting",))] = np.nan
        if len(names) == 1:
            values, lost = values[None], lost[None]
        by = {c["name"]: c for c in self.card.choices}
        label = "Steps until the end" if how == "ended" else next(o["label"] for o in self.card.shown if o["name"] == name)
        second = names[1] if len(names) > 1 else ""
        return {
            "x": self._axes[names[0]],
            "y": self._axes.get(second, [0]),
            "z": [[float(f"{v:.6g}") if np.isfinite(v) else None for v in row] for row in values],
            "lost": lost.astype(int).tolist(),
            "label": label[:1].upper() + label[1:],
            "x_label": by[names[0]]["label"],
            "y_label": by[second]["label"] if second else "",
        }

    def open(self, i: int, j: int) -> None:
        """Open the run of a point."""
        if self._base is None:
            return
        names = list(self._axes)
        values = {names[0]: self._axes[names[0]][int(i)]}
        if len(names) > 1:
            values[names[1]] = self._axes[names[1]][int(j)]
        state = dataclasses.replace(self._base, values={**self._base.values}, tab="live")
        state.seed = int(values.pop("seed", state.seed))
        state.values.update(values)
        self._page.begin(state)
        self._page.open("live")

    def _close_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def close(self) -> None:
        """The session is over; what nobody else watches is stopped after a while."""
        self._close_watch()


def _reduced(values: np.ndarray, how: str) -> np.ndarray:
    """Last finite, largest or smallest finite value over the last axis; NaN where there is none. Shape without the last axis."""
    good = np.isfinite(values)
    some = good.any(axis=-1)
    if how == "last":
        last = values.shape[-1] - 1 - np.argmax(good[..., ::-1], axis=-1)
        picked = np.take_along_axis(values, last[..., None], -1)[..., 0]
    else:
        picked = np.where(good, values, -np.inf).max(axis=-1) if how == "max" else np.where(good, values, np.inf).min(axis=-1)
    return np.where(some, picked, np.nan)
