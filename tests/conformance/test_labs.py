"""Every registered lab keeps the contract: one suite that each of them inherits."""

from __future__ import annotations

import datetime
import functools
import json
import pathlib
import re

import holoviews as hv
import numpy as np
import pytest
from conformance import (
    HEADINGS,
    alternatives,
    assert_described,
    assert_no_recompile,
    assert_same_bits,
    everything_asked,
    needed_by,
    short,
    structure,
    traced,
    turned,
)  # fmt: skip
from wire import last_frame, lengthened

import stabviz as sv
from stabviz.acts import uses
from stabviz.app.along import along
from stabviz.app.drawn import Draughts, drawn, flat
from stabviz.batch import Batch
from stabviz.carry_out import carry_out, chunks, state_of
from stabviz.comparing import aligned
from stabviz.engine import precision
from stabviz.instruments import INSTRUMENTS, NotDifferentiable
from stabviz.lab import WINGS, Claim
from stabviz.plan import Intervention, Plan, from_record
from stabviz.simulation import Simulation
from stabviz.store import Store
from stabviz.studies import Study
from stabviz.system import Schedule, controls
from tests.app.outline import outline

LABS = {slug: lab for slug, lab in sv.labs().items() if not lab.missing}


def tried(lab):
    """Systems of a lab that are tried in the default run: the first. The next ones, up to eight, are tried under `claims`."""
    return list(lab.systems)[:1]


def cases(all_labs=True):
    """Each System as (slug, name); in the default run the first of each lab, or of the first lab alone."""
    for i, (slug, lab) in enumerate(LABS.items()):
        for name in list(lab.systems)[:8]:
            now = name in tried(lab) and (all_labs or i == 0)
            yield pytest.param(slug, name, id=f"{slug}-{name}", marks=() if now else pytest.mark.claims)


each_lab = pytest.mark.parametrize("lab", LABS.values(), ids=list(LABS))
each_system = pytest.mark.parametrize(("slug", "name"), list(cases()))
each_system_in_turn = pytest.mark.parametrize(("slug", "name"), list(cases(all_labs=False)))
"""For what costs several compilations: the first lab in the default run, all of them under `claims`."""


def test_every_lab_of_ours_is_found():
    home = pathlib.Path(sv.__file__).parent / "labs"
    assert {path.parent.name for path in home.glob("*/*/__init__.py")} <= set(sv.labs())


@functools.cache
def carried_out(slug: str, name: str):
    """A short run: (Dataset, simulation at its end)."""
    plan = short(LABS[slug], name)
    return carry_out(plan, needed_by(plan))


@each_system
def test_it_runs_and_describes_what_it_records(slug, name):
    ds, _ = carried_out(slug, name)
    assert ds.sizes["step"] >= 2 and ds.attrs["status"] != "running"
    assert ds.attrs["lab"] == slug and ds.attrs["system"] == name
    assert_described(ds)


@each_system_in_turn
def test_every_declared_observable_appears_in_some_choice_and_nothing_else_does(slug, name):
    plan = short(LABS[slug], name)
    seen, declared = set(), set()
    for system in alternatives(plan.system):
        asked = everything_asked(plan.replace(system=system))
        simulation = Simulation(asked, needed_by(asked))
        simulation.prepare()
        here = {str(n) for n in simulation.template.variables} - {"step"}
        dims = {str(d) for v in simulation.template.variables.values() for d in v.dims}
        assert not (odd := {n for n in here - dims if n not in system.observables}), f"{sorted(odd)} are recorded but not declared"
        seen |= here
        declared |= set(system.observables)
    assert not (declared - seen), f"{sorted(declared - seen)} are declared but never recorded"


@each_system_in_turn
def test_its_bits_do_not_depend_on_the_chunks(slug, name):
    plan = short(LABS[slug], name)
    needed = carried_out(slug, name)[1].needed
    assert_same_bits(carry_out(plan, needed, largest_chunk=1)[0], carried_out(slug, name)[0])


