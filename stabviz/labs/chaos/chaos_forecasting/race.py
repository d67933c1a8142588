r"""The race: a chaotic flow and forecasters of it, started together. See `Race`; `races` makes one System for each flow."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.system import ControlError, Observable, Schedule, Start, System, control, controls, kick

from . import data, forecasters, networks, scores, tables
from .flows import Flow, flow

Array = jax.Array

TWIN = 1e-8
"""Distance at which the twin of the truth starts, in standard deviations."""
FRAMES = 600
MOST_FEATURES = 2000
WINDOWED = ("analog", "AR", "NVAR")


class Race(System):
    r"""A chaotic flow and its forecasters, as one map. A step is one sample of the flow, 1/100 of its period.

        truth       x' = flow of dx/dt = F(x; parameters) over dt, by Runge-Kutta steps of fourth order
        forecaster  z' = f(its own last outputs); it saw the truth up to the start and never again
        error       NRMSE = (1/d sum_j (y_j - f_j)^2 / std_j^2)^(1/2)
        sMAPE       200 / (h d) sum_{i <= h, j} |y - f| / (|y| + |f| + 1e-10)
        valid       until NRMSE > 0.4 (sMAPE > 30), in Lyapunov times 1 / lambda_1

    Expected behaviour: everybody starts on the truth. Mean, persistence and the linear method leave at once; a cubic NVAR on a
    polynomial flow stays for more than ten Lyapunov times, a reservoir for half as long.
    When it goes wrong: a ridge that is too small makes the closed loop of an NVAR with fine sampling explode; a flow that is not
    polynomial defeats it; noise takes the long horizons away.
    Good values: 1000 points, 100 a period, NVAR(2, 3) with ridge 1e-8, a reservoir of 300 units with radius 0.5 and input scaling 0.1.

    Source: W. Gilpin, Phys. Rev. Research 5 (2023) 043252; systems and protocol of its package dysts.
    Shapes: B starts, d channels, M methods; truth (B, d), forecast (M, B, d), errors (M, B). The trained models are part of the state:
    turning a parameter of the flow changes the truth and leaves them as trained.
    """

    n_train: int = control(
        1000, bounds=(50, data.MOST), scale="log", traced=True, at="start", unit="points", label="training points",
        doc="length of the training series",
    )  # fmt: skip
    points_per_period: int = control(
        100, bounds=(15, 200), scale="log", label="points a period", doc="samples in a period of the flow; 15 is coarse"
    )
    horizon: float = control(
        15.0, bounds=(1.0, 40.0), at="start", unit="Lyapunov times", doc="length of the forecast; in periods where there is no chaos"
    )
    noise: float = control(
        0.0, bounds=(0.0, 0.3), at="start", unit="std", doc="observation noise on what the forecasters are shown, not on the truth"
    )
    n_starts: int = control(20, bounds=(1, 100), scale="log", symbol="B", label="starts", doc="points from which all start")
    nvar_delays: int = control(2, bounds=(1, 4), symbol="k", label="NVAR delays", doc="points that NVAR sees")
    nvar_order: int = control(3, bounds=(1, 3), label="NVAR order", doc="highest degree of its monomials; 1 is linear")
    ridge: float = control(
        1e-8, bounds=(1e-10, 1.0), scale="log", symbol=r"\alpha", at="start", doc="weight of the squared coefficients in every fit"
    )
    reservoir_size: int = control(300, bounds=(50, 1000), scale="log", symbol="N", doc="units of the echo state network")
    spectral_radius: float = control(0.5, bounds=(0.1, 1.5), at="start", doc="largest modulus of the reservoir's eigenvalues")
    input_scaling: float = control(0.1, bounds=(0.01, 2.0), scale="log", at="start", doc="size of the reservoir's input weights")
    reservoir_ridge: float = control(
        0.0, bounds=(1e-10, 1.0), scale="log", also={0.0: "same"}, at="start", label="reservoir's ridge",
        doc="of its output weights, if other than ridge",
    )  # fmt: skip
    standardize: bool = control(
        True, traced=True, at="start", label="standardise", doc="show the forecasters standardised channels rather than raw ones"
    )
    networks: str = control("off", choices=("off", *networks.KINDS), label="network", doc="a network trained before the race starts")
    training_steps: int = control(3000, bounds=(10, 50_000), scale="log", doc="steps of Adam for the network, if there is one")

    flow_name: ClassVar[str] = ""
    precision: ClassVar[dict[str, int]] = {"problem": 64, "step": 64}

    observables: ClassVar[dict[str, Observable]] = {
        "lyapunov_time": Observable("time since the start", "Lyapunov times", role="time", symbol=r"\lambda_1 t"),
        "truth": Observable("the flow", dims=("start", "channel")),
        "forecast": Observable("forecast", dims=("method", "start", "channel")),
        "nrmse": Observable("normalised error", dims=("method", "start"), doc="at this step"),
        "smape": Observable("symmetric percentage error up to here", "%", ("method", "start"), doc="0 to 200, over all steps so far"),
        "vpt_nrmse": Observable(
            "valid prediction time by NRMSE", "Lyapunov times", ("method", "start"), doc="as long as it still holds: the present time"
        ),
        "vpt_smape": Observable("valid prediction time by sMAPE", "Lyapunov times", ("method", "start"), doc="as for NRMSE"),
        "separation": Observable("logarithm of the distance of a twin of the truth", dims=("start",), symbol=r"\ln \delta"),
        "method": Observable("forecaster"),
        "channel": Observable("channel"),
        "system_name": Observable("the flow's name"),
        "lambda1": Observable("largest Lyapunov exponent", "1/time", symbol=r"\lambda_1", doc="at the default parameters"),
        "rate": Observable("what time is multiplied with", "1/time", doc="lambda1, or 1 over the period where there is no chaos"),
        "chaotic": Observable("whether the flow is chaotic", doc="at the default parameters"),
        "period": Observable("dominant period", "time"),
        "sample_time": Observable("time of a step", "time"),
        "features": Observable("features of NVAR"),
        "trained_on": Observable("training points", "points"),
    } | tables.OBSERVABLES

    @property
    def source(self) -> Flow:
        """The flow."""
        return flow(self.flow_name)

    @property
    def values(self) -> dict[str, Any]:
        """The flow's parameters as turned."""
        return {name: getattr(self, name) for name in self.source.turned}

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the forecasters."""
        return forecasters.METHODS + ((networks.NAMES[self.networks],) if self.networks != "off" else ())

    @property
    def dt(self) -> float:
        """Time of a step."""
        return self.source.period / self.points_per_period

    @property
    def rate(self) -> float:
        """What turns time into Lyapunov times."""
        return tables.unit(self.flow_name)

    @property
    def needs(self) -> dict[str, Start]:
        """The network's training, a run of its own."""
        if self.networks == "off":
            return {}
        from .training import TRAINED_ON, trainer

        own = {name: spec.value(getattr(self, name)) for name, spec in controls(self).items()}
        return {"trained": Start(
            trainer(self.flow_name), steps=self.training_steps, frames=60, spacing="linear", network=self.networks,
            **{name: own[name] for name in (*TRAINED_ON, *self.source.turned)},
        )}  # fmt: skip

    def check(self) -> None:
        if not self.flow_name:
            return
        n = math.comb(self.nvar_delays * self.source.dimension + self.nvar_order, self.nvar_order)
        if n > MOST_FEATURES:
            delays, order = self.nvar_delays, self.nvar_order
            raise ControlError("nvar_order", f"nvar_order cannot be {order}: with {delays} delays NVAR would have {n} features.")

    def schedule(self) -> Schedule:
        return Schedule(max(1, math.ceil(float(self.horizon) / (self.rate * self.dt) - 1e-9)), FRAMES)

    def problem(self, key: Array, trained: Any = None) -> dict[str, Any]:
        """The data, and every forecaster fitted to it."""
        made = data.made(
            self.source, self.values, key, n_train=self.n_train, n_starts=self.n_starts, points_per_period=self.points_per_period,
            noise=self.noise, standardize=self.standardize,
        )  # fmt: skip
        z, shown, d = made["train"], made["shown"], self.source.dimension
        alpha, n = jnp.asarray(self.ridge, z.dtype), jnp.asarray(self.n_train)
        own = forecasters.draws(self.reservoir_size, d)
        random = jax.random.uniform(jax.random.fold_in(key, 1), (own + self.n_starts * d,), z.dtype, -1.0, 1.0)
        res = forecasters.reservoir(random[:own], self.reservoir_size, d, self.spectral_radius, self.input_scaling)
        r, states = forecasters.drive(res, jnp.zeros(self.reservoir_size, z.dtype), z, shown)

        def context(r: Array, z: Array) -> tuple[Array, Array]:
            return forecasters.drive(res, r, z, jnp.ones_like(z[:, 0]))[0], r

        _, rs = jax.lax.scan(context, r, made["rest"])
        models: dict[str, Any] = {
            "analog": z, "shown": shown,
            "AR": forecasters.fit_polynomial(z, n, forecasters.LAGS, 1, alpha),
            "NVAR": forecasters.fit_polynomial(z, n, self.nvar_delays, self.nvar_order, alpha),
            "ESN": forecasters.fit_reservoir(states, z, n, jnp.where(self.reservoir_ridge > 0, self.reservoir_ridge, alpha)),
            "center": made["center"], "scale": made["scale"], "std": made["std"],
        }  # fmt: skip
        if trained is not None:
            models["network"] = {"weights": trained["weights"], "scale": trained["scale"]}
        direction = random[own:].reshape(made["x"].shape)
        direction = direction / jnp.sqrt(jnp.mean(direction**2, -1, keepdims=True))
        before = jnp.concatenate([z[None, -forecasters.LAGS :], made["rest"][:-1, -forecasters.LAGS :]])
        return {"reservoir": res, "models": models, "x": made["x"], "t": made["t"], "r": rs, "window": before[:, ::-1],
                "twin": made["x"] + TWIN * made["size"][None] * direction, "size": made["size"]}  # fmt: skip

    def init(self, problem: dict[str, Any], key: Array) -> dict[str, Any]:
        window = problem["window"]
        last = window[:, 0]
        m = self.methods
        state = {
            "truth": problem["x"], "twin": problem["twin"], "t": problem["t"], "k": jnp.int32(0),
            "windows": jnp.broadcast_to(window[:, None], (window.shape[0], len(m) - 3, *window.shape[1:])),
            "reservoir": problem["r"], "models": problem["models"],
            "forecast": jnp.stack([jnp.zeros_like(last) if name == "mean" else last for name in m]),
            "smape": jnp.zeros((len(m), window.shape[0]), last.dtype),
        }  # fmt: skip
        first = scores.nrmse(self.seen(problem["x"])[None], self.raw(state), state["models"]["std"][None, None]) > scores.VALID_NRMSE
        never = jnp.full(state["smape"].shape, -1, jnp.int32)
        return state | {"left_nrmse": jnp.where(first, 0, never), "left_smape": never}

    def seen(self, x: Array) -> Array:
        """Channels of points of the flow. Shape (..., d)."""
        values = self.values
        return jax.vmap(lambda x: self.source.channels(x, values))(x)

    def raw(self, state: dict[str, Any]) -> Array:
        """Forecasts in the flow's own units. Shape (M, B, d)."""
        models = state["models"]
        return models["center"][None, None] + models["scale"][None, None] * state["forecast"]

    def predictions(self, state: dict[str, Any], problem: dict[str, Any]) -> tuple[Array, Array]:
        """The next point of each forecaster, and the reservoirs that have seen theirs. Shapes (M, B, d), (B, N)."""
        models, w, old = state["models"], state["windows"], state["forecast"]
        made = [
            old[0],
            old[1],
            forecasters.analog(models["analog"], models["shown"], w[:, 0]),
            forecasters.polynomial(models["AR"], w[:, 1], 1),
            forecasters.polynomial(models["NVAR"], w[:, 2, : self.nvar_delays], self.nvar_order),
            forecasters.readout(state["reservoir"]) @ models["ESN"],
        ]
        if self.networks != "off":
            net = models["network"]
            made.append(jax.vmap(lambda w: networks.predict(self.networks, net["weights"], net["scale"], w))(w[:, 3]))
        new = forecasters.held(jnp.stack(made))
        r = jax.vmap(lambda r, z: forecasters.excite(problem["reservoir"], r, z))(state["reservoir"], new[5])
        return new, r

    def step(self, problem: dict[str, Any], state: dict[str, Any], key: Array, k: Array) -> dict[str, Any]:
        dt, m, values = self.dt, data.substeps(self.source, self.points_per_period), self.values
        both = jnp.concatenate([state["truth"], state["twin"]])
        t = jnp.concatenate([state["t"], state["t"]])
        both = jax.vmap(lambda x, t: self.source.advance(x, t, dt / m, m, values))(both, t)
        truth, twin = jnp.split(both, 2)
        new, r = self.predictions(state, problem)
        after = jnp.moveaxis(jnp.delete(new, 5, axis=0, assume_unique_indices=True)[2:], 0, 1)
        windows = jnp.concatenate([after[:, :, None], state["windows"][:, :, :-1]], 2)
        state = state | {"truth": truth, "twin": twin, "t": state["t"] + dt, "k": state["k"] + 1,
                         "windows": windows, "reservoir": r, "forecast": new}  # fmt: skip
        y, f = self.seen(truth)[None], self.raw(state)
        total = state["smape"] + scores.smape_term(y, f)
        now = state["k"]
        error = scores.nrmse(y, f, state["models"]["std"][None, None])
        out = {"nrmse": error > scores.VALID_NRMSE, "smape": total > scores.VALID_SMAPE * now}
        left = {f"left_{name}": jnp.where((state[f"left_{name}"] < 0) & out[name], now, state[f"left_{name}"]) for name in out}
        return state | {"smape": total} | left

    def observe(self, problem: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        y, f, std, k = self.seen(state["truth"]), self.raw(state), state["models"]["std"], state["k"]
        unit = self.dt * self.rate
        valid = lambda left: jnp.where(left < 0, k, left) * unit  # noqa: E731
        apart = (self.seen(state["twin"]) - y) / std[None]
        return {
            "lyapunov_time": k * unit, "truth": y, "forecast": f, "nrmse": scores.nrmse(y[None], f, std[None, None]),
            "smape": state["smape"] / jnp.maximum(k, 1),
            "vpt_nrmse": valid(state["left_nrmse"]), "vpt_smape": valid(state["left_smape"]),
            "separation": jnp.log(jnp.sqrt(jnp.mean(apart**2, -1))),
        }  # fmt: skip

    def given(self, problem: dict[str, Any]) -> dict[str, Any]:
        row, d, name = tables.rows()[self.flow_name], self.source.dimension, self.flow_name
        n = self.nvar_delays * d
        return {
            "method": np.array(self.methods), "channel": np.array([f"x{j}" for j in range(1, d + 1)]), "system_name": np.array(name),
            "lambda1": np.float64(row["lambda1"]), "rate": np.float64(self.rate), "chaotic": np.bool_(tables.is_chaotic(name)),
            "period": np.float64(self.source.period), "sample_time": np.float64(self.dt),
            "trained_on": jnp.asarray(self.n_train), "features": np.int64(math.comb(n + self.nvar_order, self.nvar_order)),
        } | tables.given()

    def phase(self, problem: dict[str, Any], state: dict[str, Any]) -> dict[str, Array]:
        """The truth, and what the forecasters remember; not their weights."""
        return {name: state[name] for name in ("truth", "windows", "reservoir")}

    @kick(size=control(1e-3, bounds=(1e-12, 10.0), scale="log", unit="std", doc="standard deviation of the push on each remembered value"))
    def nudge(self, problem: dict[str, Any], state: dict[str, Any], key: Array, size: Any) -> dict[str, Any]:
        """Nudge the forecasters.

        What they remember is pushed; the truth does not notice.
        """
        a, b = jax.random.split(key)
        windows, r = state["windows"], state["reservoir"]
        return state | {
            "windows": windows + size * jax.random.normal(a, windows.shape, windows.dtype),
            "reservoir": r + size * jax.random.normal(b, r.shape, r.dtype),
        }

    @kick(size=control(1e-3, bounds=(1e-12, 1e3), scale="log", unit="std", doc="standard deviation of the push on each coordinate"))
    def kick(self, problem: dict[str, Any], state: dict[str, Any], key: Array, size: Any) -> dict[str, Any]:
        """Push the truth.

        Of every start, in standard deviations; the forecasters do not notice.
        """
        push = jax.random.normal(key, state["truth"].shape, state["truth"].dtype)
        return state | {"truth": state["truth"] + size * problem["size"][None] * push}


def _slider(name: str, value: float) -> Any:
    low, high = sorted((0.5 * value, 1.5 * value))
    return control(value, bounds=(low, high), doc=f"parameter {name} of the flow; the models are not trained anew in a running run")


def race(name: str) -> type[Race]:
    """The race on one flow: `Race` with a control for each scalar parameter, from half to one and a half times its default."""
    made = flow(name)
    space: dict[str, Any] = {parameter: _slider(parameter, value) for parameter, value in made.turned.items()}
    notes: dict[str, Any] = dict.fromkeys(made.turned, float)
    if math.comb(2 * made.dimension + 3, 3) > MOST_FEATURES // 2:
        space["nvar_order"], notes["nvar_order"] = control(2, bounds=(1, 3), label="NVAR order", doc="highest degree of its monomials"), int
    doc = f"{name}, {made.dimension} coordinates, and forecasters of it. {made.doc}\n\n{made.citation}\n\n{Race.__doc__}"
    space |= {"__annotations__": notes, "__doc__": doc, "__module__": __name__, "__qualname__": f"{name}Race", "flow_name": name}
    meta: Any = type(Race)
    return meta(f"{name}Race", (Race,), space)
