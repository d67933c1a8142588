"""The report of a sweep: a map of every value that was recorded, the table of its cells, what was swept and how to do it again."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Mapping
from html import escape
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.app import sweep_link, sweep_map
from stabviz.app.text import inline
from stabviz.colors import COLORS, ramp
from stabviz.generic_views import LOST
from stabviz.job import RunError
from stabviz.lab import Judged, Lab, lab
from stabviz.own import lab_of
from stabviz.plan import Plan, from_record
from stabviz.record import told
from stabviz.report import sections
from stabviz.report.page import built, page
from stabviz.report.pictures import Drawing, Picture
from stabviz.reproduce import changed
from stabviz.store import Store
from stabviz.study_run import StudyRun
from stabviz.system import controls
from stabviz.table import Table
from stabviz.view import View

HOW = {name: words for name, words in sweep_link.HOW.items() if name != "ended"}
MOST_CELLS = 500
"""Rows of the table; the map has all of them."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep to be reported. `plan`: of its first cell, which has all that the cells share; None if the store does not say."""

    lab: Lab
    id: str
    axes: Mapping[str, list[Any]]
    dataset: xr.Dataset
    status: str
    plan: Plan | None

    @classmethod
    def of_job(cls, job: StudyRun) -> Sweep:
        """A sweep as it is now.

        Raises:
            RunError: it has recorded nothing yet.
        """
        dataset = job.dataset
        if "status" not in dataset:
            raise RunError(f"sweep {job.id} is {job.status} and has recorded nothing yet: there is nothing to report.")
        found = job.lab if job.lab is not None else lab_of(job.plans[0].system)
        return cls(found, job.id, job.study.labels(), dataset, job.status, job.plans[0])

    @classmethod
    def stored(cls, store: Store, study_id: str) -> Sweep:
        """A sweep from a store, by its whole name. Raises as `Subject.stored`."""
        flat = store.open(study_id).load()
        attrs = flat.attrs
        sizes = {str(n): int(v) for n, v in told(attrs, "axes", dict).items()}
        if not sizes or int(flat.sizes.get("case", 0)) < int(np.prod(list(sizes.values()))):
            raise RunError(f"sweep {study_id} is not complete: carry it out to its end to report it from the store.")
        found = lab(str(attrs["lab"]))
        labels = told(attrs, "labels", dict)
        spread = Table.opened(flat, {name: labels.get(name) or range(n) for name, n in sizes.items()}).assign_attrs(attrs)
        axes = {name: labels.get(name) or _values(spread, name, n) for name, n in sizes.items()}
        record = told(attrs, "plan", dict)
        plan = from_record(record, found.system_class(record["system"])) if record else None
        return cls(found, study_id, axes, spread, str(attrs.get("status", "unknown")), plan)

    @property
    def observables(self) -> dict[str, str]:
        """Recorded values that are one number at each moment (or one for the run), with their names for people."""
        found = {}
        for name, v in self.dataset.data_vars.items():
            inner = [d for d in v.dims if d not in self.axes]
            plain = str(name) not in ("status", "ended_step", "run", "recorded_step") and not str(name).startswith("control_")
            if plain and v.dtype.kind in "fiu" and inner in ([], ["step"]) and set(self.axes) <= set(v.dims):
                found[str(name)] = str(v.attrs.get("long_name", name))
        return found

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(observable, how) of every map: the lengths of the runs last."""
        made = [(name, how) for name in self.observables for how in (HOW if "step" in self.dataset[name].dims else ("last",))]
        return [*made, ("", "ended")]

    def label(self, axis: str) -> str:
        """An axis for people."""
        spec = controls(self.plan.system).get(axis) if self.plan is not None else None
        if spec is None:
            return axis.replace("_", " ")
        return f"{spec.label} [{spec.unit}]" if spec.unit not in ("", "1") else spec.label or axis


def _values(dataset: xr.Dataset, axis: str, count: int) -> list[Any]:
    """The values of an axis of a control; numbers from 0 where the store does not have them."""
    if f"control_{axis}" not in dataset:
        return list(range(count))
    found = dataset[f"control_{axis}"]
    return found.isel({d: 0 for d in found.dims if d != axis}).values.tolist()


# -- pictures ---------------------------------------------------------------------------------------------------------------


class _Map:
    """Draws the map of one choice; the choice stands in the Dataset's attributes, so that it is a view like any other."""

    def __init__(self, sweep: Sweep):
        self.sweep, self.names = sweep, sweep_map.plane(sweep.axes)
        self.choices = sweep.choices
        self._tables: dict[int, dict[str, Any]] = {}
        self.lines = self._lines()

    def _lines(self) -> list[dict[str, Any]]:
        """The borders that the paper predicts."""
        sweep = self.sweep
        if sweep.plan is None or len(self.names) < 2:
            return []
        swept = [b for b in sweep.lab.boundaries if b.suits(sweep.plan.name, self.names)]
        lines: list[dict[str, Any]] = sweep_map.lines(swept, sweep.plan.controls, sweep.axes)["lines"]
        return lines

    def at(self, dataset: xr.Dataset, k: int) -> xr.Dataset:
        """The Dataset with choice `k` made."""
        return dataset.assign_attrs(choice=k)

    def table(self, ds: xr.Dataset) -> dict[str, Any]:
        """The numbers of a choice."""
        k = int(ds.attrs["choice"])
        if k not in self._tables:
            name, how = self.choices[k]
            once = name and "step" not in ds[name].dims
            data = ds.assign({name: ds[name].expand_dims("once")}) if once else ds
            self._tables[k] = sweep_map.table(data, self.sweep.axes, name, how)
        return self._tables[k]

    def scale(self, ds: xr.Dataset) -> tuple[np.ndarray, float, float, bool]:
        """(values, least, greatest, logarithmic): as the page's map colours them."""
        z = np.array([[np.nan if v is None else v for v in row] for row in self.table(ds)["z"]], float)
        good = z[np.isfinite(z)]
        low, high = (float(good.min()), float(good.max())) if len(good) else (np.nan, np.nan)
        return z, low, high, bool(low > 0 and high / low > 100)

    def draw(self, ds: xr.Dataset) -> Any:
        """A map over two axes, a curve over one."""
        return self._plane(ds) if len(self.names) > 1 else self._curve(ds)

    def _plane(self, ds: xr.Dataset) -> Any:
        z, low, high, log = self.scale(ds)
        f = np.log if log else lambda v: v
        share = (f(z) - f(low)) / (f(high) - f(low)) if high > low else np.where(np.isfinite(z), 0.5, np.nan)
        ny, nx = z.shape
        gone = np.argwhere(np.array(self.table(ds)["lost"]) > 0)
        border = [p for line in self.lines for part in line["parts"] for p in [*part, [np.nan, np.nan]]] or [[np.nan, np.nan]]
        x, y = self.names
        ticks = {"xticks": _ticks(self.sweep.axes[x]), "yticks": _ticks(self.sweep.axes[y])}
        picture = hv.Image(share.astype(np.float32)[::-1], bounds=(-0.5, -0.5, nx - 0.5, ny - 0.5), kdims=["x", "y"], vdims=["share"])
        lost = hv.Points((gone[:, 1].astype(float), gone[:, 0].astype(float)), ["x", "y"])
        size = float(np.clip(min(900 / nx, 360 / ny) / 2, 3, 12))
        return (
            picture.opts(cmap=ramp("sequential", 64), clim=(0, 1))
            * lost.opts(marker="x", color=COLORS["lost"], size=size)
            * hv.Curve(np.array(border, float), "x", "y").opts(color=COLORS["ink"], line_dash="dashed", line_width=2)
        ).opts(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), xlabel=self.sweep.label(x), ylabel=self.sweep.label(y), **ticks)

    def _curve(self, ds: xr.Dataset) -> Any:
        z, low, _, _ = self.scale(ds)
        table, (name,) = self.table(ds), self.names
        values = self.sweep.axes[name]
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v) for v in values)
        x = np.array(values, float) if numeric else np.arange(len(values), dtype=float)
        bands = np.array([[np.nan if v is None else v for v in b] for b in table.get("bands", [])], float)
        below, above = (bands[1], bands[3]) if len(bands) else (z[0], z[0])
        gone = np.array(table["lost"][0]) > 0
        geometric = numeric and len(x) > 2 and bool((x > 0).all()) and x.max() / x.min() > 20
        reach = np.concatenate([below, above, z[0]])
        least, most = (np.nanmin(reach), np.nanmax(reach)) if np.isfinite(reach).any() else (0.0, 1.0)
        margin = 0.05 * (most - least) or 0.5
        ylim = (float(least - margin), float(most + margin))
        options = {"logx": bool(geometric), "ylim": ylim, "xlabel": self.sweep.label(name), "ylabel": " "}  # the sentence says what it is
        floor = low if np.isfinite(low) else 0.0
        return (
            hv.Area((x, below, above), "x", ["y", "above"]).opts(color=COLORS["stable"], alpha=0.15, line_alpha=0)
            * hv.Curve((x, z[0]), "x", "y").opts(color=COLORS["stable"])
            * hv.Points((x, z[0]), ["x", "y"]).opts(color=COLORS["stable"], size=5)
            * hv.Points((x[gone], np.full(int(gone.sum()), floor)), ["x", "y"]).opts(color=COLORS["lost"], marker="x", size=9)
        ).opts(**options, **({} if numeric else {"xticks": _ticks(values)}))

    def _what(self, ds: xr.Dataset) -> str:
        name, how = self.choices[int(ds.attrs["choice"])]
        return "steps until the end" if how == "ended" else f"{self.sweep.observables[name]}, {HOW[how]}"

    def says(self, ds: xr.Dataset) -> str:
        """Numbers of the map, and what its signs mean."""
        z, low, high, log = self.scale(ds)
        gone, what = int((np.array(self.table(ds)["lost"]) > 0).sum()), self._what(ds)
        pale = f"{low:.4g} (faint) to {high:.4g} (blue){', logarithmic' if log else ''}"
        span = pale if len(self.names) > 1 else f"{low:.4g} to {high:.4g}"
        said = f"{what[:1].upper()}{what[1:]}: " + (span if np.isfinite(low) else "nowhere a number") + f", in {z.size:,} cells"
        said += f"; crossed out: {gone:,} where a run was lost" if gone else "; no run was lost"
        other = [n for n in self.sweep.axes if n not in self.names]
        said += f"; the median over {' and '.join(other)}{', the band holds 68 %' * (len(self.names) == 1)}" if other else ""
        return said + "".join(f"; dashed: {line['title']}" for line in self.lines) + "."


