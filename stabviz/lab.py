"""A lab: the Systems of a paper, its presets, views, claims and guided experiments; and how labs are found.

This module and a lab's own `__init__` are light: JAX and HoloViews load when a lab is used.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import logging
import pathlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .boundary import Boundary as Boundary
from .names import advice
from .view import View as View

if TYPE_CHECKING:
    import xarray as xr

    from .plan import Plan
    from .run import Run
    from .scheduler import Scheduler
    from .studies import Study
    from .study_run import StudyRun
    from .system import System

log = logging.getLogger("stabviz")

WINGS = {
    "training": "Training", "chaos": "Chaos", "galaxies": "Galaxies", "pde": "PDE",
    "robustness": "Robustness", "topology": "Topology", "control": "Control", "generative": "Generative", "own": "Your own",
}  # fmt: skip


class MissingPackage(ImportError):
    """A lab needs a package that is not installed; the message says which, and how to install it."""


class UnknownLab(LookupError):
    """There is no such lab (preset, system, claim); the message names the closest."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclasses.dataclass(frozen=True)
class Paper:
    """Where a lab comes from."""

    title: str
    authors: str
    year: int
    venue: str = ""
    url: str = ""
    bibtex: str = ""

    @property
    def short(self) -> str:
        """Authors and year, as cards show them; nothing where there is no paper."""
        if not self.title:
            return ""
        names = [a.strip() for a in self.authors.replace(" and ", ",").split(",") if a.strip()]
        last = [n.split()[-1] for n in names]
        who = last[0] if len(last) == 1 else " and ".join(last) if len(last) == 2 else f"{last[0]} et al."
        return f"{who} {self.year}"


NO_PAPER = Paper("", "", 0)
"""Of a system of one's own."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named difference from the defaults. `interventions`: `(step, "set" | "kick", {...})`."""

    title: str
    system: str | None = None
    controls: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: int | None = None
    frames: int | None = None
    spacing: str | None = None
    seed: int | None = None
    interventions: Sequence[tuple[int, str, Mapping[str, Any]]] = ()
    doc: str = ""


class Verdict(NamedTuple):
    """What a claim's evidence says: `holds` is True, False, or None (open, for `reason`); `measured` is the number as text."""

    holds: bool | None
    measured: str = ""
    value: float | None = None
    reason: str = ""


