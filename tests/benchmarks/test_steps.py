"""Steps: the diagonal network's SGD beside the loops that one would write oneself, with the same data, order, clip and precision."""

from __future__ import annotations

import numpy as np
import pytest

from stabviz.carry_out import carry_out
from stabviz.labs.training.sgd_stability.diagonal import DiagonalNet
from stabviz.plan import Plan
from stabviz.simulation import Simulation
from stabviz.system import Schedule

from .side_by_side import compare

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

STEPS, RATE, CLIP = 20_000, 0.02, 50.0
PLAN = Plan(DiagonalNet(learning_rate=RATE, clip=CLIP), schedule=Schedule(STEPS, 1), asked=None)


@pytest.fixture(scope="module")
def data():
    """x (300, 1000), y, a, b at the start, and the samples drawn."""
    simulation = Simulation(PLAN)
    simulation.prepare()
    problem, state = simulation.problem, simulation.first.state
    drawn = np.random.default_rng(0).integers(0, 300, STEPS)
    return tuple(np.array(v) for v in (problem["x"], problem["y"], state["a"], state["b"])) + (drawn,)


def numpy_loop(x, y, a, b, drawn):
    """Batch size 1, the gradient's norm clipped."""
    for i in drawn:
        g = (x[i] @ (a * b) - y[i]) * x[i]
        da, db = b * g, a * g
        norm = np.sqrt(da @ da + db @ db)
        rate = RATE * min(1.0, CLIP / max(norm, 1e-300))
        a, b = a - rate * da, b - rate * db
    return a, b


def plain_loop(x, y, a, b, drawn):
    """The same, number by number, for numba."""
    n = a.shape[0]
    a, b = a.copy(), b.copy()
    for i in drawn:
        r = -y[i]
        for j in range(n):
            r += x[i, j] * a[j] * b[j]
        square = 0.0
        for j in range(n):
            square += (r * x[i, j]) ** 2 * (a[j] ** 2 + b[j] ** 2)
        rate = RATE * min(1.0, CLIP / max(np.sqrt(square), 1e-300))
        for j in range(n):
            g = r * x[i, j]
            a[j], b[j] = a[j] - rate * b[j] * g, b[j] - rate * a[j] * g
    return a, b


def torch_loop(x, y, a, b, drawn):
    """The same with autograd and `torch.optim.SGD`, as a training loop is written."""
    torch = pytest.importorskip("torch")
    x, y = torch.tensor(x), torch.tensor(y)
    a, b = (torch.tensor(v, requires_grad=True) for v in (a, b))
    optimiser = torch.optim.SGD([a, b], lr=RATE)
    for i in drawn.tolist():
        optimiser.zero_grad()
        (0.5 * (x[i] @ (a * b) - y[i]) ** 2).backward()
        torch.nn.utils.clip_grad_norm_([a, b], CLIP)
        optimiser.step()
    return a.detach().numpy(), b.detach().numpy()


@pytest.mark.parametrize("other", ["NumPy", "numba", "PyTorch"])
def test_sgd_against_a_loop_of_ones_own(benchmark, data, other):
    """20,000 steps with batch size 1; two observations. Ours goes through the engine, and draws its samples itself."""
    loop = {"NumPy": numpy_loop, "numba": plain_loop, "PyTorch": torch_loop}[other]
    if other == "numba":
        loop = pytest.importorskip("numba").njit(fastmath=True)(plain_loop)
    if other == "PyTorch":
        pytest.importorskip("torch").set_num_threads(1)
    short = tuple(v[:200] if i == 4 else v for i, v in enumerate(data))
    for found, exact in zip(loop(*short), numpy_loop(*short), strict=True):
        # They do the same; but PyTorch adds 1e-6 to the norm that it clips by, 2e-8 of the clip, at each step.
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-9 if other != "PyTorch" else 200 * 1e-6 / CLIP)
    seeds = iter(range(10_000))
    fixed = {"problem": 0, "init": 0}

    def ours():
        carry_out(PLAN.replace(seeds=tuple({**fixed, "noise": next(seeds)}.items())))

    compare(benchmark, ours, lambda: loop(*data), rounds=3, what="SGD on a diagonal network, 2,000 weights, 20,000 steps", beside=other,
            limit="XLA starts each of the kernels of a step by itself")  # fmt: skip
