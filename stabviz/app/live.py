"""Live views: what a run's newest frame looks like, drawn once for everybody, and assigned to each session's plots.

A full HoloViews update costs the event loop that all sessions share 5-17 ms. So HoloViews draws a view once in a session
(`Slot`), and later frames are translated to the columns of its Bokeh sources by one drawing thread for all sessions
(`Studio`); a session only assigns them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import xarray as xr
from bokeh.models import Plot

from stabviz.app import figures
from stabviz.app.drawn import Draughts, Frame, drawing, flat, plotted, until
from stabviz.app.growing import growing
from stabviz.app.kept import Figure
from stabviz.app.palette import Theme, swap
from stabviz.lab import Lab, View

log = logging.getLogger("stabviz.live")

KEPT = 6
"""Frames of one view that are kept drawn: sessions may look at different moments."""

DRAWING_REST = 0.5
"""Rest after each frame, as a share of what it took: drawing is Python, and the loop and the workers need their turn."""

class Picture:
    """One view of one run, for everybody: the last few frames, drawn. Filled by the studio's thread."""

    def __init__(self, view: View):
        self.view = view
        self.error = ""
        self._frames: OrderedDict[Any, Frame] = OrderedDict()
        self._draughts = Draughts.of(view)

    def get(self, key: Any) -> Frame | None:
        """The frame drawn for a key."""
        return self._frames.get(key)

    @property
    def newest(self) -> Frame | None:
        """The frame drawn last."""
        try:
            return next(reversed(self._frames.values()))
        except (StopIteration, RuntimeError):
            return None

    def draw(self, key: Any, dataset: xr.Dataset) -> Frame:
        """Draw the view of a Dataset, as columns for the sessions' plots."""
        frame = self._draughts.frame(dataset)
        self._frames[key] = frame
        while len(self._frames) > KEPT:
            self._frames.popitem(last=False)
        self.error = ""
        return frame


class Studio:
    """Draws what sessions ask for in one thread of its own; of several wishes for the same picture the last one counts."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[tuple[str, str], Picture] = OrderedDict()
        self._wishes: OrderedDict[Any, Callable[[], None]] = OrderedDict()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hurry_until = 0.0
        self._wake: weakref.WeakMethod[Callable[[], None]] | None = None

    def picture(self, run: Any, view: View) -> Picture:
        """The picture of a view of a run."""
        with self._change:
            key = (run.id, view.slug)
            picture = self._pictures.get(key)
            if picture is None:
                picture = self._pictures[key] = Picture(view)
            self._pictures.move_to_end(key)
            while len(self._pictures) > 256:
                self._pictures.popitem(last=False)
        return picture

    def frame(self, run: Any, view: View, shown: int, follow: bool = True) -> Frame | None:
        """The view of a run with frame number `shown` as the moment, drawn soon; until then the newest one there is.

        None where nothing fits yet: a moment that is asked for by itself (not `follow`) is not replaced by another.
        """
        picture = self.picture(run, view)
        count = run.frames
        key = (count, run.status) if view.kind == "history" else shown
        frame = picture.get(key)
        if frame is None and not picture.error:
            self.ask((run.id, view.slug), lambda: self._draw(picture, key, run, shown))
            return picture.newest if follow or view.kind == "history" else None
        return frame

    def _draw(self, picture: Picture, key: Any, run: Any, shown: int) -> None:
        dataset = run.dataset
        if not dataset.sizes.get("step"):
            return
        start = time.perf_counter()
        try:
            picture.draw(key, dataset if picture.view.kind == "history" else until(dataset, shown))
        except Exception as error:  # a view of one's own may raise anything; the page says so and goes on
            log.exception("view %s", picture.view.slug)
            picture.error = f"This view could not be drawn ({type(error).__name__}: {str(error)[:120]})."
        if time.monotonic() > self._hurry_until:
            time.sleep(min(DRAWING_REST * (time.perf_counter() - start), 0.1))
        elif self._wake is not None and (wake := self._wake()) is not None:
            wake()

    def ask(self, key: Any, job: Callable[[], None], first: bool = False) -> None:
        """Do `job` soon, in the studio's thread, or before all others; a later wish with the same key takes its place."""
        with self._change:
            self._wishes[key] = job
            if first:
                self._wishes.move_to_end(key, last=False)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="stabviz-draw", daemon=True)
                self._thread.start()
            self._change.notify()

    def hurry(self, run_id: str, seconds: float, wake: Callable[[], None]) -> None:
        """A run has been touched: its pictures are not wanted any more, and those of the run that takes over without rests.

        `wake`: a method that is called, in the studio's thread, when one of them is drawn.
        """
        self.drop(run_id)
        self._wake = weakref.WeakMethod(wake)
        self._hurry_until = time.monotonic() + seconds

    def drop(self, run_id: str) -> None:
        """Forget what was asked for of a run that a page has left; a page that still shows it asks again at its next tick."""
        with self._change:
            for key in [key for key in self._wishes if isinstance(key, tuple) and key[0] == run_id]:
                del self._wishes[key]

    def _work(self) -> None:
        while True:
            with self._change:
                if not self._change.wait_for(lambda: self._wishes, timeout=60):
                    self._thread = None
                    return
                _, job = self._wishes.popitem(last=False)
            try:
                job()
            except Exception:
                log.exception("drawing")
            del job  # it holds a session's slot, and the next one may be long in coming


studio = Studio()


@functools.cache
def warm_up() -> None:
    """Let HoloViews load what a first drawing needs, before somebody waits for it."""

    def draw() -> None:
        points = ([1.0, 2.0], [1.0, 2.0])
        with drawing:
            picture = hv.Area(points) * hv.Curve(points) * hv.Points(points) * hv.Spikes(points) * hv.Text(1, 1, "")
            plotted(picture, responsive=True)

    studio.ask("warm-up", draw)


