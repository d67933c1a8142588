"""The claims: what decides them can say yes, no and open; the real studies are behind the marker `claims`."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("dysts")

import stabviz as sv
from stabviz.labs.chaos.chaos_forecasting import decisions, evidence, tables

LAB = sv.lab("chaos_forecasting")
METHODS = ["mean", "persistence", "analog", "AR", "NVAR", "ESN"]
GIVEN = tables.given()


def study(dims=(), chaotic=True, methods=METHODS, **values):
    """A Dataset like a study's: each value per method (a dict), case or constant, over two frames and two starts."""
    dims = dict(dims)
    shape = tuple(len(v) for v in dims.values())
    data = {}
    for name, value in values.items():
        per = value if isinstance(value, dict) else dict.fromkeys(methods, value)
        whole = np.stack([np.broadcast_to(per.get(m, 0.0), shape) for m in methods], -1)
        data[name] = ((*dims, "step", "method", "start"), np.broadcast_to(whole[..., None, :, None], (*shape, 2, len(methods), 2)).copy())
    data["chaotic"] = (tuple(dims), np.full(shape, chaotic))
    for name, spec in tables.OBSERVABLES.items():
        if spec.dims:
            data[name] = (spec.dims, GIVEN[name])
    coords = {name: GIVEN[name] for name, spec in tables.OBSERVABLES.items() if not spec.dims}
    return xr.Dataset(data, {"step": [0, 100], "method": methods, **dims, **coords})


LONG = {"system": list(evidence.LONG.axes["system"])}
VPT = np.array([12.5, 15.8, 16.9, 13.8, 16.5])
SIZES = {"system": ["A", "B"], "nvar": ["1, 2", "2, 3"], "n_train": [100, 1000]}


def sized(first, second, esn):
    """Errors of NVAR by order and length, and of the reservoir."""
    nvar = np.broadcast_to(np.array([first, second], float), (2, 2, 2))
    reservoir = np.broadcast_to(np.array(esn, float), (2, 2, 2))
    return study(SIZES, smape={"NVAR": nvar, "ESN": reservoir, "analog": 110.0, "AR": 120.0, "mean": 130.0})


def exponents(shift=0.0, trace=-13.667):
    """A study of two known flows."""
    lam = np.array([0.906, 0.0714 + shift])
    data = {
        "lambda1": lam, "lambda1_error": np.array([0.005, 0.001]), "divergence": np.array([trace, -5.3]),
        "spectrum": np.stack([lam, np.zeros(2), np.array([-13.667, -5.3]) - lam], 1),
    }  # fmt: skip
    ds = xr.Dataset({n: (("flow", "step", "exponent")[: v.ndim + 1], np.repeat(v[:, None], 2, 1)) for n, v in data.items()})
    ds = ds.assign_coords(step=[0, 1], flow=["Lorenz", "Rossler"])
    ds["system_name"] = ("flow", np.array(["Lorenz", "Rossler"]))
    for name in ("lambda1_table", "lambda1_table_error"):
        ds[name] = ("flow", np.array([0.8972, 0.0728]) if name == "lambda1_table" else np.array([0.006, 0.002]))
    for name in ("all_lambda1", "all_lambda1_dysts", "all_period"):
        ds[name] = ("flow_name", GIVEN[name])
    return ds


def twins(rate, starts=60):
    """A race whose twins part at a rate."""
    time = np.linspace(0, 18, 100)
    gap = np.broadcast_to((-18.4 + rate * time)[:, None], (100, starts))
    return xr.Dataset({"separation": (("step", "start"), gap), "chaotic": True}, {"lyapunov_time": ("step", time), "step": np.arange(100)})


NOISE = {"nvar": ["2, 3", "1, 2"], "noise": list(evidence.NOISES), "ridge": [1e-8, 1e-2]}


def noisy(cubic, quadratic, esn):
    """Valid prediction times by noise; the larger ridge is worse."""
    nvar = np.stack([np.array(cubic), np.array(quadratic)])[:, :, None] * np.array([1.0, 0.5])
    return study(NOISE, vpt_nrmse={"NVAR": nvar, "ESN": np.broadcast_to(np.array(esn)[None, :, None], nvar.shape)})


