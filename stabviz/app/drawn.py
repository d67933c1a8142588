"""What a view shows of a Dataset, as a Bokeh figure drawn once and as columns for its sources at each further moment.

The page and the report both draw like this: HoloViews makes the figure, and every later frame is only translated to the
columns and ranges that it gives to the models of that figure.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import xarray as xr
from bokeh.document import Document
from bokeh.models import GlyphRenderer, Range1d
from holoviews.core.accessors import Opts

from stabviz.app import figures, kept
from stabviz.comparing import time_of
from stabviz.lab import View

drawing = threading.RLock()
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

    @functools.cached_property
    def places(self) -> np.ndarray | None:
        """Where each recorded moment stands on the x axis; None where no part is drawn over the steps or times of the run."""
        every = {name: self.dataset[name].values.astype(float) for name in coordinates(self.dataset)}
        over = [x for columns in self.columns if isinstance(x := next(iter(columns.values()), None), np.ndarray)]
        for places in every.values():
            if (x := next((x for x in over if is_over(x, places)), None)) is not None:
                return np.append(x[0] if len(x) == len(places) else places[0], places[1:])
        rare = [self.dataset[dim].values for dim in self.dataset.dims if str(dim).startswith("step_")]
        if any(is_over(x, steps) for x in over for steps in rare) or len(every["step"]) < 2:
            return every["step"]
        return None


def coordinates(dataset: xr.Dataset) -> list[str]:
    """What an x axis may be over: the System's own time, the steps."""
    time = time_of(dataset)
    return ["step"] if time is None else [time, "step"]


def is_over(x: np.ndarray, places: np.ndarray) -> bool:
    """Whether there is a point for each of the places, but for the first: a logarithmic axis leaves step 0 out or moves it."""
    if len(places) < 2 or x.dtype.kind not in "fiu" or len(x) not in (len(places), len(places) - 1):
        return False
    return np.allclose(x[1 - len(places) :], places[1:], rtol=1e-5, atol=0)


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


_local = threading.local()
_apply_options = Opts.__call__


def _note_options(self: Any, *args: Any, **options: Any) -> Any:
    """`element.opts(...)` that, in a thread that only wants the data, notes what is said instead of applying it."""
    said = getattr(_local, "said", None)
    if said is None:
        return _apply_options(self, *args, **options)
    said.append((type(self._obj).__name__, args, options))
    return self._obj


# Options are half of what a view costs, and after the first drawing only its columns and the ranges of its axes are wanted.
Opts.__call__ = _note_options
AXES = ("xlim", "ylim", "logx", "logy")


def noted(draw: Callable[[xr.Dataset], Any], dataset: xr.Dataset) -> tuple[Any, list[kept.Said]]:
    """(element without options, all options that the view says of elements, in order)."""
    said: list[kept.Said] = []
    _local.said = said
    try:
        return draw(dataset), said
    finally:
        _local.said = None


def data_only(draw: Callable[[xr.Dataset], Any], dataset: xr.Dataset) -> tuple[Any, dict[str, Any]]:
    """(element without options, what the view asks of the axes)."""
    element, said = noted(draw, dataset)
    return element, {name: options[name] for _, _, options in said for name in AXES if name in options}


def limits(element: Any, axis: str, asked: dict[str, Any]) -> tuple[float, float] | None:
    """The range that an axis should have: what the view asks for, else the data's with a margin."""
    low, high = asked.get(f"{axis}lim") or (None, None)
    log_axis = bool(asked.get(f"log{axis}"))
    if low is None or high is None:
        a, b = extent(element, 0 if axis == "x" else 1, log_axis)
        if a > b:
            return None
        if log_axis:
            a, b = a / 1.15, b * 1.15
        else:
            margin = 0.05 * (b - a) or 0.5
            a, b = a - margin, b + margin
        low, high = a if low is None else low, b if high is None else high
    return float(low), float(high)


def extent(element: Any, dimension: int, positive: bool = False) -> tuple[float, float]:
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


