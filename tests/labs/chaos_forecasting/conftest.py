"""Runs that several files look at, carried out once."""

from __future__ import annotations

import pytest

SMALL = {"n_starts": 4, "reservoir_size": 100, "n_train": 400}
STEPS = 160


@pytest.fixture(scope="session")
def small():
    """Controls of a small race."""
    return SMALL


@pytest.fixture(scope="session")
def race():
    """A small race on Lorenz with every step recorded: (Dataset, simulation at its end)."""
    pytest.importorskip("dysts")
    import stabviz as sv
    from stabviz.carry_out import carry_out

    return carry_out(sv.lab("chaos_forecasting").plan(steps=STEPS, frames=STEPS, **SMALL))


@pytest.fixture(scope="session")
def touched():
    """The same race, with a parameter of the flow turned after 40 steps: (Dataset, simulation at its end)."""
    pytest.importorskip("dysts")
    import stabviz as sv
    from stabviz.carry_out import carry_out
    from stabviz.plan import Intervention

    turned = Intervention(40, "set", {"rho": 35.0})
    return carry_out(sv.lab("chaos_forecasting").plan(steps=STEPS, frames=STEPS, interventions=[turned], **SMALL))
