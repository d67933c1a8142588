"""Live views: what a run's newest frame looks like, drawn once for everybody, and assigned to each session's plots.

A full HoloViews update costs the event loop that all sessions share 5-17 ms. So HoloViews draws a view once in a session
(`Slot`), and later frames are translated to the columns of its Bokeh sources by one drawing thread for all sessions
(`Studio`); a session only assigns them.
"""

from __future__ import annotations

import dataclasses
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
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Plot, Range1d, Span
from holoviews.core.accessors import Opts

from stabviz.app import figures
from stabviz.app.palette import Theme, swap
from stabviz.lab import Lab, View

log = logging.getLogger("stabviz.live")

KEPT = 6
"""Frames of one view that are kept drawn: sessions may look at different moments."""

DRAWING_REST = 0.5
"""Rest after each frame, as a share of what it took: drawing is Python, and the loop and the workers need their turn."""

_drawing = threading.RLock()
"""HoloViews keeps options in one global table: one thread at a time builds elements."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A view at one moment: the element, its sources' columns in the order of the plot's parts, ranges, sentence."""

    element: Any
    columns: list[dict[str, Any]]
    shape: tuple[str, ...]
    x: tuple[float, float] | None
    y: tuple[float, float] | None
    sentence: str
    dataset: xr.Dataset
    """What it is a picture of."""

    @property
    def step(self) -> float:
        """The last recorded step in it."""
        return float(self.dataset["step"].values[-1])


def parts(plot: Any) -> list[Any]:
    """The plots of single elements inside a plot, in order."""
    inner = getattr(plot, "subplots", None)
    return [p for sub in inner.values() for p in parts(sub)] if inner else [plot]


def flat(element: Any) -> list[Any]:
    """The single elements of an element, in the order of `parts`."""
    return [x for sub in element for x in flat(sub)] if isinstance(element, hv.Overlay | hv.NdOverlay) else [element]


def narrow(x: Any) -> Any:
    """An array as it goes over the wire: float32, int32."""
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        with np.errstate(over="ignore"):
            return x.astype(np.float32)
    if isinstance(x, np.ndarray) and x.dtype == np.int64:
        return x.astype(np.float32 if np.abs(x, dtype=float).max(initial=0) >= 2**31 else np.int32)
    if isinstance(x, list):
        return [narrow(v) for v in x]
    return x


def translator(element: Any) -> Any:
    """HoloViews' plot of an element without its Bokeh models: enough to turn elements into columns, at a tenth of the price."""
    renderer = hv.renderer("bokeh")
    plot = renderer.plotting_class(element)(element, renderer=renderer)
    for part in parts(plot):
        part.handles.update(x_range=_anywhere, y_range=_anywhere)
    return plot


_anywhere = Range1d(0, 1)


def translate(plot: Any, element: Any) -> dict[str, Any]:
    """The columns (or, for a line across the plot, the place) that `element` gives to the model of `plot`."""
    if isinstance(element, hv.HLine | hv.VLine):
        return {"location": float(element.data)}
    if isinstance(element, hv.Text):
        x, y, text = element.data[:3]
        return {"x": [x], "y": [y], "text": [text]}
    data, _, _ = plot.get_data(element, {}, dict(plot.style[0]))
    return {name: narrow(column) for name, column in data.items()}


def assign(plot: Any, columns: dict[str, Any]) -> None:
    """Give a part of a session's plot its new columns."""
    if set(columns) == {"location"}:
        for model in plot.handles.values():
            if isinstance(model, Span) and model.location != columns["location"]:
                model.location = columns["location"]
        return
    source = plot.handles.get("source")
    if isinstance(source, ColumnDataSource):
        same = {name: source.data[name] for name in source.data if name not in columns and len(source.data[name]) == _length(columns)}
        source.data = {**same, **columns}


def _length(columns: dict[str, Any]) -> int:
    return len(next(iter(columns.values()))) if columns else 0


_local = threading.local()
_apply_options = Opts.__call__