class Draughts:
    """Translates one view of many Datasets; remembers the plots that it translates with, one for each shape of picture.

    A plot costs two to three times what a translation does. All runs share it (`of`): the first frame of a run that was just touched
    comes as soon as any other.
    """

    SHAPES, VIEWS, FIGURES = 4, 256, 8
    _all: ClassVar[OrderedDict[int, Draughts]] = OrderedDict()
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, view: View):
        self.view = view
        self._plots: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._kept: OrderedDict[str, str] = OrderedDict()

    @classmethod
    def of(cls, view: View) -> Draughts:
        """Those of a view, for all its runs."""
        with cls._lock:
            found = cls._all.get(id(view)) or cls(view)  # it holds the view, so that its id stays its own
            cls._all[id(view)] = found
            cls._all.move_to_end(id(view))
            while len(cls._all) > cls.VIEWS:
                cls._all.popitem(last=False)
            return found

    def frame(self, dataset: xr.Dataset) -> Frame:
        """The view of a Dataset as columns for a plot of the same shape."""
        with drawing:
            element, asked = data_only(self.view.draw, dataset)
            leaves = flat(element)
            shape = (*(type(x).__name__ for x in leaves), *(name for name in ("logx", "logy") if asked.get(name)))
            if shape not in self._plots:
                self._plots[shape] = translator(self.view.draw(dataset))
                if len(self._plots) > self.SHAPES:
                    self._plots.popitem(last=False)
            columns = [translate(p, x) for p, x in zip(parts(self._plots[shape]), leaves, strict=True)]
            sentence = self.view.sentence(dataset)
            return Frame(element, columns, shape, limits(element, "x", asked), limits(element, "y", asked), sentence, dataset)

    def figure(self, frame: Frame) -> kept.Figure:
        """A new figure of a frame, in light colours: drawn by HoloViews, or like one that it has drawn before."""
        with drawing:
            element, said = noted(self.view.draw, frame.dataset)
            key = kept.key(flat(element), said)
            text = None if key is None else self._kept.get(key)
            if key is not None and text is not None:
                self._kept.move_to_end(key)
                figure = kept.unpack(text)
                figure.assign(frame.columns, [None] * len(frame.columns))
                return figure
            plot = drawn(self.view, frame.dataset)
            pairs = zip(parts(plot), frame.columns, strict=True)
            figure = kept.Figure(plot.state, [kept.target(part, columns) for part, columns in pairs])
            if key is not None and (text := kept.pack(figure, key)) is not None:
                self._kept[key] = text
                if len(self._kept) > self.FIGURES:
                    self._kept.popitem(last=False)
            return figure


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


def drawn(view: View, dataset: xr.Dataset) -> Any:
    """HoloViews' plot of a view, dressed for the page, in light colours and in a document of its own; `drawing` is to be held."""
    options: dict[str, Any] = {"responsive": True, "title": ""}
    if view.square:
        side = slot_height(view) - AROUND
        options |= {"responsive": False, "frame_width": side, "frame_height": side}
    element = view.draw(dataset)
    if isinstance(element, hv.Overlay):
        options["show_legend"] = False
    plot = plotted(element, **options)
    for renderer in plot.state.renderers:
        if isinstance(renderer, GlyphRenderer):  # a fifth of the models, for tools that these figures do not have
            renderer.update(selection_glyph=None, nonselection_glyph=None, muted_glyph=None)
    if view.square:
        plot.state.sizing_mode = None  # HoloViews says "fixed", for which Bokeh wants the size of the whole instead
    return plot


def plotted(element: Any, **options: Any) -> Any:
    """HoloViews' plot of an element, dressed, in a document of its own.

    In its other modes HoloViews takes (and themes) Bokeh's current document, which is the same for all threads: one that the loop is
    at work on, or one that is gone. Its WebGL is off: without a GPU copying each picture out of it is most of what drawing a page costs
    (80 % of it), and a few thousand points need none.
    """
    renderer = hv.renderer("bokeh").instance(mode="server", webgl=False)
    return renderer.get_plot(element.opts(hooks=[figures.dress], **options), doc=Document())
