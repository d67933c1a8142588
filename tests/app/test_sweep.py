"""What the map of a sweep shows and what its link says: plain numbers, no browser."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
import xarray as xr
from toy_lab import BOUNDARIES, Toy

import stabviz as sv
from stabviz.app import link, sweep_link, sweep_map
from stabviz.app.sweep_link import Axis, Sweep
from stabviz.boundary import Boundary
from stabviz.control import ControlError
from stabviz.generic_views import ensemble, ensembles, quantiles
from stabviz.system import controls

# the link ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        Sweep((Axis("rate", 0.1, 0.7, 4),), "mean"),
        Sweep((Axis("rate", 1e-3, 0.1 + 0.2, 24, True), Axis("cells", 1.0, 9.0, 3)), "mean", "max", 8),
        Sweep((Axis("seed", 0.0, 9.0, 10),), "", "ended"),
    ],
)
def test_a_sweep_survives_its_link(toy, asked):
    state = link.default(toy, "", "toy")
    state.sweep, state.tab = asked, "sweep"
    again = link.read(toy, link.write(toy, state))
    if not asked.show:  # this system has something to look at
        asked = Sweep(asked.axes, "mean", "ended")
    assert (again.sweep, again.tab, again.problems) == (asked, "sweep", [])


@pytest.mark.parametrize(
    ("words", "told", "left"),
    [
        ("over=nothing+1+2+3", "'nothing 1 2 3'", None),
        ("over=rate+1+2", "an axis of a sweep", None),
        ("over=rate+0.1+30+4", "rate cannot be", None),
        ("over=rate+0.5+0.1+4", "from a number up to another", None),
        ("over=rate+0+1+4+log", "begin above zero", None),
        ("over=rate+0+nan+4", "from a number up to another", None),
        ("over=rate+0+1+9999999", "from a number up to another", None),
        ("over=rate+0+1+4&over=rate+0+1+4", "an axis of a sweep", 1),
        ("over=rate+0+1+4&look=mean+sideways", "looks at", 1),
        ("over=rate+0+1+4&look=colour+last", "looks at", 1),
        ("over=rate+0+1+4&seeds=-3", "seeds cannot be", 1),
    ],
)
def test_what_a_link_says_wrongly_of_a_sweep_is_told(toy, words, told, left):
    state = link.read(toy, f"?lab=toy&{words}")
    assert any(told in p for p in state.problems), state.problems
    assert (len(state.sweep.axes) if state.sweep else None) == left


def test_points_of_an_axis():
    specs = controls(Toy)
    assert Axis("rate", 0.1, 1.6, 5, True).points(specs["rate"]) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert Axis("cells", 1.0, 4.0, 10).points(specs["cells"]) == [1, 2, 3, 4]
    both = Sweep((Axis("rate", 0.0, 1.0, 3),), "mean", seeds=4).points(specs, seed=7)
    assert both == {"rate": [0.0, 0.5, 1.0], "seed": [7, 8, 9, 10]}
    with pytest.raises(ControlError, match="more than 4,096"):
        Sweep((Axis("rate", 0.0, 1.0, 100),), "mean", seeds=50).points(specs, 0)
    assert sweep_link.observables_of(Toy()) == {"mean": "mean position", "passed": "frames seen on the host"}


# the map -----------------------------------------------------------------------------------------------------------------


def study(status, **more):
    """A Dataset like that of a study over rate (8) and drift (9), recorded twice; what is given in place of it."""
    shape = np.shape(status)
    dims = tuple(more.pop("dims", ("rate", "drift", "seed")[: len(shape)]))
    x = more.pop("x", np.arange(np.prod(shape) * 2, dtype=float).reshape(*shape, 2))
    ended = more.pop("ended", np.where(np.isin(status, ("finished",)), 10, -1))
    return xr.Dataset({"status": (dims, status), "ended_step": (dims, ended), "x": ((*dims, "step"), x)}, {"step": [0, 10]})


def test_a_cell_not_yet_there_looks_like_the_block_around_it():
    rate, drift = np.linspace(0, 1, 8).tolist(), np.linspace(0, 1, 9).tolist()
    status = np.full((8, 9), "waiting", object)
    axes = {"rate": rate, "drift": drift}
    for i in (1, 5):
        for j in (1, 5, 8):
            status[i, j] = "finished"
    made = sweep_map.table(study(status.astype(str)), axes, "x", "last")
    z = np.array(made["z"], float)
    assert z.shape == (9, 8) and np.isfinite(z).all()
    assert (z[:4, :4] == z[1, 1]).all() and (z[4:8, 4:] == z[5, 5]).all() and (z[8, :4] == z[8, 1]).all()
    assert len(np.unique(z)) == 6 and np.sum(made["there"]) == 6
    status[3, 3] = "diverged"  # a finer cell is there, and was lost
    ds = study(status.astype(str))
    made = sweep_map.table(ds, axes, "x", "last")
    assert made["z"][3][2] == made["z"][2][3] == float(ds["x"][3, 3, 1]) and made["z"][1][1] == z[1, 1]
    assert np.sum(made["lost"]) == 4 and made["lost"][3][3] == 1


def test_a_solved_run_is_not_lost_and_one_axis_is_a_line():
    status = np.array(["converged", "diverged", "finished", "waiting"])
    made = sweep_map.table(study(status, dims=("rate",), ended=[4, 6, 10, -1]), {"rate": [1.0, 2.0, 3.0, 4.0]}, "x", "ended")
    assert made["lost"] == [[0, 1, 0, 0]] and made["z"] == [[4.0, 6.0, 10.0, None]]


def test_the_map_of_an_ensemble_is_its_median_without_the_lost():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 20, 2))
    status = np.full((3, 20), "finished", object)
    status[1, :5], x[1, :5] = "diverged", 1e9
    ds = study(status.astype(str), x=x, dims=("rate", "seed"))
    made = sweep_map.table(ds, {"rate": [1.0, 2.0, 3.0], "seed": list(range(20))}, "x", "last")
    kept = [x[0, :, 1], x[1, 5:, 1], x[2, :, 1]]
    assert made["seeds"] == 20 and made["lost"] == [[0, 5, 0]]
    np.testing.assert_allclose(made["z"][0], [np.median(k) for k in kept], rtol=1e-5)
    np.testing.assert_allclose(np.transpose(made["bands"]), [np.quantile(k, [0, 0.16, 0.5, 0.84, 1]) for k in kept], rtol=1e-5)


# boundaries --------------------------------------------------------------------------------------------------------------


def test_a_border_crosses_the_map_where_its_level_is_zero():
    hyperbola = Boundary("h", "ab = 1", ("a", "b"), lambda c: np.log(c["a"] * c["b"]), sides=("in", "out"))
    a, b = np.geomspace(0.1, 10, 12), np.geomspace(0.05, 5, 9)
    (line,) = sweep_map.lines([hyperbola], {"a": 1.0, "b": 1.0}, {"a": a.tolist(), "b": b.tolist(), "seed": [1, 2]})["lines"]
    points = np.concatenate(line["parts"])
    found = np.interp(points[:, 0], np.arange(12), np.log(a)) + np.interp(points[:, 1], np.arange(9), np.log(b))
    inside = ((points > 0) & (points < [11, 8])).all(axis=1)
    assert inside.sum() > 30 and np.abs(found[inside]).max() < 1e-3
    (turned,) = sweep_map.lines([hyperbola], {"a": 1.0, "b": 1.0}, {"b": b.tolist(), "a": a.tolist()})["lines"]
    assert len(np.concatenate(turned["parts"])) > 30
    (upright,) = sweep_map.lines([hyperbola], {"a": 1.0, "b": 2.0}, {"a": a.tolist()})["lines"]
    assert np.interp(upright["parts"][0][0][0], np.arange(12), np.log(a)) == pytest.approx(np.log(0.5), abs=1e-3)
    assert sweep_map.lines([hyperbola], {"a": 1.0, "b": 1.0}, {"a": [5.0, 6.0, 7.0], "b": [5.0, 6.0]}) == {"lines": [], "curves": []}


def test_what_is_said_of_an_observable_is_a_curve_along_one_axis():
    axes = {"rate": np.linspace(0, 2, 9).tolist()}
    suits = [b.slug for b in BOUNDARIES if b.suits("twin:toy", ("rate",), "mean")]
    assert suits == ["settles", "fixed"]
    assert [b.slug for b in BOUNDARIES if b.suits("toy", ("rate",), "passed")] == ["settles"]
    assert not [b for b in BOUNDARIES if b.suits("toy", ("cells",), "mean")]
    made = sweep_map.lines(BOUNDARIES, {"rate": 0.5}, axes)
    (curve,), (line,) = made["curves"], made["lines"]
    at = {round(x, 6): v for x, v in curve["points"]}
    assert at[2.0] == pytest.approx(2.0) and max(at) < 4.01  # 1/(1 - 0.5); infinite from rate 1 on
    assert line["parts"][0][0][0] == pytest.approx(4.0, abs=1e-6)


# ensembles ---------------------------------------------------------------------------------------------------------------


def test_quantiles_are_those_of_numpy_and_leave_out_what_is_not_finite():
    y = np.random.default_rng(0).normal(size=(17, 5))
    np.testing.assert_allclose(quantiles(y), np.quantile(y, [0, 0.16, 0.5, 0.84, 1], axis=0))
    y[3:, 1], y[:, 2], y[0, 3] = np.nan, np.inf, np.nan
    found = quantiles(y)
    np.testing.assert_allclose(found[:, 1], np.quantile(y[:3, 1], [0, 0.16, 0.5, 0.84, 1]))
    assert np.isnan(found[:, 2]).all() and np.isfinite(found[:, 3]).all()


class Walk(sv.System):
    """x' = rate x + noise; lost beyond 50."""

    rate: float = sv.control(1.0, bounds=(0.0, 2.0), doc="multiplier")
    observables = {"x": sv.Observable("position"), "both": sv.Observable("two", dims="side")}

    def init(self, problem, key):
        return 0.0 * self.rate

    def step(self, problem, x, key, k):
        import jax

        return self.rate * x + jax.random.normal(key)

    def stop(self, problem, x):
        return {"diverged": abs(x) > 50}

    def observe(self, problem, x):
        import jax.numpy as jnp

        return {"x": x, "both": jnp.stack([x, -x])}


