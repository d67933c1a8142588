"""Runs laid over each other on the Runs page: the table of what differs, and each view of them, drawn in the studio's thread."""

from __future__ import annotations

import functools
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import xarray as xr

from stabviz.app import figures
from stabviz.app.along import along
from stabviz.app.components import Compare, ViewFrame
from stabviz.app.drawn import drawing, slot_height, until
from stabviz.app.live import studio
from stabviz.app.overlay import MOST_RUNS, RUN_COLORS, Part, draw
from stabviz.app.palette import Theme, swap
from stabviz.comparing import ALIGN, aligned, frames_at, only_different
from stabviz.job import RunError
from stabviz.lab import View, labs
from stabviz.listing import Row, rounded
from stabviz.scheduler import Scheduler
from stabviz.store import StoreError

if TYPE_CHECKING:
    from stabviz.app.catalog import Catalog

log = logging.getLogger("stabviz.comparison")

MOMENTS = 200
"""Places of the scrubber."""
REDRAW_SECONDS = 3.0
"""Runs that go on are drawn again at most so often."""
GRID = """
:host { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); gap: 12px; align-items: start; }
.scroll-button { display: none; }
"""
Pairs = list[tuple[xr.Dataset, xr.Dataset]]
"""Of each run: its Dataset as it is aligned, and as it was recorded."""


