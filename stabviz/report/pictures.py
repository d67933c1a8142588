"""The views of a run at each moment that a report keeps: HoloViews draws a figure once, each moment gives its columns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from bokeh.embed import json_item
from bokeh.models import Plot, Span

from stabviz.app import figures
from stabviz.app.drawn import Draughts, Frame, slot_height, until
from stabviz.app.palette import dark_patches
from stabviz.lab import View
from stabviz.report.packing import Packer

MOMENTS = 48
"""Moments of a run that are kept, unless somebody asks for another number."""


def thinned(dataset: xr.Dataset, most: int, marks: Sequence[int] = ()) -> list[int]:
    """Numbers of the frames that are kept: all of them up to `most`; else evenly spaced, the first, the last and those next to `marks` too.

    Args:
        dataset: of a run, with the dim `step`.
        most: so many at most.
        marks: steps at which something happened; the frames before and after each stay.
    """
    steps = dataset["step"].values
    count = len(steps)
    if count <= most:
        return list(range(count))
    kept = {0, count - 1}
    for mark in marks:
        after = int(np.searchsorted(steps, mark, side="right"))
        kept |= {max(after - 1, 0), min(after, count - 1)}
    if len(kept) >= most:
        kept = {0, count - 1}
    # Evenly spaced ones fill what is left; those that are there already leave room for more.
    for spread in range(most, 1, -1):
        tried = kept | {int(i) for i in np.linspace(0, count - 1, spread).round()}
        if len(tried) <= most:
            return sorted(tried)
    return sorted(kept)


@dataclasses.dataclass(frozen=True)
class Picture:
    """One view of one run at the moments that are kept.

    Attributes:
        figures: Bokeh's JSON of each figure (one, unless the view changes its parts), with what `report.js` needs to move it.
        block: the compressed columns. sentences: for each moment. error: what went wrong, instead of the rest.
    """

    view: View
    figures: tuple[dict[str, Any], ...] = ()
    block: str = ""
    at: tuple[int, ...] = ()
    ranges: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    moments: tuple[float, ...] = ()
    sentences: tuple[str, ...] = ()
    error: str = ""

    @property
    def height(self) -> int:
        """Pixels that its figure is high."""
        return slot_height(self.view)


class Drawing:
    """One view of one run, drawn at the moments asked for; a moment is drawn once, also if fewer are asked for later.

    `at`: the Dataset of a moment, from that of the run and the moment's number.
    """

    def __init__(self, view: View, dataset: xr.Dataset, at: Callable[[xr.Dataset, int], xr.Dataset] = until):
        self.view, self.dataset, self._at = view, dataset, at
        self._draughts = Draughts(view)
        self._frames: dict[int, Frame] = {}
        self._said: dict[int, str] = {}
        self._error = ""

    def picture(self, kept: Sequence[int]) -> Picture:
        """The view at these frames of the run. A view that raises gives a picture that says so."""
        if not self._error:
            try:
                return self._picture(kept)
            except Exception as error:  # a view of one's own may raise anything; the other views are still shown
                self._error = f"This view could not be drawn ({type(error).__name__}: {str(error)[:120]})."
        return Picture(self.view, error=self._error)

    def _picture(self, kept: Sequence[int]) -> Picture:
        history = self.view.kind == "history"
        drawn_at = [self.dataset.sizes["step"] - 1] if history else list(kept)
        frames = [self._frame(k) for k in drawn_at]
        places = frames[0].places if history else None
        shapes = list(dict.fromkeys(f.shape for f in frames))
        packer = Packer()
        made = tuple(_figure(self._draughts, [f for f in frames if f.shape == shape], packer) for shape in shapes)
        return Picture(
            self.view, made, packer.block(),
            at=tuple(shapes.index(f.shape) for f in frames),
            ranges={axis: _once([getattr(f, axis) for f in frames]) for axis in "xy"},
            moments=() if places is None else tuple(float(x) for x in places[list(kept)]),
            sentences=tuple(self._says(k) for k in kept),
        )  # fmt: skip

    def _frame(self, k: int) -> Frame:
        if k not in self._frames:
            frame = self._draughts.frame(self._at(self.dataset, k))
            self._frames[k] = frame
            if self.view.kind != "history":
                self._said[k] = frame.sentence
        return self._frames[k]

    def _says(self, k: int) -> str:
        if k not in self._said:
            self._said[k] = self.view.sentence(self._at(self.dataset, k))
        return self._said[k]


def _once(ranges: list[tuple[float, float] | None]) -> list[Any]:
    """The ranges of all moments; one alone where they are all the same. Seven digits, as the columns have."""
    short = [None if r is None or not np.isfinite(r).all() else [float(f"{v:.7g}") for v in r] for r in ranges]
    return short[:1] if all(r == short[0] for r in short) else short


def _figure(draughts: Draughts, frames: list[Frame], packer: Packer) -> dict[str, Any]:
    """A figure for frames of one shape: Bokeh's JSON, where each column goes, colours of the dark theme."""
    made = draughts.figure(frames[-1])
    figure = made.state
    item = json_item(figure)
    patches = dark_patches(figure.references())
    relative = bool({"logx", "logy"} & set(frames[0].shape))
    tracks = []
    for i, target in enumerate(made.targets):
        names = list(frames[0].columns[i])
        columns = {name: [f.columns[i][name] for f in frames] for name in names}
        if target is not None and len(frames) > 1:
            packed = {name: packer.track(values, relative) for name, values in columns.items()}
            tracks.append({"span" if isinstance(target, Span) else "source": target.id, "columns": packed})
    line = figures.moment(figure, None)
    return {"item": item, "root": figure.id, "tracks": tracks, "dark": patches, "line": line.id, "log": _log_x(figure)}


def _log_x(figure: Plot) -> bool:
    return type(figure.x_scale).__name__ == "LogScale"


def in_page(value: Any) -> str:
    """JSON that may stand inside a script element, whatever texts are in it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})