@each_system_in_turn
def test_a_batch_of_it_agrees_with_single_runs_to_rounding(slug, name):
    plan = short(LABS[slug], name)
    first = traced(plan.system)[0]
    plans = [plan, plan.replace(seed=1), plan.replace(system=turned(plan.system, first))]
    states = [needed_by(p) for p in plans]
    batch = Batch(plans, states)
    batch.prepare()
    rows: dict[str, list] = {}
    for chunk in chunks(batch):
        for block in chunk.rows.values():
            for variable, values in block.items():
                rows.setdefault(variable, []).append(values)
    for i, p in enumerate(plans):
        single, _ = carry_out(p, states[i])
        for variable, blocks in rows.items():
            got, want = np.concatenate([b[i] for b in blocks]).astype(float), single[variable].values.astype(float)
            size = max(float(np.nanmax(np.abs(want), initial=0)), 1e-6)
            np.testing.assert_allclose(got[: len(want)] / size, want / size, atol=2e-3, err_msg=variable)


@each_system
def test_it_is_saved_reopened_and_continued_from(slug, name, tmp_path):
    ds, simulation = carried_out(slug, name)
    store, point = Store(str(tmp_path)), simulation.checkpoint()
    dims = {str(v.dims[0]) for v in simulation.template.variables.values() if v.dims and v.dims[0] in simulation.grows}
    rows = {
        d: {
            str(n): v.values
            for n, v in ds.variables.items()
            if v.dims[:1] == (d,) and (n not in ds.coords or v.attrs.get("role") == "time")
        }
        for d in dims
    }
    once = {str(n): v.values for n, v in ds.data_vars.items() if not v.dims or v.dims[0] not in simulation.grows}
    with store.writer(ds.attrs["run"], simulation.template, simulation.grows) as writer:
        writer.commit(rows, once=once, checkpoint=(point.leaves, point.meta), attrs=dict(ds.attrs))
    assert_same_bits(store.open(ds.attrs["run"]).load(), ds)
    state = state_of(simulation.plan, store.load_checkpoint(ds.attrs["run"]).leaves, simulation.needed)
    with precision(simulation.bits):
        assert simulation._forked(state) is not None


@each_system
def test_each_control_turned_alone_is_a_system_built_so(slug, name):
    lab = LABS[slug]
    system = lab.system(system=name)
    for control in controls(system):
        other = turned(system, control)
        value = controls(system)[control].value(getattr(other, control))
        fresh = type(system)(**{control: value})
        schedule = Schedule(2**30, 10)
        ids = [Plan(s, schedule=schedule).id for s in (other, fresh, system)]
        assert ids[0] == ids[1] != ids[2]
        assert lab.plan(system=name, **{control: value}).controls == Plan(fresh, schedule=schedule).controls


@each_system
def test_a_control_turned_at_the_start_acts_like_one_built_so(slug, name):
    plan = short(LABS[slug], name)
    _, simulation = carried_out(slug, name)
    by = uses(plan.system, simulation.problem, simulation.first.state, simulation.needed)
    at_start = by["problem"] | by["init"] | by["begin"] | by["given"] | by["observe"]
    for control in sorted(by["step"] - at_start - {"steps"}):
        if controls(plan.system)[control].at == "start":
            continue
        other = turned(plan.system, control)
        value = controls(other)[control].value(getattr(other, control))
        fresh, _ = carry_out(plan.replace(system=other), simulation.needed)
        live, _ = carry_out(plan.replace(interventions=(Intervention(0, "set", {control: value}),)), simulation.needed)
        assert_same_bits(live.drop_vars(f"control_{control}"), fresh)


@each_system
def test_turning_a_traced_control_compiles_nothing(slug, name):
    plan = short(LABS[slug], name)
    assert_no_recompile(plan.system, plan)


@each_system
def test_its_plan_is_its_json(slug, name):
    plan = short(LABS[slug], name)
    assert from_record(json.loads(plan.json()), type(plan.system)).id == plan.id


@each_lab
def test_presets_are_plans(lab):
    for slug in [None, *lab.presets]:
        plan = lab.plan(preset=slug)
        assert re.fullmatch("[0-9a-f]{16}", plan.id) and isinstance(plan.schedule, Schedule)
        if slug is not None:
            assert lab.presets[slug].title
    ids = [lab.plan(preset=slug).id for slug in lab.presets]
    assert len(set(ids)) == len(ids), "two presets are the same plan"


