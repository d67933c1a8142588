r"""A million stars and a push: the vertical dynamics of a galactic disc. See `PhaseSpiral`."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from stabviz.system import Observable, Schedule, System, control, kick, observes

from . import measure, prediction, tables
from .potentials import KM, DiscHalo, G, Harmonic, Slab
from .seen import CELLS, COLOUR, CONSTANTS, FRAME, GAIA_RADII, J_EDGES, READINGS, TIMES

Array = jax.Array
Problem = dict[str, Any]
State = dict[str, Array]

R2 = (0.7548776662466927, 0.5698402909980532)
"""The two steps of the R2 sequence: powers of the inverse of the plastic number."""
TOUCHES = 4
"""Pushes that the exact picture remembers."""
WATCHED = 16_384
"""Stars whose actions are followed."""
OWN = 9
"""Radii at which tables are made for a spread of guiding radii."""


class PhaseSpiral(System):
    r"""Test particles that oscillate through the mid-plane of a disc, after a push.

        dz/dt = v,   dv/dt = -dPhi/dz + A(z, t),   f_0 ~ exp(-E / sigma^2)

        kick:       v -> v + dv - beta z at t = 0
        pulse:      A = (dv - beta z) exp(-t^2 / 2 tau^2) / (sqrt(2 pi) tau)
        satellite:  A = G M (Z - z) / (X^2 + (Z - z)^2 + eps^2)^(3/2),   X = b + v_P sin(theta_P) t,   Z = v_P cos(theta_P) t
        clouds:     v -> exp(-gamma dt) v + sqrt(D_v dt) xi after each step,   gamma = D_v / 2 sigma^2

    Kick, drift, kick with a fixed time step. Time 0 is the middle of the push. Self-gravity is left out, as in the papers.

    Expected behaviour: a bending push (dv) winds into one arm, a breathing one (beta) into two; the slope of the straightened
    spiral is the time since. A pulse longer than the period leaves nothing. Clouds erase it like exp(-(t/tau_D)^3).
    When it goes wrong: in the harmonic potential nothing winds; a spread of guiding radii blurs the clock; dt above 3 Myr shifts phases.
    Good values: slab with sigma = 23, h = 0.4; disc + halo at R = 8 with sigma = 20 and dt = 0.001.

    Source: Banik, Weinberg, van den Bosch 2022 (arXiv 2208.05038) and Banik, van den Bosch, Weinberg 2023 (arXiv 2303.00034).
    Shapes: state z (kpc), v (km/s), acceleration a (km/s/Gyr), all (n_particles,).
    """

    potential: str = control(
        "slab", choices=("slab", "disc+halo", "harmonic"),
        doc="isothermal slab (paper I), discs with bulge and halo at one radius (paper II), or the control in which nothing winds",
    )  # fmt: skip
    sigma: float = control(
        23.0, bounds=(10.0, 40.0), unit="km/s", symbol=r"\sigma", at="once", label="velocity dispersion",
        doc="vertical velocity dispersion; of the slab, it sets the potential too",
    )  # fmt: skip
    h: float = control(0.4, bounds=(0.15, 1.0), unit="kpc", symbol="h", at="once", label="slab height", doc="scale height of the slab")
    R: float = control(8.0, bounds=(5.0, 12.0), unit="kpc", symbol="R", at="once", label="radius", doc="galactic radius (disc + halo)")
    halo: float = control(
        1.0, bounds=(0.0, 2.0), symbol="f_h", at="once", label="halo", doc="mass of the halo, in its own units; 0 takes it away"
    )
    omega0: float = control(
        80.0, bounds=(20.0, 150.0), unit="rad/Gyr", symbol=r"\Omega_0", at="once", label="harmonic frequency",
        doc="frequency of the harmonic control",
    )  # fmt: skip
    perturbation: str = control(
        "kick", choices=("kick", "pulse", "satellite"), doc="all at once, a Gaussian pulse in time, or a satellite on a straight line"
    )
    dv: float = control(
        5.0, bounds=(0.0, 25.0), unit="km/s", symbol=r"\Delta v", label="bending push", doc="impulse of the same sign for all"
    )
    beta: float = control(
        0.0, bounds=(0.0, 40.0), unit="km/s/kpc", symbol=r"\beta", label="breathing push", doc="impulse −βz, towards the plane"
    )
    tau_P: float = control(
        0.01, bounds=(0.001, 0.1), scale="log", unit="Gyr", symbol=r"\tau_P", at="start", label="duration", doc="duration of the pulse"
    )
    held: str = control(
        "impulse", choices=("impulse", "peak force"), traced=True, at="start",
        doc="what stays the same when the duration is turned: the impulse, or the greatest force",
    )  # fmt: skip
    tau_ref: float = control(
        0.01, bounds=(0.001, 0.1), scale="log", unit="Gyr", symbol=r"\tau_{ref}", at="start", label="reference duration",
        doc="duration at which pulses of equal peak force have the impulse Δv",
    )  # fmt: skip
    M_sat: float = control(
        1e10, bounds=(1e7, 1e11), scale="log", unit="Msun", symbol="M_P", label="satellite mass", doc="mass of the satellite"
    )
    b: float = control(20.0, bounds=(3.0, 150.0), unit="kpc", symbol="b", label="distance", doc="closest distance of the satellite's path")
    v_sat: float = control(
        486.0, bounds=(100.0, 800.0), unit="km/s", symbol="v_P", label="satellite speed", doc="speed of the satellite, relative to the disc"
    )
    theta_P: float = control(
        27.0, bounds=(0.0, 90.0), unit="deg", symbol=r"\theta_P", label="satellite angle", doc="angle of its path from the normal"
    )
    eps: float = control(
        1.0, bounds=(0.01, 5.0), scale="log", unit="kpc", symbol=r"\epsilon", label="satellite size", doc="its softening length"
    )
    D_v: float = control(
        0.0, bounds=(0.0, 1000.0), unit="km2/s2/Gyr", symbol="D_v", label="clouds",
        doc="scattering by molecular clouds; 106 heats the slab to its dispersion in 10 Gyr",
    )  # fmt: skip
    friction: bool = control(
        True, traced=True, doc="friction that balances the clouds, so that the disc stays as hot as it is; without, it heats"
    )
    sigma_Rg: float = control(
        0.0, bounds=(0.0, 1.0), unit="kpc", symbol=r"\sigma_{Rg}", static=True, label="spread of guiding radii",
        doc="standard deviation of the guiding radii, cut at 2.5 of it (disc + halo)",
    )  # fmt: skip
    n_particles: int = control(200_000, bounds=(10_000, 1_000_000), scale="log", symbol="N", label="stars", doc="number of test particles")
    sampling: str = control(
        "quiet", choices=("quiet", "random"), doc="quiet: a low-discrepancy sequence, whose noise is a tenth; random: independent stars"
    )
    t_end: float = control(0.8, bounds=(0.1, 2.0), unit="Gyr", symbol="t", at="start", label="length", doc="time since the push at the end")
    dt: float = control(
        0.0015, bounds=(1e-4, 5e-3), scale="log", unit="Gyr", symbol=r"\delta t", at="start", label="time step", doc="step of the leapfrog"
    )

    precision: ClassVar[dict[str, int]] = {"problem": 64, "step": 32}
    shards: ClassVar[str] = "n_particles"

    @property
    def observables(self) -> dict[str, Observable]:
        """Those of every choice; the colour of the Gaia picture needs a spread of guiding radii."""
        return FRAME | READINGS | CONSTANTS | (COLOUR if self.spread else {})

    @property
    def spread(self) -> bool:
        """Whether stars have guiding radii of their own: only the disc + halo has a radius."""
        return self.sigma_Rg > 0 and self.potential == "disc+halo"

    def schedule(self) -> Schedule:
        return Schedule(max(round((float(self.t_end) - float(self.start())) / float(self.dt)), 1), 160)

    def start(self) -> Any:
        """Time at which the run begins: 5 durations before the middle of a pulse, 0.5 Gyr before a satellite passes."""
        return {"kick": 0.0, "pulse": -5 * self.tau_P, "satellite": -0.5}[self.perturbation]

    def field(self, R: Any = None, halo: Any = None) -> Any:
        """The vertical potential, at another radius or with another halo if one is given."""
        if self.potential == "slab":
            return Slab(self.sigma, self.h)
        if self.potential == "harmonic":
            return Harmonic(self.omega0)
        return DiscHalo(self.R if R is None else R, self.halo if halo is None else halo)

    # -- what a run is given ------------------------------------------------------------------------------------------

    def problem(self, key: Array, **needed: Any) -> Problem:
        """Tables of the potential, equilibrium, quiet start, theory. Float64; what `begin` returns of it stays when controls turn."""
        field, w_max = self.field(), 6 * self.sigma + 25.0
        lookup, known = tables.make(field, w_max)
        times = jnp.linspace(0.0, 1.25, TIMES) * self.t_end
        read = measure.reader(lookup, known, times)
        balance = prediction.equilibrium(field, self.sigma)
        z_end, v_end = self.extent()
        expected = self.n_particles * prediction.in_cells(balance, self.sigma, z_end, v_end, CELLS)
        theory = prediction.response(self, known)
        made: Problem = {
            "read": read, "theory": theory, "start": jnp.asarray(self.start()) * 1.0, "T0": times,
            "z_end": z_end, "v_end": v_end, "expected": expected,
            "grid": prediction.grid(read, z_end, v_end), "sigma0": self.sigma * 1.0, "balance": balance,
        }  # fmt: skip
        if self.sampling == "quiet":
            u1, u2 = (jnp.mod(0.5 + jnp.arange(self.n_particles) * step, 1.0) for step in R2)
            made["z"], made["v"] = prediction.placed(balance, u1), self.sigma * ndtri(jnp.clip(u2, 1e-9, 1 - 1e-9))
        bare = None
        if self.potential == "disc+halo":
            other, bare = tables.make(self.field(halo=0.0), w_max)
            made["no_halo"] = measure.reader(other, bare, times)
        made["constants"] = prediction.constants(self, read, known, theory, balance, bare)
        if self.spread:
            normal = jax.random.truncated_normal(key, -2.5, 2.5, (self.n_particles,))
            made["Rg"] = self.R + self.sigma_Rg * normal
            made["vphi"] = DiscHalo(made["Rg"], self.halo).circular_speed() * made["Rg"] / self.R
            radii = self.R + self.sigma_Rg * jnp.linspace(-2.5, 2.5, OWN)
            made["own"] = jax.vmap(lambda radius: tables.make(DiscHalo(radius, self.halo), w_max)[0])(radii)
        return made

    def extent(self) -> tuple[Any, Any]:
        """Half the height (kpc) and half the width (km/s) of the picture: 1.5, 80 for the default slab, 1.2, 60 for the disc at R = 8."""
        if self.potential == "slab":
            return 3.75 * self.h, 80 * self.sigma / 23
        if self.potential == "harmonic":
            return 4 * self.sigma * KM / self.omega0, 80 * self.sigma / 23
        return 1.2 * (self.R / 8) * (self.sigma / 20), 3 * self.sigma

    def begin(self, problem: Problem, state: State) -> Problem:
        """What belongs to the start and stays when the potential is turned: equilibrium, picture, theory, first actions, time 0."""
        kept = ("start", "T0", "z_end", "v_end", "expected", "sigma0", "balance", "theory", "constants", "z", "v")
        w = tables.speed(problem["read"], state["z"][:WATCHED], state["v"][:WATCHED])
        return {name: problem[name] for name in kept if name in problem} | {"J0": tables.actions(problem["read"], w)}

    def init(self, problem: Problem, key: Array) -> State:
        if self.sampling == "quiet":
            z, v = problem["z"], problem["v"]
        else:
            for_z, for_v = jax.random.split(key)
            z = prediction.placed(problem["balance"], jax.random.uniform(for_z, (self.n_particles,), minval=1e-7))
            v = self.sigma * jax.random.normal(for_v, (self.n_particles,))
        touches = jnp.zeros((TOUCHES, 3))
        count = jnp.int32(0)
        if self.perturbation == "kick":
            v = v + self.dv - self.beta * z
            touches, count = touches.at[0].set(jnp.stack([jnp.zeros(()), self.dv * jnp.ones(()), self.beta * jnp.ones(())])), count + 1
        k = jnp.int32(0)
        return {"z": z, "v": v, "a": self.acceleration(problem, z, k), "k": k, "touches": touches, "count": count}

    # -- dynamics -----------------------------------------------------------------------------------------------------

    def time(self, problem: Problem, k: Array) -> Array:
        """Time of step k. Gyr. A product and no sum, which would drift in float32."""
        return problem["start"] + k.astype(problem["start"].dtype) * self.dt

    def acceleration(self, problem: Problem, z: Array, k: Array) -> Array:
        """Potential and push at step k. km/s per Gyr."""
        return KM * self.field(R=problem.get("Rg")).acceleration(z) + self.push(self.time(problem, k), z)

    def push(self, t: Array, z: Array) -> Array | float:
        """A(z, t) of the pulse or the satellite. km/s per Gyr."""
        if self.perturbation == "pulse":
            shape = jnp.exp(-((t / self.tau_P) ** 2) / 2) / (np.sqrt(2 * np.pi) * self.tau_P)
            return self.strength() * shape * (self.dv - self.beta * z)
        if self.perturbation == "satellite":
            tilt = jnp.deg2rad(self.theta_P)
            x, above = self.b + KM * self.v_sat * jnp.sin(tilt) * t, KM * self.v_sat * jnp.cos(tilt) * t
            square = x * x + (above - z) ** 2 + self.eps**2
            return KM * G * self.M_sat * (above - z) / (square * jnp.sqrt(square))
        return 0.0

    def strength(self) -> Any:
        """Impulse of a pulse in units of (dv, beta): 1, or with the peak force held tau_P sqrt(2 pi) / tau_ref."""
        return jnp.where(self.held == 1, np.sqrt(2 * np.pi) * self.tau_P / self.tau_ref, 1.0)

    def step(self, problem: Problem, state: State, key: Array, k: Array) -> State:
        half = 0.5 * self.dt
        v = state["v"] + half * state["a"]
        z = state["z"] + self.dt * KM * v
        now = state["k"] + 1
        a = self.acceleration(problem, z, now)
        v = self.scattered(problem, v + half * a, key)
        return state | {"z": z, "v": v, "a": a, "k": now}

    def scattered(self, problem: Problem, v: Array, key: Array) -> Array:
        """A step of the clouds. xi = +1 or -1: one bit a star, a thirtieth of the price of normal numbers, and after ten steps the same."""

        def clouds(v: Array) -> Array:
            words = jax.random.bits(key, (-(-self.n_particles // 32),), jnp.uint32)
            bits = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)[None, :]) & 1
            xi = 2.0 * bits.reshape(-1)[: self.n_particles].astype(v.dtype) - 1
            gamma = jnp.where(self.friction, self.D_v / (2 * problem["sigma0"] ** 2), 0.0)
            return jnp.exp(-gamma * self.dt) * v + jnp.sqrt(self.D_v * self.dt) * xi

        return jax.lax.cond(self.D_v > 0, clouds, lambda v: v, v)

    @kick(
        dv=control(5.0, bounds=(-25.0, 25.0), unit="km/s", symbol=r"\Delta v", doc="bending impulse, the same for all"),
        beta=control(0.0, bounds=(-40.0, 40.0), unit="km/s/kpc", symbol=r"\beta", doc="breathing impulse −βz"),
    )
    def passage(self, problem: Problem, state: State, key: Array, dv: Any, beta: Any) -> State:
        """Push again.

        All at once, v -> v + dv - beta z, as if another satellite had come.
        """
        slot = jnp.minimum(state["count"], TOUCHES - 1)
        row = jnp.stack([self.time(problem, state["k"]), dv * jnp.ones(()), beta * jnp.ones(())]).astype(state["touches"].dtype)
        touches = state["touches"].at[slot].set(row)
        return state | {"v": state["v"] + dv - beta * state["z"], "touches": touches, "count": slot + 1}

    def phase(self, problem: Problem, state: State) -> State:
        """Heights as velocities (z Omega_0) and velocities, both in km/s, so that a distance has one unit."""
        return {"z": state["z"] * (problem["read"]["Omega"][0] / KM), "v": state["v"]}

    # -- what is seen -------------------------------------------------------------------------------------------------

    def observe(self, problem: Problem, state: State) -> dict[str, Array]:
        z, v, read = state["z"], state["v"], problem["read"] | {"T": problem["T0"]}
        t = self.time(problem, state["k"])
        where = measure.cells(z, v, problem["z_end"], problem["v_end"])
        density = measure.density(where)
        enough = problem["expected"] >= 5
        h = measure.histogram(read, z, v)
        clock = measure.timed(read, h)
        known = measure.amplitudes(read, h, t, clock["t_recovered"])
        folded, folded2 = known.pop("folded"), known.pop("folded2")
        omega = problem["constants"]["Omega_bin"]
        w = tables.speed(read, z[:WATCHED], v[:WATCHED])
        j = tables.actions(read, w)
        first = problem.get("J0", j)
        moved = jnp.where(first > 0.1, jnp.log(j / first), 0.0)  # stars at rest have no ln J
        two = clock["arms"] == 2
        angle = jnp.where(two, folded2 / 2, folded) + omega * jnp.where(two, t, clock["t_recovered"])
        crest_z, crest_v = tables.back(read, problem["constants"]["w_bin"], angle)
        ridge_z, ridge_v = prediction.ridge(read, problem["theory"], t)
        theory = prediction.picture(self, problem, state, t)
        seen = {
            "time": t, "density": density, "contrast": jnp.where(enough, density / problem["expected"] - 1, jnp.nan),
            "theory": jnp.where(enough, theory, jnp.nan), "phase1": folded + omega * clock["t_recovered"],
            "mean_z": jnp.mean(z), "mean_v": jnp.mean(v), "dJ": jnp.sqrt(jnp.mean(moved**2)), "straight": measure.straightened(read, h),
            "ridge_z": ridge_z, "ridge_v": ridge_v, "crest_z": crest_z, "crest_v": crest_v,
            "crest_theta": angle,
        } | clock | known  # fmt: skip
        if self.spread:
            total = measure.density(where, problem["vphi"])
            seen["vphi"] = jnp.where(enough & (density > 0), total / jnp.maximum(density, 1.0), jnp.nan)
        return seen

    @observes(every=10)
    def other_readings(self, problem: Problem, state: State) -> dict[str, Array]:
        """The time as it is read by someone with another potential: without the halo, or with each star's own."""
        nothing = jnp.full((), jnp.nan, state["z"].dtype)
        made = {"t_no_halo": nothing, "t_own": nothing, "peak_own": nothing}
        if self.potential == "disc+halo":
            h = measure.histogram(problem["no_halo"], state["z"], state["v"])
            made["t_no_halo"] = measure.timed(problem["no_halo"], h)["t_recovered"]
        if self.spread:
            made["peak_own"], made["t_own"] = measure.own_clock(problem, state["z"], state["v"], self.R, self.sigma_Rg)
        return made

    def given(self, problem: Problem) -> dict[str, Any]:
        middle = (jnp.arange(CELLS) + 0.5) * (2 / CELLS) - 1
        edges = np.asarray(J_EDGES)
        rows = measure.SHOWN_ROWS
        low, high = problem["read"]["Omega_edges"]
        constants = {name: x for name, x in problem["constants"].items() if name != "w_bin"}
        return constants | {
            "zbin": middle * problem["z_end"], "vbin": middle * problem["v_end"], "Jbin": (edges[1:] + edges[:-1]) / 2,
            "T": problem["read"]["T"],
            "thetabin": (np.arange(measure.SHOWN_ANGLES) + 0.5) * 2 * np.pi / measure.SHOWN_ANGLES,
            "Omegabin": low + (high - low) * (jnp.arange(rows) + 0.5) / rows, "mode": np.array([1, 2]), "expected": problem["expected"],
            "ridge_of": np.array(GAIA_RADII),
        }  # fmt: skip
