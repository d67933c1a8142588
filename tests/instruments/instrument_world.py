"""Systems whose stability is known: flows, maps, a network in miniature. Written plainly; nothing is shared with the labs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import stabviz as sv


def rk4(f, x, h):
    """One step of the classical Runge-Kutta method."""
    a = f(x)
    b = f(x + h / 2 * a)
    c = f(x + h / 2 * b)
    d = f(x + h * c)
    return x + h / 6 * (a + 2 * b + 2 * c + d)


class Double(sv.System):
    """In 64 bits, with a clock in its state that is no part of its phase."""

    dt: float = sv.control(0.01, bounds=(1e-4, 0.2), at="start", doc="step")
    observables = {"x": sv.Observable("position", dims="axis"), "t": sv.Observable("time", "s", role="time")}
    precision = {"problem": 64, "step": 64}

    def start(self):
        raise NotImplementedError

    def field(self, x):
        raise NotImplementedError

    def init(self, problem, key):
        return {"x": jnp.asarray(self.start(), float), "t": jnp.zeros(())}

    def step(self, problem, state, key, k):
        return {"x": rk4(self.field, state["x"], self.dt), "t": state["t"] + self.dt}

    def observe(self, problem, state):
        return dict(state)

    def phase(self, problem, state):
        return state["x"]


class Lorenz(Double):
    """Lorenz 1963. Exponents 0.906, 0, -14.572; they add up to -(sigma + 1 + beta)."""

    rho: float = sv.control(28.0, bounds=(0.0, 100.0), doc="Rayleigh number")

    def start(self):
        return 1.0, 1.0, 20.0

    def field(self, x):
        return jnp.stack([10 * (x[1] - x[0]), x[0] * (self.rho - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


class Rossler(Double):
    """Rossler 1976, a = b = 0.2, c = 5.7. Exponents 0.0714, 0, -5.394."""

    def start(self):
        return 1.0, 1.0, 0.0

    def field(self, x):
        return jnp.stack([-x[1] - x[2], x[0] + 0.2 * x[1], 0.2 + x[2] * (x[0] - 5.7)])


class HenonHeiles(Double):
    """Hamiltonian, two degrees of freedom, energy 1/6: exponents come in pairs of opposite sign."""

    def start(self):
        return 0.0, 0.1, 0.5, jnp.sqrt(2 * (1 / 6 - 0.125 - 0.01 / 2 + 0.001 / 3))

    def field(self, z):
        x, y, px, py = z
        return jnp.stack([px, py, -x - 2 * x * y, -y - x * x + y * y])


class Henon(sv.System):
    """Henon 1976, a = 1.4, b = 0.3. Exponents 0.4192 and ln(b) - 0.4192 per step."""

    a: float = sv.control(1.4, bounds=(0.0, 1.5), doc="parameter")
    observables = {"x": sv.Observable("position", dims="axis")}
    precision = {"problem": 64, "step": 64}

    def init(self, problem, key):
        return jnp.array([0.1, 0.1])

    def step(self, problem, x, key, k):
        return jnp.stack([1 - self.a * x[0] ** 2 + x[1], 0.3 * x[0]])

    def observe(self, problem, x):
        return {"x": x}


class Logistic(sv.System):
    """x' = r x (1 - x). At r = 4 the exponent is ln 2."""

    r: float = sv.control(4.0, bounds=(0.0, 4.0), doc="growth")
    observables = {"x": sv.Observable("population")}
    precision = {"problem": 64, "step": 64}

    def init(self, problem, key):
        return jax.random.uniform(key, minval=0.1, maxval=0.9)

    def step(self, problem, x, key, k):
        return self.r * x * (1 - x)

    def observe(self, problem, x):
        return {"x": x}


class Linear(sv.System):
    """x' = A x with a given spectrum, A not normal; noise may be added, which the tangent does not feel."""

    scale: float = sv.control(1.0, bounds=(0.1, 2.0), doc="factor of the matrix")
    sigma: float = sv.control(0.0, bounds=(0.0, 1.0), doc="size of the noise")
    observables = {"x": sv.Observable("position", dims="axis"), "size": sv.Observable("length")}
    precision = {"problem": 64, "step": 64}

    def problem(self, key):
        return {"A": self.scale * matrix()}

    def init(self, problem, key):
        return jax.random.normal(key, (4,))

    def step(self, problem, x, key, k):
        return problem["A"] @ x + self.sigma * jax.random.normal(key, x.shape)

    def observe(self, problem, x):
        return {"x": x, "size": jnp.linalg.norm(x)}


def matrix():
    """Eigenvalues 0.9, 0.6 +- 0.4i (modulus 0.7211), 0.3."""
    block = np.array([[0.9, 1, 0, 2], [0, 0.6, 0.4, 0], [0, -0.4, 0.6, 1], [0, 0, 0, 0.3]])
    turn = np.array([[1, 0.5, 0, 0], [0, 1, 0.2, 0], [0, 0, 1, -0.7], [0.3, 0, 0, 1]])
    return turn @ block @ np.linalg.inv(turn)


class Momentum(sv.System):
    """Gradient descent on a quadratic, with or without heavy-ball momentum; the momentum is no part of the phase."""

    eta: float = sv.control(0.1, bounds=(1e-3, 10.0), scale="log", doc="learning rate")
    beta: float = sv.control(0.0, bounds=(0.0, 0.99), doc="momentum")
    observables = {"w": sv.Observable("weights", dims="axis"), "loss": sv.Observable("loss"), "moved": sv.Observable("moved", reduce="sum")}
    precision = {"problem": 64, "step": 64}
    curvatures = (1.0, 3.0, 7.0)

    def init(self, problem, key):
        return {"w": jax.random.normal(key, (3,)), "m": jnp.zeros(3)}

    def step(self, problem, state, key, k):
        m = self.beta * state["m"] - self.eta * jnp.array(self.curvatures) * state["w"]
        return {"w": state["w"] + m, "m": m}, {"moved": jnp.sum(m)}

    def observe(self, problem, state):
        return {"w": state["w"], "loss": 0.5 * jnp.sum(jnp.array(self.curvatures) * state["w"] ** 2)}

    def phase(self, problem, state):
        return state["w"]


class Flock(sv.System):
    """A hundred independent members, each x' = rate x (1 - x)."""

    rate: float = sv.control(3.9, bounds=(0.0, 4.0), doc="growth")
    observables = {"x": sv.Observable("members", dims="bird")}
    members = "bird"
    precision = {"problem": 64, "step": 64}

    def init(self, problem, key):
        return jax.random.uniform(key, (100,), minval=0.1, maxval=0.9)

    def step(self, problem, x, key, k):
        return self.rate * x * (1 - x)

    def observe(self, problem, x):
        return {"x": x}


class Steps(sv.System):
    """A number that jumps by one whole unit where it crosses a threshold: its response to small kicks is none, or the jump."""

    observables = {"n": sv.Observable("whole number"), "x": sv.Observable("position")}
    precision = {"problem": 64, "step": 64}

    def init(self, problem, key):
        return jnp.array(0.5)

    def step(self, problem, x, key, k):
        return x + 0.0

    def observe(self, problem, x):
        return {"n": jnp.floor(x * 100) / 100, "x": x}