class Judged(NamedTuple):
    """A claim with its verdict; what people want to know of both is here by name."""

    claim: Claim
    verdict: Verdict

    @property
    def mark(self) -> str:
        """`holds`, `fails` or `open`; `shown` where no verdict is asked for and there is something to show."""
        if self.claim.kind == "shown" and self.verdict.holds is None and self.verdict.measured:
            return "shown"
        return {True: "holds", False: "fails", None: "open"}[self.verdict.holds]

    @property
    def statement(self) -> str:
        """What is claimed."""
        return self.claim.statement

    @property
    def expected(self) -> str:
        """What the paper says, as text."""
        return self.claim.expected

    @property
    def tolerance(self) -> str:
        """How far off still holds, as text."""
        return self.claim.tolerance

    @property
    def measured(self) -> str:
        """What was measured, as text."""
        return self.verdict.measured

    @property
    def holds(self) -> bool | None:
        """True, False, or None while it is open."""
        return self.verdict.holds

    @property
    def reason(self) -> str:
        """Why it is open."""
        return self.verdict.reason


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement and what decides it.

    Attributes:
        statement, expected, tolerance: for people; math between dollar signs.
        kind: `"paper"`, `"derived"` (by us), `"control"` (must show the opposite) or `"shown"` (no verdict asked).
        decide: pure function -> Verdict of the study's Dataset (by keyword, if there are several studies), or of the
            present run's where `on_run`.
        study: what decides it, and what *Run it* starts; a preset's name stands for one run of it.
        on_run: whether any run's Dataset may be judged as well.
        source: theorem, equation, figure.
    """

    slug: str
    statement: str
    expected: str
    tolerance: str
    decide: Callable[..., Verdict]
    kind: str = "paper"
    study: Study | str | Mapping[str, Study] | None = None
    on_run: bool = False
    source: str = ""

    @property
    def studies(self) -> dict[str, Study]:
        """What decides it, by name ("" for a single study); a preset's name stands for one run of it."""
        from .studies import Study

        given = self.study if isinstance(self.study, Mapping) else {} if self.study is None else {"": self.study}
        return {name: Study(preset=study) if isinstance(study, str) else study for name, study in given.items()}

    def decided_by(self, datasets: Mapping[str, Any]) -> Verdict:
        """The verdict on the Datasets of its studies, by their names."""
        if not datasets:
            return Verdict(None, reason="nothing decides it")
        return self.weigh(datasets[""]) if "" in datasets else self.weigh(**datasets)

    def judge(self, dataset: Any) -> Verdict:
        """The verdict on one run's Dataset, or an open one that says what is needed."""
        if not self.on_run:
            return Verdict(None, reason="needs its own runs")
        if not dataset.sizes.get("step", 0):
            return Verdict(None, reason="no frames yet")
        return self.weigh(dataset)

    def weigh(self, *args: Any, **datasets: Any) -> Verdict:
        """`decide`, with what it stumbles over turned into an open verdict with the reason."""
        try:
            return self.decide(*args, **datasets)
        except (KeyError, AttributeError, IndexError) as missing:
            name = str(missing).strip("'\"").splitlines()[0][:80] if str(missing) else type(missing).__name__
            return Verdict(None, reason=f"not in this run: {name}")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A guided experiment: a question with answers to choose from before the run, and what the run then shows.

    `answer(dataset)` returns (index of the right option, one sentence with what was measured).
    """

    slug: str
    question: str
    options: tuple[str, ...]
    answer: Callable[[xr.Dataset], tuple[int, str]]
    preset: str | None = None
    controls: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: int | None = None


class Lab:
    """One paper's laboratory. Made once in `labs/WING/SLUG/__init__.py` as `lab`.

    The rest of the folder loads when used: `system.py` (`SYSTEMS`), `views.py` (`VIEWS`), `claims.py` (`CLAIMS`,
    `EXPERIMENTS`), `boundaries.py` (`BOUNDARIES`), `text.md`, `thumbnail.svg`. `requires`: packages that it needs beyond
    stabviz's own, module -> what pip installs (`{"sklearn": "scikit-learn"}`).
    """

    def __init__(self, package: str, *, title: str, wing: str, tagline: str, paper: Paper = NO_PAPER, primary: Sequence[str] = (),
                 presets: Mapping[str, Preset] | None = None, order: int = 100,
                 requires: Mapping[str, str] | None = None):  # fmt: skip
        self.package, self.title, self.wing, self.tagline, self.paper = package, title, wing, tagline, paper
        self.primary, self.order = tuple(primary), order
        self.presets: dict[str, Preset] = dict(presets or {})
        self.requires: dict[str, str] = dict(requires or {})
        self.slug = package.rpartition(".")[2]

    def __repr__(self) -> str:
        return f"<Lab {self.slug}: {self.title}>"

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self.package}.{name}")

    def _optional(self, module: str, name: str) -> Any:
        """A list from a part of the folder that a lab may leave out."""
        return getattr(self._module(module), name, ()) if (self.folder / f"{module}.py").exists() else ()

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """The lab's folder."""
        return pathlib.Path(importlib.import_module(self.package).__file__ or ".").parent

    @property
    def missing(self) -> str:
        """What it needs and is not installed, as one sentence; "" when all is there."""
        absent = [package for module, package in self.requires.items() if importlib.util.find_spec(module) is None]
        return f"{self.title} needs {' and '.join(absent)}, not installed here: pip install {' '.join(absent)}." if absent else ""

    @functools.cached_property
    def systems(self) -> dict[str, type[System]]:
        """Its Systems by name, the default one first.

        Raises:
            MissingPackage: a package that it `requires` is not installed.
        """
        if self.missing:
            raise MissingPackage(self.missing)
        return dict(self._module("system").SYSTEMS)

    @functools.cached_property
    def views(self) -> tuple[View, ...]:
        """Its views, the one that tells the story first."""
        import holoviews.plotting.bokeh

        if not holoviews.Store.current_backend:
            holoviews.Store.set_current_backend("bokeh")
        return tuple(self._optional("views", "VIEWS"))

    @property
    def all_views(self) -> tuple[View, ...]:
        """Its views, with those of the instruments in front, which show where one is at work."""
        own = self.views
        return (*importlib.import_module("stabviz.instruments.views").VIEWS, *own)

    @functools.cached_property
    def claims(self) -> tuple[Claim, ...]:
        """What it can check."""
        return tuple(self._optional("claims", "CLAIMS"))

    @functools.cached_property
    def experiments(self) -> tuple[Experiment, ...]:
        """Its guided experiments."""
        return tuple(self._optional("claims", "EXPERIMENTS"))

    @functools.cached_property
    def boundaries(self) -> tuple[Boundary, ...]:
        """What its paper predicts over its controls, for the maps of sweeps."""
        return tuple(self._optional("boundaries", "BOUNDARIES"))

    @functools.cached_property
    def text(self) -> str:
        """Its text, Markdown with equations."""
        path = self.folder / "text.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @functools.cached_property
    def thumbnail(self) -> str:
        """Its thumbnail as SVG text, "" if it has none."""
        path = self.folder / "thumbnail.svg"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def system_class(self, name: str | None = None) -> type[System]:
        """A System by its name in the lab; the default one for None. `twin:diagonal` is an instrument on it."""
        if ":" in (name or ""):
            instrument, _, rest = str(name).partition(":")
            from .instruments import INSTRUMENTS

            return INSTRUMENTS[_known(instrument, INSTRUMENTS, "instrument", "stabviz")].of(self.system_class(rest))
        return self.systems[_known(name, self.systems, "system", self.title)] if name else next(iter(self.systems.values()))

    def system_name(self, name: str | None = None) -> str:
        """The name itself, or that of the default System; `twin:` stands for the instrument on the default one."""
        if ":" in (name or ""):
            instrument, _, rest = str(name).partition(":")
            return f"{instrument}:{self.system_name(rest)}"
        return _known(name, self.systems, "system", self.title) if name else next(iter(self.systems))

    def preset(self, name: str | None) -> Preset:
        """A preset by name; an empty one for None."""
        return self.presets[_known(name, self.presets, "preset", self.title)] if name else Preset("")

    def claim(self, name: str) -> Claim:
        """A claim by its slug."""
        by = {c.slug: c for c in self.claims}
        return by[_known(name, by, "claim", self.title)]

    @functools.cached_property
    def controls(self) -> Any:
        """The controls of the default System as a `param.Parameterized` class: bounds, steps, docs, labels, defaults."""
        from .system import parameters

        return parameters(self.system_class(), f"{self.slug}_controls")

    def _controls_of(self, system: str | None) -> Mapping[str, Any]:
        from .system import controls

        return controls(self.system_class(system))

    def system(self, system: str | None = None, preset: str | None = None, **controls: Any) -> System:
        """A System with a preset's controls, then `controls`, turned.

        Raises:
            ControlError: a control that it does not have, or a value that is not allowed.
        """
        from .system import with_controls

        chosen = self.preset(preset)
        cls = self.system_class(system or chosen.system)
        return with_controls(cls(), **{**chosen.controls, **controls})

    def plan(self, system: str | None = None, preset: str | None = None, seed: Any = None, steps: int | None = None,
             frames: int | None = None, spacing: str | None = None, seeds: Mapping[str, int] | None = None,
             interventions: Sequence[Any] | None = None, asked: Sequence[str] | None = (), keep: Sequence[str] | None = None,
             more: Sequence[tuple[int, int, str]] = (), **controls: Any) -> Plan:  # fmt: skip
        """The plan of a run: a preset, then what is given on top of it.

        `interventions`: `(step, "set", {control: value})` or `(step, "kick", {"name": ..., ...})`. `more`: stretches that
        continue the run, each `(steps, frames, spacing)`.
        """
        from .carry_out import schedule_for
        from .plan import Intervention, Plan
        from .system import Schedule, Segment

        chosen = self.preset(preset)
        length = steps if steps is not None else chosen.steps
        if length is not None and "steps" in self._controls_of(system or chosen.system):
            controls = {"steps": length, **controls}  # a System that reads its own length
        first: Any = lambda *values: next((v for v in values if v is not None), None)  # noqa: E731
        made = self.system(system, preset, **controls)
        planned = interventions if interventions is not None else chosen.interventions
        schedule = schedule_for(made, length, first(frames, chosen.frames), first(spacing, chosen.spacing))
        return Plan(
            made, lab=self.slug, name=self.system_name(system or chosen.system), seed=first(seed, chosen.seed, 0),
            seeds=tuple((seeds or {}).items()),
            schedule=Schedule(segments=(*schedule.segments, *(Segment(*stretch) for stretch in more))),
            interventions=tuple(i if isinstance(i, Intervention) else Intervention(*i) for i in planned),
            asked=None if asked is None else tuple(asked), keep=None if keep is None else tuple(keep),
        )  # fmt: skip

    def run(self, preset: str | None = None, seed: Any = None, steps: int | None = None, frames: int | None = None,
            store: Any = None, system: str | None = None, scheduler: Scheduler | None = None, **more: Any) -> Run:  # fmt: skip
        """Start a run, or find it: identical runs are one, and a finished one is replayed from the store. Returns at once.

        `more`: controls, and whatever else `plan` takes (`spacing`, `interventions`, ...).
        """
        return _scheduler(scheduler, store).submit(self.plan(system, preset, seed, steps, frames, **more), lab=self)

    def judge(self, dataset: Any) -> list[Judged]:
        """Each claim with its verdict on one run's Dataset."""
        return [Judged(claim, claim.judge(dataset)) for claim in self.claims]

    def view(self, slug: str | None = None) -> View:
        """A view by its slug; the one that tells the story for None."""
        by = {v.slug: v for v in self.all_views}
        return by[_known(slug, by, "view", self.title)] if slug else self.views[0]

    def study(self, study: Study | str, scheduler: Scheduler | None = None, store: Any = None, by: Any = None) -> StudyRun:
        """Start a study (a preset's name: one run of it), or find it. Returns at once. `by`: see `Scheduler.submit_study`."""
        from .studies import Study

        chosen = Study(preset=study) if isinstance(study, str) else study
        return _scheduler(scheduler, store).submit_study(chosen, self, by=by)

    def evidence(self, claim: str | Claim, scheduler: Scheduler | None = None, store: Any = None) -> dict[str, StudyRun]:
        """Start what decides a claim: its studies by name ("" for a single one)."""
        claim = self.claim(claim) if isinstance(claim, str) else claim
        return {name: self.study(study, scheduler, store) for name, study in claim.studies.items()}

    def verdict(self, claim: str | Claim, evidence: Mapping[str, StudyRun] | None = None, **where: Any) -> Verdict:
        """Carry out what decides a claim (or take `evidence` that is there), and decide it."""
        claim = self.claim(claim) if isinstance(claim, str) else claim
        evidence = self.evidence(claim, **where) if evidence is None else evidence
        return claim.decided_by({name: job.wait().dataset for name, job in evidence.items()})

    def panel(self, preset: str | None = None, **options: Any) -> Any:
        """The lab's page, live in a notebook, with a preset and controls as `run` takes them."""
        return importlib.import_module("stabviz.app").embed(self, preset=preset, **options)