@each_lab
def test_the_lab_says_what_it_is(lab):
    assert lab.wing in WINGS and lab.title and lab.tagline.endswith((".", "!", "?"))
    paper = lab.paper
    assert paper.title and paper.authors and 1600 < paper.year < 2100 and paper.url.startswith("https://") and paper.bibtex.startswith("@")
    known = {c for cls in lab.systems.values() for c in controls(cls)}
    assert lab.primary and set(lab.primary) <= known
    for cls in lab.systems.values():
        assert cls.__doc__ and cls.__doc__ != sv.System.__doc__
        for name, spec in controls(cls).items():
            assert spec.doc, f"{cls.__name__}.{name} has no doc"


@each_lab
def test_claims_say_what_decides_them(lab):
    assert lab.claims and len({c.slug for c in lab.claims}) == len(lab.claims)
    for claim in lab.claims:
        assert isinstance(claim, Claim) and callable(claim.decide)
        assert claim.statement and claim.expected and claim.tolerance, claim.slug
        assert claim.kind in ("paper", "derived", "control", "shown"), claim.slug
        assert claim.study is not None or claim.on_run, f"nothing decides {claim.slug}"
        studies = claim.study.values() if isinstance(claim.study, dict) else [claim.study] if claim.study is not None else []
        for study in studies:
            if isinstance(study, str):
                assert lab.plan(preset=study)
            else:
                assert isinstance(study, Study) and study.plans(lab), claim.slug


@each_lab
def test_a_short_run_gives_each_claim_a_verdict(lab):
    for name in tried(lab):
        ds, _ = carried_out(lab.slug, name)
        for frames in (0, 1, ds.sizes["step"]):
            for claim, verdict in lab.judge(ds.isel(step=slice(0, frames))):
                assert verdict.holds in (True, False, None), claim.slug
                assert verdict.measured or verdict.reason, f"{claim.slug} says nothing"


@each_lab
def test_experiments_ask_and_answer(lab):
    for experiment in lab.experiments:
        assert experiment.question.endswith("?") and len(experiment.options) >= 2
        assert lab.plan(preset=experiment.preset, steps=experiment.steps, **experiment.controls)


@each_lab
def test_the_text_has_its_headings_and_equations(lab):
    assert len(re.findall(r"^#+ \S", lab.text, re.M)) >= HEADINGS, "text.md has too few headings"
    assert re.search(r"\$\$.+?\$\$", lab.text, re.S), "text.md shows no equation"
    assert lab.text.count("$") % 2 == 0


@each_lab
def test_there_is_a_thumbnail(lab):
    assert "<svg" in lab.thumbnail and "</svg>" in lab.thumbnail
    assert len(lab.thumbnail) < 200_000 and "<script" not in lab.thumbnail


@each_lab
def test_views_draw_a_short_run_and_keep_their_structure(lab):
    assert lab.views and len({v.slug for v in lab.views}) == len(lab.views)
    for name in tried(lab):
        ds, _ = carried_out(lab.slug, name)
        shown = [v for v in lab.views if v.suits(name, ds)]
        assert shown, f"no view shows {name}"
        for view in shown:
            assert view.kind in ("history", "moment") and 0 < len(view.title) < 29, "a phone shows no more of a title"
            pictures = [view.draw(ds.isel(step=slice(0, n))) for n in (1, 2, ds.sizes["step"])]
            kinds = {structure(p) for p in pictures}
            assert len(kinds) == 1, f"{view.slug} changes its structure with the frames: {kinds}"
            for n in (1, ds.sizes["step"]):
                sentence = view.sentence(ds.isel(step=slice(0, n)))
                assert sentence and "\n" not in sentence and sentence.endswith("."), view.slug


