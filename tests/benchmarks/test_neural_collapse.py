"""The neural collapse lab beside what one would use instead: scikit-learn's and PyTorch's training, SciPy's integrator, plain NumPy.

Ratios below 1 mean that the lab is faster. `pytest tests/benchmarks/test_neural_collapse.py -m benchmark -s`.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from stabviz.carry_out import carry_out
from stabviz.labs.training.neural_collapse.digits import digits
from stabviz.labs.training.neural_collapse.network import LABELS, Network
from stabviz.labs.training.neural_collapse.system import Flow, Tether
from stabviz.plan import Plan
from stabviz.system import Schedule

from .side_by_side import compare

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

EPOCHS = 100
PLAIN = {"loss": "ce", "normalise": False, "learning_rate": 0.01, "wd_features": 0.0, "wd_last": 0.0, "epochs": EPOCHS}


def training(frames=1):
    """Training through the engine, with so many observed frames: another initial state each time, so that nothing is remembered."""
    seeds = iter(range(10_000))

    def go():
        ds, _ = carry_out(Plan(Network(**PLAIN), seed=next(seeds), schedule=Schedule(10 * EPOCHS, frames)))
        assert ds["train_accuracy"].values[-1] > 0.9

    return go


def test_training_against_scikit_learn(benchmark):
    """The same layers, batches, epochs, rate and momentum, cross entropy, without normalisation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    data = digits(np.random.default_rng(0))
    x = data["x"].reshape(-1, 64)

    def theirs():
        net = MLPClassifier((64,) * 4, solver="sgd", alpha=0.0, batch_size=100, learning_rate_init=0.01, momentum=0.9,
                            nesterovs_momentum=False, max_iter=EPOCHS, n_iter_no_change=EPOCHS + 1, tol=0.0)  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(x, LABELS)
        assert net.score(x, LABELS) > 0.9

    what = "100 epochs of a network of five layers, cold problem"
    assert compare(benchmark, training(), theirs, what=what, beside="scikit-learn")["ratio"] < 5


def test_training_against_pytorch(benchmark):
    """The same in a plain PyTorch loop."""
    torch = pytest.importorskip("torch")
    data = digits(np.random.default_rng(0))
    x, y = torch.tensor(data["x"].reshape(-1, 64)), torch.tensor(LABELS, dtype=torch.long)

    def theirs():
        layers = [m for _ in range(4) for m in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        net = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
        optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(x)).split(100):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
                optimiser.step()

    what = "100 epochs of a network of five layers, cold problem"
    assert compare(benchmark, training(), theirs, what=what, beside="PyTorch")["ratio"] < 5


def test_streaming_a_hundred_frames_of_training(benchmark):
    """Observing 100 frames of all measures beside the same training observed once."""
    compare(benchmark, training(100), training(), what="training with 100 frames of all measures", beside="the same, observed once")


MODEL = {"classes": 10, "samples_per_class": 20, "feature_dim": 30}
K, N, D = 10, 20, 30
Y = np.kron(np.eye(K), np.ones((1, N)))


def given(seed):
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(size=(D, K)), N, axis=1) + rng.normal(size=(D, K * N))


def last_layer(h, reg_last):
    return np.linalg.solve(h @ h.T + N * reg_last * np.eye(D), h @ Y.T).T


def test_flow_against_scipy(benchmark):
    """The flow of 200 features in 30 dimensions up to t = 60 with the same tolerances, 121 frames."""
    from scipy.integrate import solve_ivp

    def rhs(t, y):
        h = y.reshape(D, -1)
        w = last_layer(h, 0.1)
        return -(w.T @ (w @ h - Y) + 0.05 * h).ravel()

    seeds = iter(range(10_000))

    def theirs():
        solve_ivp(rhs, (0, 60), given(next(seeds)).ravel(), method="RK45", rtol=1e-9, atol=1e-11, t_eval=np.linspace(0, 60, 121))

    system = Flow(**MODEL)

    def ours():
        ds, _ = carry_out(Plan(system, seed=next(seeds), schedule=system.schedule()))
        assert ds.sizes["step"] == 121 and ds["time"].values[-1] == pytest.approx(60)

    compare(benchmark, ours, theirs, what="gradient flow of 6,000 numbers, the same tolerances", beside="SciPy's RK45",
            limit="all measures at each of 121 frames, where the solver begins anew")  # fmt: skip


def test_alternating_minimisation_against_numpy(benchmark):
    """1000 sweeps of the tethered model, 50 frames."""
    seeds = iter(range(10_000))

    def theirs():
        h0 = h = given(next(seeds))
        for _ in range(1000):
            w = last_layer(h, 0.1)
            h = np.linalg.solve(w.T @ w + 0.06 * np.eye(D), w.T @ Y + 0.01 * h0)

    class Bare(Tether):
        """Without the curve over all tethers and without an early end."""

        curve = tangent = None

        def stop(self, problem, state):
            return {}

    def ours():
        ds, _ = carry_out(Plan(Bare(**MODEL, tether=0.01), seed=next(seeds), schedule=Schedule(1000, 50)))
        assert ds["step"].values[-1] == 1000

    compare(benchmark, ours, theirs, what="1,000 sweeps of alternating minimisation, 50 frames", beside="NumPy, no frames")