WANT = decisions.NOISY
CASES = [
    ("two_dozen", study(LONG, vpt_nrmse=VPT, vpt_smape=VPT * 1.5), True),
    ("two_dozen", study(LONG, vpt_nrmse=VPT * 0.6, vpt_smape=VPT * 1.5), False),
    ("two_dozen", study(LONG, vpt_nrmse=VPT, vpt_smape=VPT), False),
    ("two_dozen", study(vpt_nrmse=12.0, vpt_smape=18.0), None),
    ("no_learning", study(LONG, vpt_nrmse={"mean": 0.0, "persistence": 0.1}), True),
    ("no_learning", study(LONG, vpt_nrmse={"mean": 0.5, "persistence": 0.1}), False),
    ("no_learning", study(LONG, vpt_nrmse={"mean": 0.0, "persistence": 0.4}), False),
    ("no_learning", study(chaotic=False, vpt_nrmse=9.0), None),
    ("wrong_class", study({"system": ["Rossler", "Thomas", "Chua"]}, vpt_nrmse=np.array([9.2, 0.3, 0.9])), True),
    ("wrong_class", study({"system": ["Rossler", "Thomas", "Chua"]}, vpt_nrmse=np.array([9.2, 2.3, 0.9])), False),
    ("wrong_class", study({"system": ["Rossler", "Thomas", "Chua"]}, vpt_nrmse=np.array([0.2, 0.3, 0.9])), False),
    ("little_data", sized([96, 72], [124, 52], [[102, 38], [102, 38]]), True),
    ("little_data", sized([96, 72], [80, 52], [[102, 38], [102, 38]]), False),
    ("little_data", sized([40, 30], [124, 52], [[102, 38], [102, 38]]), False),
    ("exponents", exponents(), True),
    ("exponents", exponents(shift=0.08), False),
    ("exponents", exponents(trace=-13.9), False),
    ("rough_tables", exponents(), True),
    ("rough_tables", exponents(shift=0.05), False),
    ("twins", twins(1.0), True),
    ("twins", twins(1.3), False),
    ("twins", twins(1.0, starts=5), None),
    ("noise", noisy(WANT["2, 3"], WANT["1, 2"], WANT["ESN"]), True),
    ("noise", noisy(WANT["2, 3"], WANT["1, 2"], np.array(WANT["ESN"]) * 0.6), False),
    ("noise", noisy([9.5, 9.5, 9.5, 9.5, 9.5], WANT["1, 2"], WANT["ESN"]), False),
    ("small_models", study({"case": ["A", "B", "C"]}, smape={"NVAR": 0.4, "ESN": 2.0}), True),
    ("small_models", study({"case": ["A", "B", "C"]}, smape={"NVAR": 40.0, "ESN": 2.0}), False),
    ("ranking", study(vpt_nrmse=1.0), None),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "dataset", "holds"), CASES, ids=[f"{s}-{i}" for i, (s, _, _) in enumerate(CASES)])
def test_a_claim_says_yes_no_or_open(slug, dataset, holds):
    verdict = LAB.claim(slug).weigh(dataset)
    assert verdict.holds is holds, verdict
    assert verdict.measured or verdict.reason


def test_no_chaos_needs_the_linear_method_and_a_quiet_twin():
    ds = study({"system": ["Torus", "Lorenz"]}, nrmse={"AR": np.array([1e-3, 1.2])})
    ds["separation"] = (("system", "step", "start"), np.array([[[-18.4] * 2, [-18.4] * 2], [[-18.4] * 2, [0.5] * 2]]))
    assert decisions.no_chaos(ds).holds is True
    assert decisions.no_chaos(ds.assign(nrmse=ds["nrmse"] + 1)).holds is False
    loud = ds["separation"].sel(system=["Lorenz", "Lorenz"]).assign_coords(system=ds["system"])
    assert decisions.no_chaos(ds.assign(separation=loud)).holds is False


def test_decorrelated_reads_the_table_and_falls_where_errors_follow_the_exponent():
    ds = study({"system": ["A", "B", "C", "D"]}, smape=5.0)
    ds["lambda1"] = ("system", np.array([0.1, 0.5, 1.0, 2.0]))
    assert decisions.decorrelated(ds).holds is True
    slow = np.repeat(1 / np.maximum(GIVEN["all_lambda1"], 1e-3)[:, None], 3, 1)
    follows = ds.assign(all_nvar_smape=(ds["all_nvar_smape"].dims, slow))
    assert decisions.decorrelated(follows).holds is False


def test_the_board_needs_its_order_and_its_numbers():
    order = {"nvar": ["1, 2", "1, 3", "2, 2", "3, 2", "2, 3"]}
    nvar = np.array([1.41, 5.0, 4.8, 8.8, 12.5])
    board = study(order, vpt_nrmse={"persistence": 0.06, "analog": 0.6, "AR": 0.22, "ESN": 6.2, "NVAR": nvar})
    nets = study({"networks": ["mlp", "nbeats", "node"]}, methods=[*METHODS, "net"], vpt_nrmse={"net": np.array([2.7, 2.5, 2.7])})
    assert decisions.board(board, nets).holds is True
    assert decisions.board(board, nets.assign(vpt_nrmse=nets["vpt_nrmse"] * 3)).holds is False
    assert decisions.board(board.assign(vpt_nrmse=board["vpt_nrmse"] * 1.5), nets).holds is False
    lucky = board.assign(vpt_nrmse=board["vpt_nrmse"] * xr.where(board["method"] == "analog", 1.6, 1.0))
    assert decisions.board(lucky, nets).holds is False and "training series" in decisions.board(lucky, nets).reason


def test_flows_are_drawn_by_a_seed_and_settings_are_in_bounds():
    assert evidence.drawn(40, lambda row: row["dimension"] == 3 and row["lambda1"] * row["period"] > 0.05) == evidence.DATA.axes["system"]
    assert len(set(evidence.DATA.axes["system"])) == 40 and len(set(evidence.TUNED)) == 10
    for claim in LAB.claims:
        studies = claim.study.values() if isinstance(claim.study, dict) else [claim.study] if claim.study else []
        for one in studies:
            assert one.plans(LAB)


NOT_HERE = {"board", "noise"}
"""What does not hold as it is stated, within its own tolerance; the Scoreboard shows it so, with the reason."""


@pytest.mark.claims
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("slug", [c.slug for c in LAB.claims if c.study is not None])
def test_a_claim_is_decided_by_its_own_study(slug):
    verdict = LAB.verdict(slug)
    print(f"\n{slug}: {verdict}")
    assert verdict.holds is (slug not in NOT_HERE), verdict