class Slot:
    """One view in one session: HoloViews draws it once, then frames are assigned. Lives and dies with the session.

    The first drawing takes long (some 0.2 s), so the studio's thread makes the figure; the session only puts it on its page.
    """

    def __init__(self, view: View):
        self.view = view
        self.box = pn.Column(sizing_mode="stretch_both", margin=0)
        """What the page shows; the figure is put into it when it is made."""
        self.frame: Frame | None = None
        self.plot: Figure | None = None
        """The figure of this session, None before it is on the page."""
        self._made: tuple[Figure, Frame, Theme] | None = None
        self._making: tuple[str, ...] | None = None
        self._fresh = False
        self._set: dict[str, tuple[float, float]] = {}

    def show(self, frame: Frame, follow: bool) -> bool:
        """Show a frame. False if its figure is still being made: ask again at the next tick."""
        if not self.shows(frame):
            made, self._made = self._made, None
            if made is None or made[1].shape != frame.shape:
                if self._making != frame.shape:
                    self._making = frame.shape
                    theme = figures.theme_of(pn.state.curdoc)
                    studio.ask((id(self), "figure"), lambda: self.make(frame, theme), first=True)
                return False
            self._making = None
            self.plot, self.frame, theme = made
            if theme != figures.theme_of(pn.state.curdoc):
                swap(self.plot.state.references(), figures.theme_of(pn.state.curdoc))
            self._set = {}
            self._follow(self.frame)
            # Nothing else in this tick: a change of a model that the browser does not have yet would overtake it.
            place: dict[str, Any] = {"align": "center"} if self.view.square else {"sizing_mode": "stretch_both"}
            pane = pn.pane.Bokeh(self.plot.state, margin=0, **place)
            with contextlib.nullcontext() if len(self.box) else growing(pn.state.curdoc, self.plot.state):
                self.box[:] = [pane]
            self._fresh = True
            return True
        self._fresh = False
        if frame is not self.frame and self.frame is not None and self.plot is not None:
            self.plot.assign(frame.columns, self.frame.columns)
            self.frame = frame
        if follow:
            self._follow(frame)
        return True

    def shows(self, frame: Frame) -> bool:
        """Whether a figure for frames like this one is on the page."""
        return self.frame is not None and self.frame.shape == frame.shape

    def make(self, frame: Frame, theme: Theme = "light") -> None:
        """Make the figure of this session (in the studio's thread)."""
        plot = Draughts.of(self.view).figure(frame)
        swap(plot.state.references(), theme)
        self._made = plot, frame, theme

    def clear(self) -> None:
        """Show nothing."""
        self.frame = self.plot = self._made = self._making = None
        self.box.clear()

    @property
    def figure(self) -> Plot | None:
        """The Bokeh figure of this session."""
        return None if self.plot is None else self.plot.state

    def _follow(self, frame: Frame) -> None:
        """Let the axes follow the data, unless a person has moved them: a zoom survives every frame."""
        figure = self.figure
        if figure is None:
            return
        for axis, wanted in (("x", frame.x), ("y", frame.y)):
            if wanted is None:
                continue
            shown = getattr(figure, f"{axis}_range")
            last = self._set.get(axis)
            if last is not None and not np.allclose((shown.start, shown.end), last, rtol=1e-6, atol=0):
                continue
            if last != wanted:
                shown.update(start=wanted[0], end=wanted[1], reset_start=wanted[0], reset_end=wanted[1])
                self._set[axis] = wanted

    def free(self) -> None:
        """Let the axes follow again, whatever was zoomed."""
        self._set = {}

    def moment(self, at: float | None) -> None:
        """Mark the moment shown (views of a history)."""
        if self.figure is not None and self.view.kind == "history" and not self._fresh:
            figures.moment(self.figure, at)

    def table(self, most: int = 200) -> dict[str, Any]:
        """The data behind the picture, thinned to `most` rows."""
        if self.frame is None:
            return {}
        with drawing:
            frames = [x.dframe() for x in flat(self.frame.element) if not isinstance(x, hv.Text | hv.HLine | hv.VLine)]
        if not frames:
            return {}
        table = max(frames, key=len)
        table = table.iloc[:: max(1, -(-len(table) // most))]
        cell = lambda v: f"{v:.6g}" if isinstance(v, float | np.floating) else str(v)  # noqa: E731
        return {"columns": [str(c) for c in table.columns], "rows": [[cell(v) for v in row] for row in table.itertuples(index=False)]}


JUDGING_SHARE = 10
"""A run under way is judged anew when so many times as long has gone by as judging it took."""
_verdicts: weakref.WeakKeyDictionary[Any, tuple[Any, list[Any], float]] = weakref.WeakKeyDictionary()
"""Of each run: what it was judged on, (claim, verdict), when it may be judged again."""


def verdicts(run: Any, lab: Lab) -> list[Any]:
    """(claim, verdict) for a run as judged last; judged anew in the studio's thread when there are new frames."""
    key = (run.frames, run.status)
    known = _verdicts.get(run)
    if known is None or known[0] != key and (run.ended or time.monotonic() > known[2]):

        def judge() -> None:
            dataset, start = run.dataset, time.monotonic()
            if dataset.sizes.get("step"):
                judged = lab.judge(dataset)
                end = time.monotonic()
                _verdicts[run] = (key, judged, end + JUDGING_SHARE * (end - start))

        studio.ask((run.id, "verdicts"), judge)
    return known[1] if known is not None else []