def _scheduler(scheduler: Scheduler | None, store: Any) -> Scheduler:
    from .scheduler import Scheduler, default_scheduler
    from .store import Store

    if scheduler is not None:
        return scheduler
    if store is None:
        return default_scheduler()
    return Scheduler(store if isinstance(store, Store) else Store(store))


def _known(name: str | None, available: Mapping[str, Any], what: str, where: str) -> str:
    """`name`, if it is one of `available`; else `UnknownLab` with the closest."""
    if name in available:
        return str(name)
    raise UnknownLab(f"{where} has no {what} {str(name)[:60]!r}; {advice(str(name), available)}")


@functools.cache
def _found() -> dict[str, Lab]:
    home = importlib.import_module("stabviz.labs")
    sources: dict[str, Callable[[], Lab]] = {}
    for wing in pkgutil.iter_modules(home.__path__):
        if wing.ispkg:
            folder = pathlib.Path(home.__path__[0]) / wing.name
            for module in pkgutil.iter_modules([str(folder)]):
                if module.ispkg:
                    name = f"{home.__name__}.{wing.name}.{module.name}"
                    sources[name] = lambda name=name: importlib.import_module(name).lab  # type: ignore[misc]
    for entry in importlib.metadata.entry_points(group="stabviz.labs"):
        sources[entry.value] = entry.load
    found: list[Lab] = []
    for name, load in sources.items():
        try:
            found.append(load())
        except Exception as error:  # one broken lab must not take the others with it
            log.warning("The lab %s cannot be loaded and is left out: %s: %s", name, type(error).__name__, error)
    wings = list(WINGS)
    place = lambda lab: (wings.index(lab.wing) if lab.wing in wings else len(wings), lab.order, lab.title)  # noqa: E731
    return {lab.slug: lab for lab in sorted(found, key=place)}


_offered: dict[str, Lab] = {}


def offer(lab: Lab) -> Lab:
    """Make a lab known in this process, in front of the others: one that is not installed."""
    _offered[lab.slug] = lab
    return lab


def withdraw(slug: str) -> None:
    """Forget a lab that was offered."""
    _offered.pop(slug, None)


def labs() -> dict[str, Lab]:
    """All labs by slug, in gallery order: those offered in this process, ours, and those of other packages (`stabviz.labs`)."""
    return {**_offered, **_found()} if _offered else dict(_found())


def lab(slug: str) -> Lab:
    """A lab by its slug.

    Raises:
        UnknownLab: there is none of that name; the message names the closest.
    """
    found = labs()
    return found[_known(slug, found, "lab", "stabviz")]
