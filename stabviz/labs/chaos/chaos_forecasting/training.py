r"""The training of a network on the data of a race: a run of its own, whose weights the race then uses. See `Training`."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.system import Observable, Schedule, System, control, controls

from . import data, forecasters, networks
from .flows import Flow, flow
from .race import Race, _slider

Array = jax.Array

TRAINED_ON = ("n_train", "points_per_period", "noise", "n_starts", "standardize")
"""Controls of a race that its training shares: those that its data depend on."""
HELD_OUT = 256


class Training(System):
    r"""Adam on the one-step error of a network that forecasts a flow.

        L = mean over a batch of |(z_{i+1} - z_i) / s - g(window_i)|^2 / d,   s = std of the training increments
        learning rate: cosine from its first value to zero over the run

    Expected behaviour: the loss falls by three to five orders of magnitude in 3000 steps; the part on points after the training series,
    which the network has not seen, stays a little above.
    When it goes wrong: with noise the loss cannot fall below that of the increments' noise, and the network learns to smooth.
    Good values: a rate of 3e-3, batches of 256, 3000 steps.

    Source: Kingma and Ba, ICLR 2015; the networks: see `networks`. The data are those of the race of the same problem seed.
    Shapes: n points, d channels; batches (256, k, d). Loss has no unit: 1 is that of predicting no change at all, for centred increments.
    """

    network: str = control("mlp", choices=networks.KINDS, doc="what is trained")
    learning_rate: float = control(3e-3, bounds=(1e-4, 3e-2), scale="log", symbol=r"\eta", doc="Adam's rate at the start")
    batch_size: int = control(256, bounds=(16, 1024), scale="log", symbol="b", doc="windows in a step")
    steps: int = control(3000, bounds=(1, 50_000), scale="log", traced=True, doc="length of the cosine and of the run")

    flow_name: ClassVar[str] = ""
    precision: ClassVar[dict[str, int]] = {"problem": 64, "step": 64}
    observables: ClassVar[dict[str, Observable]] = {
        "loss": Observable("one-step loss on the training series", reduce="mean"),
        "held_out": Observable("one-step loss on points that follow it"),
        "rate_now": Observable("learning rate"),
        "system_name": Observable("the flow's name"),
        "network_name": Observable("network"),
    }

    @property
    def source(self) -> Flow:
        """The flow."""
        return flow(self.flow_name)

    def schedule(self) -> Schedule:
        return Schedule(int(self.steps), 120, "log")

    def problem(self, key: Array) -> dict[str, Any]:
        own: Any = self
        values = {name: getattr(self, name) for name in self.source.turned}
        made = data.made(
            self.source, values, key, n_train=own.n_train, n_starts=own.n_starts,
            points_per_period=own.points_per_period, noise=own.noise, standardize=own.standardize,
        )  # fmt: skip
        k = networks.LAGS[self.network]
        z, rest = made["train"], made["rest"][0]
        move, use = jnp.diff(z, axis=0), made["shown"][:-1]
        scale = jnp.maximum(jnp.sqrt(use @ (move - (use @ move / jnp.sum(use))[None]) ** 2 / jnp.sum(use)), data.LEAST)
        return {"windows": forecasters.windows(z[:-1], k), "next": z[k:], "scale": scale, "first": data.MOST - own.n_train,
                "held_windows": forecasters.windows(rest[:-1], k)[:HELD_OUT], "held_next": rest[k:][:HELD_OUT]}  # fmt: skip

    def optimiser(self) -> Any:
        """Adam without its rate, which `step` multiplies in: the number of steps is then no part of the program."""
        import optax

        return optax.scale_by_adam()

    def init(self, problem: dict[str, Any], key: Array) -> dict[str, Any]:
        weights = networks.start(self.network, key, self.source.dimension)
        weights = jax.tree.map(lambda w: w.astype(problem["scale"].dtype), weights)
        return {"weights": weights, "adam": self.optimiser().init(weights), "scale": problem["scale"], "k": jnp.int32(0)}

    def loss(self, weights: Any, scale: Array, window: Array, after: Array) -> Array:
        """Mean squared error of the predicted increments, in their standard deviations."""
        found = jax.vmap(lambda w: networks.predict(self.network, weights, scale, w))(window)
        return jnp.mean(((found - after) / scale[None]) ** 2)

    def rate(self, k: Array) -> Array:
        """The cosine."""
        return self.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(k / self.steps, 1.0)))

    def step(self, problem: dict[str, Any], state: dict[str, Any], key: Array, k: Array) -> tuple[dict[str, Any], dict[str, Array]]:
        rows = jax.random.randint(key, (self.batch_size,), problem["first"], problem["next"].shape[0])
        loss, slope = jax.value_and_grad(self.loss)(state["weights"], state["scale"], problem["windows"][rows], problem["next"][rows])
        move, adam = self.optimiser().update(slope, state["adam"])
        rate = self.rate(state["k"])
        weights = jax.tree.map(lambda w, m: w - rate * m, state["weights"], move)
        return state | {"weights": weights, "adam": adam, "k": state["k"] + 1}, {"loss": loss}

    def observe(self, problem: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        held = self.loss(state["weights"], state["scale"], problem["held_windows"], problem["held_next"])
        return {"held_out": held, "rate_now": self.rate(state["k"])}

    def given(self, problem: dict[str, Any]) -> dict[str, Any]:
        return {"system_name": np.array(self.flow_name), "network_name": np.array(networks.NAMES[self.network])}

    def phase(self, problem: dict[str, Any], state: dict[str, Any]) -> Any:
        """The weights."""
        return state["weights"]


@functools.cache
def trainer(name: str) -> type[Training]:
    """The training on one flow: with the controls of its race that the data depend on, and the flow's parameters."""
    shared = controls(Race)
    space: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    for control_name in TRAINED_ON:
        spec = shared[control_name]
        space[control_name] = control(
            spec.default, bounds=spec.bounds, scale=spec.scale, unit=spec.unit, symbol=spec.symbol, label=spec.label, doc=spec.doc,
            static=spec.static if spec.kind != "int" else None, traced=not spec.static, at=spec.at,
        )  # fmt: skip
        notes[control_name] = {"float": float, "int": int, "bool": bool}[spec.kind]
    for parameter, value in flow(name).turned.items():
        space[parameter], notes[parameter] = _slider(parameter, value), float
    doc = f"Training of a network that forecasts {name}.\n\n{Training.__doc__}"
    space |= {"__annotations__": notes, "__doc__": doc, "__module__": __name__, "__qualname__": f"{name}Training", "flow_name": name}
    meta: Any = type(Training)
    return meta(f"{name}Training", (Training,), space)