def _note_options(self: Any, *args: Any, **options: Any) -> Any:
    """`element.opts(...)` that, in a thread that only wants the data, notes the axes instead of applying anything."""
    asked = getattr(_local, "asked", None)
    if asked is None:
        return _apply_options(self, *args, **options)
    asked.update({name: options[name] for name in AXES if name in options})
    return self._obj


# Options are half of what a view costs, and after the first drawing only its columns and the ranges of its axes are wanted.
Opts.__call__ = _note_options
AXES = ("xlim", "ylim", "logx", "logy")


def data_only(draw: Callable[[xr.Dataset], Any], dataset: xr.Dataset) -> tuple[Any, dict[str, Any]]:
    """(element without options, what the view asks of the axes)."""
    _local.asked = {}
    try:
        return draw(dataset), _local.asked
    finally:
        _local.asked = None


def limits(element: Any, axis: str, asked: dict[str, Any]) -> tuple[float, float] | None:
    """The range that an axis should have: what the view asks for, else the data's with a margin."""
    low, high = asked.get(f"{axis}lim") or (None, None)
    log_axis = bool(asked.get(f"log{axis}"))
    if low is None or high is None:
        a, b = _span(element, 0 if axis == "x" else 1, log_axis)
        if a > b:
            return None
        if log_axis:
            a, b = a / 1.15, b * 1.15
        else:
            margin = 0.05 * (b - a) or 0.5
            a, b = a - margin, b + margin
        low, high = a if low is None else low, b if high is None else high
    return float(low), float(high)


def _span(element: Any, dimension: int, positive: bool) -> tuple[float, float]:
    """Least and greatest finite value of the data along a dimension; (inf, -inf) where there is none."""
    low, high = np.inf, -np.inf
    for part in flat(element):
        if isinstance(part, hv.Text | hv.HLine | hv.VLine) or dimension >= len(part.dimensions()):
            continue
        values = np.asarray(part.dimension_values(dimension), float)
        values = values[np.isfinite(values) & (values > 0 if positive else True)]
        if len(values):
            low, high = min(low, values.min()), max(high, values.max())
    return float(low), float(high)


class Picture:
    """One view of one run, for everybody: the last few frames, drawn. Filled by the studio's thread."""

    def __init__(self, view: View):
        self.view = view
        self.error = ""
        self._frames: OrderedDict[Any, Frame] = OrderedDict()
        self._plot: Any = None
        self._shape: tuple[str, ...] = ()

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
        with _drawing:
            element, asked = data_only(self.view.draw, dataset)
            leaves = flat(element)
            shape = (*(type(x).__name__ for x in leaves), *(name for name in ("logx", "logy") if asked.get(name)))
            if self._plot is None or shape != self._shape:
                self._plot, self._shape = translator(self.view.draw(dataset)), shape
            columns = [translate(p, x) for p, x in zip(parts(self._plot), leaves, strict=True)]
            sentence = self.view.sentence(dataset)
            frame = Frame(element, columns, shape, limits(element, "x", asked), limits(element, "y", asked), sentence, dataset)
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
        time.sleep(min(DRAWING_REST * (time.perf_counter() - start), 0.1))

    def ask(self, key: Any, job: Callable[[], None]) -> None:
        """Do `job` soon, in the studio's thread; a later wish with the same key takes its place."""
        with self._change:
            self._wishes[key] = job
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="stabviz-draw", daemon=True)
                self._thread.start()
            self._change.notify()

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
        with _drawing:
            picture = hv.Area(points) * hv.Curve(points) * hv.Points(points) * hv.Spikes(points) * hv.Text(1, 1, "")
            hv.renderer("bokeh").get_plot(picture.opts(hooks=[figures.hook], responsive=True), doc=Document())

    studio.ask("warm-up", draw)


def until(dataset: xr.Dataset, frame: int) -> xr.Dataset:
    """The Dataset up to and including a frame, dear observables too."""
    last = dataset["step"].values[frame]
    picks: dict[str, slice] = {"step": slice(0, frame + 1)}
    for dim in dataset.dims:
        if str(dim).startswith("step_"):
            picks[str(dim)] = slice(0, int(np.searchsorted(dataset[dim].values, last, side="right")))
    return dataset.isel(picks)