class Comparison:
    """The comparison of one session. `head` and `cards` are what the page shows."""

    def __init__(self, scheduler: Scheduler, catalog: Catalog):
        self.scheduler, self.catalog = scheduler, catalog
        self.head = Compare(visible=False)
        self.cards = pn.Column(sizing_mode="stretch_width", margin=0, stylesheets=[GRID])
        self.names: list[str] = []
        self._rows: list[Row] = []
        self._frames: dict[str, ViewFrame] = {}
        self._views: dict[str, View] = {}
        self._made: dict[str, tuple[int, list[Part], str, Theme]] = {}
        self._answers: deque[tuple[int, Pairs, dict[str, View], str]] = deque()
        self._data: Pairs = []
        self._turn = 0
        self._key: Any = None
        self._last = 0.0
        self.head.on("set", self._set)

    def begin(self, names: Sequence[str], align: str = "step", event: str = "", view: str = "") -> None:
        """Compare these runs (two or more), or none."""
        self.names = list(dict.fromkeys(names))[:MOST_RUNS] if len(names) > 1 else []
        self.head.how = {"align": align if align in ALIGN else "step", "event": event[:80], "view": view[:80], "moment": -1}
        self.head.visible = bool(self.names)
        self._rows, self._key = [], None
        self._forget()
        if not self.names:
            self.head.runs = []

    def _forget(self) -> None:
        self._turn += 1
        self.cards.clear()
        self._frames, self._views, self._made, self._data = {}, {}, {}, []
        self.head.param.update(note="", views=[], moments=[])

    def _set(self, how: dict[str, Any]) -> None:
        """The visitor has chosen another alignment, view, or moment."""
        align, moment = str(how.get("align", "step")), how.get("moment", -1)
        chosen = {"align": align if align in ALIGN else "step", "event": str(how.get("event", ""))[:80],
                  "view": str(how.get("view", ""))[:80], "moment": int(moment) if isinstance(moment, int) else -1}  # fmt: skip
        old = dict(self.head.how)
        self.head.how = chosen
        if (old["align"], old["event"]) != (chosen["align"], chosen["event"]):
            self._forget()
            self._key = None
        elif old["view"] != chosen["view"]:
            self._lay_out()
        elif old["moment"] != chosen["moment"]:
            self._draw_all(moments_only=True)

    # -- the clock ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """What is new since the last tick."""
        if not self.names:
            return
        rows = [self.catalog.row(name) for name in self.names]
        if not self.catalog.whole and None in rows:
            self.head.note = "Reading the store."
            return
        there = [row for row in rows if row is not None]
        key = [(row.info.id, row.info.frames, row.status) for row in there]
        if key != self._key and (self._key is None or time.monotonic() - self._last > REDRAW_SECONDS):
            self._key, self._rows, self._last = key, there, time.monotonic()
            self._tell(len(rows) - len(there))
            studio.ask((id(self), "read"), functools.partial(self._read, self._turn, there, dict(self.head.how)))
        while self._answers:
            turn, data, views, note = self._answers.popleft()
            if turn == self._turn:
                self._take(data, views, note)
        self._put()

    def _tell(self, missing: int) -> None:
        """The runs and what differs between them."""
        rows = self._rows
        said = [row.said for row in rows]
        if len({row.base.lab for row in rows}) > 1:
            said = [{"lab": row.base.lab_title, **one} for row, one in zip(rows, said, strict=True)]
        table = [[rows[0].base.label(name), *map(rounded, values)] for name, values in only_different(said).items()]
        runs = [
            {"id": row.info.id, "name": f"{chr(ord('A') + i)}, {row.info.id[:8]}", "color": RUN_COLORS[i]} for i, row in enumerate(rows)
        ]
        self.head.param.update(runs=runs, table=table)
        if missing:
            self.head.note = f"{missing} of the runs in this link {'is' if missing == 1 else 'are'} not in the store any more."

    def _read(self, turn: int, rows: list[Row], how: dict[str, Any]) -> None:
        """In the studio's thread: the Datasets over one axis, and the views that suit them."""
        note, data, views = "", [], {}
        try:
            for row in rows:
                run = self.scheduler.get(row.info.id)
                store = self.scheduler.store
                dataset = run.dataset if run is not None and run.frames else store.open(row.info.id).load() if store is not None else None
                if dataset is None or not dataset.sizes.get("step"):
                    raise RunError(f"run {row.info.id} has recorded nothing yet.")
                if how["align"] == "event" and not how["event"]:
                    raise RunError("name an event: touched, end, the name of a stop, or a level such as loss<0.1.")
                data.append((aligned(dataset, how["align"], how["event"]), dataset))
            found = labs().get(rows[0].base.lab)
            if len({row.base.lab for row in rows}) > 1:
                note = "These are of different labs, which have no view in common."
            elif found is None:
                note = "Their lab is not installed here."
            else:
                pairs = list(zip(rows, data, strict=True))
                views = {v.slug: v for v in found.all_views if all(v.suits(row.base.system, ds) for row, (_, ds) in pairs)}
                note = "" if views else "No view suits all of them."
        except (RunError, StoreError) as error:
            note = str(error)[:1].upper() + str(error)[1:]
            data = []
        except Exception as error:  # a lab of one's own
            log.exception("reading runs to compare")
            note, data = f"These runs cannot be compared ({type(error).__name__}: {str(error)[:120]}).", []
        self._answers.append((turn, data, views, note))

    def _take(self, data: Pairs, views: dict[str, View], note: str) -> None:
        again = list(views) == list(self._views)
        self._data, self._views = data, views
        unit = {"step": "step", "event": "steps after"}.get(self.head.how["align"], "time")
        moments: list[float] = []
        if data and any(view.kind == "moment" for view in views.values()):
            steps = np.unique(np.concatenate([ds["step"].values.astype(float) for ds, _ in data]))
            moments = steps[np.unique(np.linspace(0, len(steps) - 1, min(MOMENTS, len(steps))).round().astype(int))].tolist()
        self.head.param.update(
            note=note, views=[{"slug": v.slug, "title": v.title} for v in views.values()], unit=unit, moments=moments
        )
        if not again:
            self._lay_out()
        self._draw_all()

    def _lay_out(self) -> None:
        """A card for each view that is looked at."""
        wanted = [v for v in self._views.values() if self.head.how["view"] in ("", v.slug)] or list(self._views.values())
        for view in wanted:
            if view.slug not in self._frames:
                box = pn.Row(sizing_mode="stretch_both", margin=0)
                self._frames[view.slug] = ViewFrame(
                    slug=view.slug, title=view.title, slot=slot_height(view), pane=box, empty="Being drawn.", wide=view.wide
                )
                self._ask(view)
        self.cards[:] = [self._frames[view.slug] for view in wanted]

    def _draw_all(self, moments_only: bool = False) -> None:
        for slug in self._frames:
            view = self._views.get(slug)
            if view is not None and (view.kind == "moment" or not moments_only):
                self._ask(view)

    def _ask(self, view: View) -> None:
        turn, data, how, moments = self._turn, self._data, dict(self.head.how), list(self.head.moments)
        theme = figures.theme_of(pn.state.curdoc)
        studio.ask((id(self), view.slug), functools.partial(self._draw, turn, view, data, how, moments, theme))

    def _draw(self, turn: int, view: View, data: Pairs, how: dict[str, Any], moments: list[float], theme: Theme) -> None:
        """In the studio's thread."""
        if not data or turn != self._turn:
            return
        shown = [ds for ds, _ in data]
        if view.kind == "moment" and 0 <= how["moment"] < len(moments):
            at = moments[how["moment"]]
            shown = [until(ds, int(frames_at(ds["step"].values, at))) for ds in shown]
        each = [along(view, plain) for _, plain in data]
        try:
            with drawing:
                parts = draw(each, shown)
                for part in parts:
                    swap(part.plot.state.references(), theme)
            said = " ".join(f"{chr(ord('A') + i)}: {v.sentence(ds)}" for i, (v, ds) in enumerate(zip(each, shown, strict=True)))
        except Exception as error:  # a view of one's own may raise anything; the others are still shown
            log.info("view %s of several runs: %s: %s", view.slug, type(error).__name__, error)
            parts, said = [], f"This view could not be drawn so ({type(error).__name__}: {str(error)[:120]})."
        self._made[view.slug] = turn, parts, said, theme

    def _put(self) -> None:
        """Put one figure that has been made on the page: each keeps the loop busy for a while."""
        for slug in list(self._made):
            turn, parts, said, theme = self._made.pop(slug)
            frame = self._frames.get(slug)
            if turn != self._turn or frame is None:
                continue
            now = figures.theme_of(pn.state.curdoc)
            square = self._views[slug].square if slug in self._views else False
            place: dict[str, Any] = {"align": "center"} if square else {"sizing_mode": "stretch_both"}
            if theme != now:
                for part in parts:
                    swap(part.plot.state.references(), now)
            frame.pane[:] = [pn.pane.Bokeh(part.plot.state, margin=0, **place) for part in parts]
            frame.empty = "" if parts else said
            frame.say(said if parts else "")
            return