@each_system
def test_views_of_runs_aligned_from_an_event_on_keep_what_was_before_it(slug, name):
    lab, (ds, _) = LABS[slug], carried_out(slug, name)
    at = int(ds["step"].values[-2])
    ds = ds.assign_attrs(plan=json.dumps(json.loads(ds.attrs["plan"]) | {"interventions": [[at, "kick", {"name": "kick"}]]}))
    from_event = aligned(ds, "event", "touched")
    assert from_event["step"].values[-2] == 0 > from_event["step"].values[0]
    rising = [v.values for v in ds.variables.values() if v.dims == ("step",) and v.dtype.kind in "if" and (np.diff(v.values) > 0).all()]
    ends = [float(values[-1]) for values in rising]  # of the steps, of the times: where a curve over one of them ends
    views, followed, over = [v for v in lab.all_views if v.suits(name, ds)], False, False
    for view in views:
        plain, other = view.draw(ds), along(view, ds).draw(from_event)
        assert structure(plain) == structure(other) and along(view, ds).sentence(from_event) == view.sentence(ds)
        for a, b in zip(flat(plain), flat(other), strict=True):
            if isinstance(a, hv.Curve) and view.kind == "history":
                x, y = (np.asarray(e.dimension_values(0), float) for e in (a, b))
                followed |= bool(np.any(y < 0) and not np.any(x < 0))
                over |= len(x) >= len(ds["step"]) - 1 and np.ptp(x) > 0 and any(np.isclose(x[-1], end, rtol=1e-6) for end in ends)
                away = (x - y)[np.isfinite(x)]
                np.testing.assert_allclose(away, away[:1].repeat(len(away)), atol=1e-9 * np.abs(x[np.isfinite(x)]).max(initial=0))
                np.testing.assert_array_equal(a.dimension_values(1), b.dimension_values(1))
    assert followed or not over, "no curve follows the event"


BUDGET = {
    "sgd_stability": (70, 44_000), "phase_spiral": (40, 72_000), "chaos_forecasting": (105, 130_000), "neural_collapse": (70, 44_000),
}  # fmt: skip
"""Changes and bytes that a frame may send, all views of a lab together; another lab has as much as the dearest of these."""


@each_lab
def test_a_frame_keeps_the_budget_on_its_way_to_the_browser(lab):
    name = lab.system_name()
    ds = lengthened(carried_out(lab.slug, name)[0], len(lab.plan().schedule.at))
    sent = last_frame(lab, ds, name)
    changes, size = (sum(column) for column in zip(*sent.values(), strict=True))
    most = BUDGET.get(lab.slug, tuple(max(each) for each in zip(*BUDGET.values(), strict=True)))
    assert sent and changes <= most[0] and size <= most[1], f"{changes} changes, {size:,} bytes: {sent}"


@pytest.mark.parametrize(("slug", "name"), list(cases()))
def test_a_figure_made_anew_is_the_one_that_holoviews_draws(slug, name):
    """Those of two views by default, of others each day; all of them under `claims`."""
    ds, views = carried_out(slug, name)[0], LABS[slug].views
    shown = [v for v in views if v.suits(name, ds)]
    first = datetime.date.today().toordinal() % len(shown)
    for view in (shown + shown)[first : first + 2] if name in tried(LABS[slug]) else shown:
        draughts = Draughts(view)
        before, last = (draughts.frame(ds.isel(step=slice(0, n))) for n in (ds.sizes["step"] - 1, ds.sizes["step"]))
        draughts.figure(before)
        again = draughts.figure(last)
        assert outline(again.state) == outline(drawn(view, ds).state), view.slug
        if last.places is not None and last.x is not None:  # where the line stands that marks the moment shown
            assert last.x[0] <= last.places[-1] <= last.x[1], (view.slug, last.places[-1], last.x)


def pairs():
    """Every lab with every instrument; in the default run the first with the first."""
    words = list(INSTRUMENTS)
    for i, slug in enumerate(LABS):
        for j, word in enumerate(words):
            short = i == j == 0
            yield pytest.param(LABS[slug], word, id=f"{slug}-{word}", marks=() if short else pytest.mark.claims)


@pytest.mark.parametrize(("lab", "word"), list(pairs()))
def test_every_instrument_measures_it_or_says_why_not(lab, word):
    try:
        plan = short(lab, f"{word}:{lab.system_name()}")
        ds, _ = carry_out(plan, needed_by(plan))
    except NotDifferentiable as error:
        assert "is not differentiable here" in str(error)
        return
    assert_described(ds)
    alone = carried_out(lab.slug, lab.system_name())[0]
    assert set(alone.data_vars) <= set(ds.data_vars), "the lab's own variables are there too"
    (view,) = [v for v in lab.all_views if v.instrument == word]
    kinds = {structure(view.draw(ds.isel(step=slice(0, n)))) for n in (1, 2, ds.sizes["step"])}
    assert len(kinds) == 1 and view.sentence(ds).endswith(".") and "nan" not in view.sentence(ds)