def slot_height(view: View) -> int:
    """Pixels that a view's figure is high."""
    return max(view.height, 280 if view.wide else 0)


AROUND = 56
"""Pixels of a square figure's height that axis and margins take."""


class Slot:
    """One view in one session: HoloViews draws it once, then frames are assigned. Lives and dies with the session.

    The first drawing takes long (some 0.2 s), so the studio's thread makes the figure; the session only puts it on its page.
    """

    def __init__(self, view: View):
        self.view = view
        self.box = pn.Column(sizing_mode="stretch_both", margin=0)
        """What the page shows; the figure is put into it when it is made."""
        self.frame: Frame | None = None
        self.plot: Any = None
        """HoloViews' plot of this session, None before it is on the page."""
        self._made: tuple[Any, Frame, Theme] | None = None
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
                    studio.ask((id(self), "figure"), lambda: self.make(frame, theme))
                return False
            self._making = None
            self.plot, self.frame, theme = made
            if theme != figures.theme_of(pn.state.curdoc):
                swap(self.plot.state.references(), figures.theme_of(pn.state.curdoc))
            self._set = {}
            self._follow(self.frame)
            # Nothing else in this tick: a change of a model that the browser does not have yet would overtake it.
            place: dict[str, Any] = {"align": "center"} if self.view.square else {"sizing_mode": "stretch_both"}
            self.box[:] = [pn.pane.Bokeh(self.plot.state, margin=0, **place)]
            self._fresh = True
            return True
        self._fresh = False
        if frame is not self.frame and self.frame is not None:
            for plot, columns, old in zip(parts(self.plot), frame.columns, self.frame.columns, strict=True):
                if columns is not old:
                    assign(plot, columns)
            self.frame = frame
        if follow:
            self._follow(frame)
        return True

    def shows(self, frame: Frame) -> bool:
        """Whether a figure for frames like this one is on the page."""
        return self.frame is not None and self.frame.shape == frame.shape

    def make(self, frame: Frame, theme: Theme = "light") -> None:
        """Make the figure of this session (in the studio's thread)."""
        options: dict[str, Any] = {"hooks": [figures.hook], "responsive": True, "title": ""}
        if self.view.square:
            side = slot_height(self.view) - AROUND
            options |= {"responsive": False, "frame_width": side, "frame_height": side}
        if isinstance(frame.element, hv.Overlay):
            options["show_legend"] = False
        with _drawing:
            element = self.view.draw(frame.dataset).opts(**options)
            document = Document()
            plot = hv.renderer("bokeh").get_plot(element, doc=document)
            plot.document = document  # HoloViews takes the process-wide one outside a session, which would keep the plot for ever
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
        with _drawing:
            frames = [x.dframe() for x in flat(self.frame.element) if not isinstance(x, hv.Text | hv.HLine | hv.VLine)]
        if not frames:
            return {}
        table = max(frames, key=len)
        table = table.iloc[:: max(1, -(-len(table) // most))]
        cell = lambda v: f"{v:.6g}" if isinstance(v, float | np.floating) else str(v)  # noqa: E731
        return {"columns": [str(c) for c in table.columns], "rows": [[cell(v) for v in row] for row in table.itertuples(index=False)]}


_verdicts: weakref.WeakKeyDictionary[Any, tuple[Any, list[Any]]] = weakref.WeakKeyDictionary()


def verdicts(run: Any, lab: Lab) -> list[Any]:
    """(claim, verdict) for a run as judged last; judged anew in the studio's thread when there are new frames."""
    key = (run.frames, run.status)
    known = _verdicts.get(run)
    if known is None or known[0] != key:

        def judge() -> None:
            dataset = run.dataset
            if dataset.sizes.get("step"):
                _verdicts[run] = (key, lab.judge(dataset))

        studio.ask((run.id, "verdicts"), judge)
    return known[1] if known is not None else []