def test_a_study_over_seeds_is_drawn_with_median_and_bands():
    ds = sv.study(Walk(), axes={"rate": [0.5, 1.2], "seed": range(12)}, steps=24, frames=12)
    (view,) = ensembles(ds)
    assert (view.slug, view.title) == ("ensemble-x", "Position")
    calm, wild = ds.sel(rate=0.5), ds.sel(rate=1.2)
    least, low, middle = list(view.draw(calm))
    assert [type(e) for e in (least, low, middle)] == [hv.Area, hv.Area, hv.Curve]
    np.testing.assert_allclose(middle["median"], np.median(calm["x"].values, axis=0), rtol=1e-6)
    np.testing.assert_allclose(low["low"], np.quantile(calm["x"].values, 0.16, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(least["most"], calm["x"].values.max(axis=0), rtol=1e-6)
    assert "of 12 members" in view.sentence(calm) and "lost" not in view.sentence(calm)
    gone = int((wild["status"] == "diverged").sum())
    assert 0 < gone < 12
    first = int(wild["ended_step"].values[wild["status"].values == "diverged"].min())
    assert f"{gone} of 12 were lost, the first at step {first}" in view.sentence(wild)
    still = (wild["status"].values != "diverged")[:, None] | (wild["step"].values[None, :] <= wild["ended_step"].values[:, None])
    want = [np.median(x[there]) for x, there in zip(wild["x"].values.T, still.T, strict=True)]
    np.testing.assert_allclose(list(view.draw(wild))[-1]["median"], want, rtol=1e-6)
    assert "of 24" not in view.sentence(ds.sel(rate=[0.5])) and "24 members" in ensemble("x").sentence(ds.sel(rate=[0.5, 0.5]))
    with pytest.raises(ValueError, match="no single number"):
        ensemble("both").draw(calm)