def _ticks(values: list[Any], most: int = 8) -> list[tuple[float, str]]:
    """Places and labels of a few cells."""
    each = max(1, -(-len(values) // most))
    return [(float(i), f"{v:.3g}" if isinstance(v, float) else str(v)) for i, v in enumerate(values) if i % each == 0]


# -- the page ---------------------------------------------------------------------------------------------------------------


def document(sweep: Sweep, began: float) -> str:
    """The report of a sweep."""
    drawn = _Map(sweep)
    view = View("map", "Map", drawn.draw, drawn.says, kind="moment", wide=True, height=460 if len(drawn.names) > 1 else 320)
    picture = Drawing(view, sweep.dataset, drawn.at).picture(range(len(drawn.choices)))
    keys = [f"{name}/{how}" for name, how in drawn.choices]
    panel = {
        "group": 0, "subject": 0, "keys": keys, "figures": picture.figures, "block": picture.block, "at": picture.at,
        "ranges": picture.ranges, "moments": (), "sentences": [inline(x) for x in picture.sentences],
    }  # fmt: skip
    count = int(np.prod([len(v) for v in sweep.axes.values()]))
    axes = " and ".join(sweep.label(n) for n in sweep.axes)
    how = code(sweep)
    whole = [
        ("views", "Map", _card(drawn, picture)),
        ("claims", "Claims", _claims(sweep)),
        ("cells", "Cells", _cells(sweep)),
        ("controls", "What was swept", _settings(sweep)),
        ("theory", "Theory", sections.theory_html(sweep.lab)),
        ("reproduce", "Reproduce", sections.reproduce(how) if how else "<p>The store does not say how it was made.</p>"),
        ("provenance", "Provenance", sections.facts([("sweep", sweep.id), ("status", sweep.status), *_versions(sweep)])),
        ("cite", "Cite", sections.reproduce([("BibTeX", sections.citations(sweep.lab, sweep.dataset.attrs))])),
        ("made", "How this page was made", _made(began)),
    ]
    return page(
        title=f"{sweep.lab.title}: a sweep over {axes}", lead=inline(sweep.lab.tagline),
        about=f"Sweep <code>{escape(sweep.id)}</code>, {count:,} cells. {escape(sweep.status.capitalize())}.",
        parts=[(slug, title, sections.section(slug, title, body) if body else "") for slug, title, body in whole],
        data={"at": [], "frames": [[]], "words": [], "marks": [], "panels": [panel]},
    )  # fmt: skip


def _card(drawn: _Map, picture: Picture) -> str:
    sweep = drawn.sweep
    options = [f'<option value="{escape(n)}">{escape(t)}</option>' for n, t in [*sweep.observables.items(), ("", "how long it lasts")]]
    title = "Over " + " and ".join(sweep.label(n) for n in drawn.names)
    hows = [f'<option value="{h}">{t}</option>' for h, t in HOW.items()]
    return (
        f'<section class="card view wide" data-view="map"><h3 id="view-0">{escape(title)}</h3><div class="choose">'
        f'<label>Look at <select class="pick" data-part="name">{"".join(options)}</select></label>'
        f'<label>Which value <select class="pick" data-part="how">{"".join(hows)}</select></label></div>'
        f'<div class="panel"><p class="sentence" id="say-0-0"></p><div class="slot" id="plot-0-0" style="height:{picture.height}px" '
        f'role="img" aria-labelledby="view-0 say-0-0">{sections.problem(picture)}</div></div></section>'
    )


def _claims(sweep: Sweep) -> str:
    """The claims that this very sweep decides."""
    judged = []
    for claim in sweep.lab.claims:
        study = claim.study
        alone = study is not None and not isinstance(study, str | Mapping)
        if alone and StudyRun(study, sweep.lab, None).id == sweep.id:  # type: ignore[arg-type]  # only asked for its name
            judged.append(Judged(claim, claim.weigh(sweep.dataset)))
    return sections.claims(judged) if judged else ""


def _cells(sweep: Sweep) -> str:
    dataset, names = sweep.dataset, list(sweep.axes)
    shown = list(sweep.observables)[:8]
    last = {n: sweep_map.reduced(_trailing(dataset[n], names), "last").ravel() for n in shown}
    status, ended, runs = (dataset[n].transpose(*names).values.ravel() for n in ("status", "ended_step", "run"))
    places = list(np.ndindex(*(len(v) for v in sweep.axes.values())))
    rows = []
    for i, place in enumerate(places[:MOST_CELLS]):
        mark = ' class="verdict fails"' if status[i] in LOST else ""
        at = [escape(_short(sweep.axes[n][p])) for n, p in zip(names, place, strict=True)]
        values = [escape(_short(last[n][i])) for n in shown]
        end = (f"<span{mark}>{escape(str(status[i]))}</span>", f"{int(ended[i]):,}")
        rows.append((*at, *end, *values, f"<code>{escape(str(runs[i]))}</code>"))
    heads = [escape(sweep.label(n)) for n in names] + ["status", "ended at step"] + [escape(sweep.observables[n]) for n in shown] + ["run"]
    note = f"<p>The first {MOST_CELLS} of {len(places):,} cells.</p>" if len(places) > MOST_CELLS else ""
    made = sections.table(heads, rows) + note
    return made if len(places) <= 24 else f"<details><summary>All cells, each observable at the end of its run</summary>{made}</details>"


def _trailing(v: xr.DataArray, names: list[str]) -> np.ndarray:
    values: np.ndarray = (v if "step" in v.dims else v.expand_dims("step")).transpose(*names, "step").values.astype(float)
    return values


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _settings(sweep: Sweep) -> str:
    rows = [(sweep.label(n), f"{len(v)} values: {_short(v[0])} to {_short(v[-1])}" if len(v) > 6 else ", ".join(map(_short, v)))
            for n, v in sweep.axes.items()]  # fmt: skip
    if sweep.plan is None:
        return sections.facts(rows) + "<p>It was stored by an older version, without what its cells share.</p>"
    plan, specs = sweep.plan, controls(sweep.plan.system)
    same = [(specs[n].label or n, specs[n].format(v)) for n, v in plan.controls.items() if n not in sweep.axes]
    length = [("steps", f"{plan.schedule.steps:,}"), ("recorded moments", f"{len(plan.schedule.at):,}"), ("seed", plan.seed)]
    shared = [(n, v) for n, v in length if n not in sweep.axes]
    return f"{sections.facts(rows)}<h3>The same in all cells</h3>{sections.facts([('model', plan.name), *shared, *same])}"


def code(sweep: Sweep) -> list[tuple[str, str]]:
    """The cell and the command that make the sweep again, where its axes are plain values of controls or the seed."""
    plan, slug = sweep.plan, sweep.lab.slug
    if plan is None or sweep.lab.wing == "own":
        return []
    specs = controls(plan.system)
    if any(n not in specs and n != "seed" for n in sweep.axes):
        return []
    fixed = {n: v for n, v in changed(plan).items() if n not in sweep.axes}
    first = plan.schedule.segments[0]
    words = [f"system={plan.name!r}", f"controls={fixed!r}", f"axes={dict(sweep.axes)!r}", f"steps={first.steps}", f"frames={first.frames}"]
    words += [f"spacing={first.spacing!r}"] + ([f"seed={plan.seed}"] if "seed" not in sweep.axes else [])
    words += [f"keep={list(plan.keep)}"] if plan.keep else []
    inside = ",\n    ".join(words)
    cell = f'import stabviz as sv\n\nlab = sv.lab("{slug}")\nstudy = sv.Study(\n    {inside},\n)\nlab.study(study).wait().dataset'
    line = ["stabviz", "sweep", slug, "--system", plan.name]
    for n, values in sweep.axes.items():
        line += ["--axis", f"{n}=" + ",".join(str(v) if n == "seed" else specs[n].format(v) for v in values)]
    for n, v in fixed.items():
        line += ["--with", f"{n}={specs[n].format(v)}"]
    line += ["--steps", str(first.steps), "--frames", str(first.frames)]
    line += [] if "seed" in sweep.axes else ["--seed", str(plan.seed)]
    line += [word for name in plan.keep or () for word in ("--keep", name)]
    return [("In a notebook", cell), ("On the command line", shlex.join(line))]


def _versions(sweep: Sweep) -> list[tuple[str, str]]:
    known = told(sweep.dataset.attrs, "versions", dict)
    return [("versions", ", ".join(f"{n} {v}" for n, v in known.items()))] if known else []


def _made(began: float) -> str:
    return (
        "<p>The map has every cell; a cell that was lost is crossed out. Colours are rounded to 512 steps; the table and the sentence have "
        f"the numbers.</p><p>Everything is in this file: it asks nothing of a network. {escape(built(time.perf_counter() - began))}</p>"
    )
