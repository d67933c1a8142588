r"""Real networks on real digits, trained past zero error: all layers at once, or one after the other.

    z = x W,  h = relu(z normalised by the mean and variance of its batch + b) for each hidden layer,   o = h W_last^T (+ b_last)
    v <- 0.9 v + grad + wd theta,     theta <- theta - eta v,     eta x 0.1 at half, x 0.01 at three quarters of the epochs
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from stabviz.numerics.descent import descended
from stabviz.system import Observable, Schedule, System, control, host, kick

from . import theory
from .digits import CLASSES, EACH, PIXELS, digits
from .features import MEASURES, measures

Array = jax.Array

MOMENTUM = 0.9
SHOWN = 20
"""Samples of each class whose features are recorded."""
LABELS = np.repeat(np.arange(CLASSES, dtype=np.int32), EACH)

LEARNING = {
    "train_loss": Observable("training loss", symbol="L"),
    "train_accuracy": Observable("training accuracy", doc="on all training images, with their own batch statistics"),
    "test_accuracy": Observable("test accuracy", doc="on the images left out, with the training images' statistics"),
}
BY_LAYER = ("trace_within", "trace_between", "nc1_trace", "nc1")


class Net(eqx.Module):
    """A multilayer perceptron with batch normalisation without learned scale. Weights act on rows: z = x W."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    last: Array
    last_bias: Array | None

    def hidden(self, x: Array, normalise: bool, statistics: Any = None) -> tuple[list[Array], list[tuple[Array, Array]]]:
        """Features after each hidden layer for inputs (m, d), and the means and variances that were used."""
        features, used = [], []
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = x @ w
            mean, variance = (jnp.mean(z, axis=0), jnp.var(z, axis=0)) if statistics is None else statistics[i]
            if normalise:
                z = (z - mean[None, :]) * jax.lax.rsqrt(variance + 1e-5)[None, :]
            x = jax.nn.relu(z + b[None, :])
            features.append(x)
            used.append((mean, variance))
        return features, used

    def output(self, h: Array) -> Array:
        """Logits (m, K) of last features (m, d)."""
        o = h @ self.last.T
        return o if self.last_bias is None else o + self.last_bias[None, :]


def new_net(key: Array, inputs: int, width: int, layers: int, bias: bool, fan_in: Array | None = None) -> Net:
    """He's initial weights, zero biases. `fan_in`: of the first layer, where its inputs are padded."""
    keys = jax.random.split(key, layers + 1)
    sizes = [inputs] + [width] * layers
    spread = [jnp.sqrt(2.0 / (s if i or fan_in is None else fan_in)) for i, s in enumerate(sizes[:-1])]
    weights = tuple(spread[i] * jax.random.normal(keys[i], (sizes[i], width)) for i in range(layers))
    last = jax.random.normal(keys[-1], (CLASSES, width)) / np.sqrt(width).astype(np.float32)
    return Net(weights, (jnp.zeros(width),) * layers, last, jnp.zeros(CLASSES) if bias else None)


def loss_of(logits: Array, labels: Array, kind: str) -> Array:
    """Half the mean squared distance to the one-hot labels, or the mean cross entropy."""
    if kind == "mse":
        return 0.5 * jnp.mean(jnp.sum((logits - jax.nn.one_hot(labels, CLASSES, dtype=logits.dtype)) ** 2, axis=-1))
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


class Trained(System):
    """What both trainings share: the optimiser, its controls, the data. Abstract."""

    loss: str = control("mse", choices=("mse", "ce"), doc="squared error without last bias (the paper's case), or cross entropy with it")
    learning_rate: float = control(0.05, bounds=(1e-3, 0.5), scale="log", symbol=r"\eta", doc="step size of the first half of the epochs")
    wd_features: float = control(2e-3, bounds=(1e-5, 2e-2), scale="log", also={0.0: "off"}, label="weight decay, hidden layers",
                                 doc="on weights and biases of the hidden layers; the counterpart of the features' term")  # fmt: skip
    wd_last: float = control(2e-3, bounds=(1e-5, 2e-2), scale="log", also={0.0: "off"}, label="weight decay, last layer",
                             doc="on the last layer; the counterpart of the last layer's term")  # fmt: skip
    width: int = control(64, bounds=(16, 256), scale="log", doc="neurons in a hidden layer")
    batch: int = control(100, bounds=(10, 1000), scale="log", label="batch size", unit="samples", doc="images a step, without replacement")
    normalise: bool = control(True, label="batch normalisation", doc="without it cross entropy does not collapse here")

    @property
    def rounds(self) -> int:
        """Steps of an epoch."""
        return CLASSES * EACH // self.batch

    def optimiser(self, net: Net, rate: Array) -> optax.GradientTransformation:
        """SGD with momentum and a weight decay of its own for the last layer."""
        hidden = dataclasses.replace(
            jax.tree.map(lambda _: True, net), last=False, last_bias=None if net.last_bias is None else False
        )
        return optax.chain(
            optax.add_decayed_weights(self.wd_features, mask=hidden),
            optax.add_decayed_weights(self.wd_last, mask=jax.tree.map(lambda x: not x, hidden)),
            optax.trace(MOMENTUM), optax.scale_by_learning_rate(rate),
        )  # fmt: skip

    def improved(self, net: Net, memory: Any, x: Array, labels: Array, rate: Array) -> tuple[Net, Any]:
        """One step on a batch (m, d)."""
        def loss(net: Net) -> Array:
            return loss_of(net.output(net.hidden(x, self.normalise)[0][-1]), labels, self.loss)
        return descended(loss, net, memory, self.optimiser(net, rate))[:2]

    def rate(self, k: Array, steps: Array | int) -> Array:
        """The learning rate at step k of so many."""
        return self.learning_rate * jnp.where(4 * k >= 3 * steps, 0.01, jnp.where(2 * k >= steps, 0.1, 1.0)).astype(jnp.float32)

    @host
    def problem(self, key: np.random.Generator) -> dict[str, np.ndarray]:  # type: ignore[override]
        """The images: training `x` (10, 100, 64), `x_test` (797, 64), `y_test` (797,)."""
        return digits(key)


class Network(Trained):
    r"""A multilayer perceptron trained on 1000 handwritten digits far past the first epoch without an error.

    Five layers by default, batch normalisation without learned scale, SGD with momentum 0.9. Behaviour: NC1 falls with depth, by a
    factor of 3 to 7 a layer, and goes on falling after the training accuracy has reached 1; before training it *rises* with depth.
    When it goes wrong: without normalisation, cross entropy does not collapse and a rate of 0.05 may diverge.
    """

    layers: int = control(4, bounds=(1, 12), label="hidden layers", doc="hidden layers of the network")
    epochs: int = control(300, bounds=(10, 2000), scale="log", traced=True, at="start",
                          doc="length of training; the learning rate falls at 50 % and 75 % of it")  # fmt: skip

    @property
    def observables(self) -> dict[str, Observable]:  # type: ignore[override]
        own = {n: dataclasses.replace(o, dims=("layer",)) if n in BY_LAYER else o for n, o in MEASURES.items() if n != "objective"}
        return {
            "epoch": Observable("epoch", "epochs", role="time"), **own, **LEARNING,
            "layer": Observable("hidden layer", doc="0: the images themselves"),
        }  # fmt: skip

    def schedule(self) -> Schedule:
        """The epochs, looked at often in the beginning."""
        return Schedule(int(self.epochs) * self.rounds, 100, "log")

    def init(self, problem: dict[str, Array], key: Array) -> dict[str, Any]:
        """Weights, momentum, the order of the images in this epoch, steps done."""
        net = new_net(key, PIXELS, self.width, self.layers, self.loss == "ce")
        memory = self.optimiser(net, jnp.float32(0)).init(net)
        return {"net": net, "memory": memory, "order": jnp.arange(CLASSES * EACH), "done": jnp.int32(0)}

    def step(self, problem: dict[str, Array], state: dict[str, Any], key: Array, k: Array) -> dict[str, Any]:
        """One batch."""
        place = k % self.rounds
        order = jax.lax.cond(place == 0, lambda: jax.random.permutation(key, CLASSES * EACH), lambda: state["order"])
        chosen = jax.lax.dynamic_slice(order, (place * self.batch,), (self.batch,))
        x, labels = problem["x"].reshape(-1, PIXELS)[chosen], chosen // EACH
        net, memory = self.improved(state["net"], state["memory"], x, labels, self.rate(k, self.epochs * self.rounds))
        return {"net": net, "memory": memory, "order": order, "done": state["done"] + 1}

    def phase(self, problem: dict[str, Array], state: dict[str, Any]) -> Net:
        """The weights."""
        return state["net"]

    @kick(size=control(0.1, bounds=(1e-4, 3.0), scale="log", doc="length of the push over that of each array of weights"))
    def shake(self, problem: Any, state: dict[str, Any], key: Array, size: Array) -> dict[str, Any]:
        """Shake all weights.

        NC1 jumps, and collapses again as far as the learning rate then allows.
        """
        leaves, shape = jax.tree.flatten(state["net"])
        def pushed(i: int, x: Array) -> Array:
            noise = jax.random.normal(jax.random.fold_in(key, i), x.shape, x.dtype)
            return x + size.astype(x.dtype) * jnp.sqrt(jnp.mean(x**2)) * noise
        return state | {"net": jax.tree.unflatten(shape, [pushed(i, x) for i, x in enumerate(leaves)])}

    def given(self, problem: dict[str, Array]) -> dict[str, Array]:
        """The layers, the images as layer 0."""
        return {"layer": jnp.arange(self.layers + 1)}

    def observe(self, problem: dict[str, Array], state: dict[str, Any]) -> dict[str, Array]:
        """NC1 at every layer; NC2 to NC4 and the picture at the last one; loss and accuracies."""
        net: Net = state["net"]
        x = problem["x"].reshape(-1, PIXELS)
        features, statistics = net.hidden(x, self.normalise)
        logits = net.output(features[-1])
        layers = [f.reshape(CLASSES, EACH, -1) for f in (x, *features)]
        seen = measures(layers[-1], net.last)
        for name in BY_LAYER:
            seen[name] = jnp.stack([getattr(theory, name)(h) for h in layers])
        test = net.output(net.hidden(problem["x_test"], self.normalise, statistics)[0][-1])
        return seen | {
            "cloud": seen["cloud"][:, :SHOWN], "nc4": theory.nc4(layers[-1], logits.reshape(CLASSES, EACH, -1)),
            "train_loss": loss_of(logits, jnp.asarray(LABELS), self.loss),
            "train_accuracy": jnp.mean(jnp.argmax(logits, -1) == jnp.asarray(LABELS)),
            "test_accuracy": jnp.mean(jnp.argmax(test, -1) == problem["y_test"]),
            "epoch": state["done"] / self.rounds,
        }  # fmt: skip


class Layerwise(Trained):
    r"""One hidden layer at a time: train (features, width, 10), keep the hidden layer, train the next one on its features.

    A step is a layer. Behaviour: NC1 falls with each layer that is added, as in the stacked tethered model (paper, fig. 2).
    """

    layers: int = control(6, bounds=(1, 20), traced=True, at="start", doc="layers trained one after the other: the length of the run")
    epochs: int = control(60, bounds=(1, 500), scale="log", traced=True,
                          doc="epochs of each layer; the learning rate falls at 50 % and 75 % of them")  # fmt: skip

    observables = {n: o for n, o in MEASURES.items() if n != "objective"} | {n: LEARNING[n] for n in ("train_loss", "train_accuracy")}

    def schedule(self) -> Schedule:
        """One step a layer."""
        return Schedule(int(self.layers), int(self.layers))

    def init(self, problem: dict[str, Array], key: Array) -> dict[str, Array]:
        """The images as features (10, 100, d), padded with zeros to the width; no classifier yet."""
        padded = max(PIXELS, self.width)
        h = jnp.pad(problem["x"], ((0, 0), (0, 0), (0, padded - PIXELS)))
        return {"h": h, "w": jnp.zeros((CLASSES, padded), h.dtype), "bias": jnp.zeros(CLASSES, h.dtype)}

    def step(self, problem: dict[str, Array], state: dict[str, Array], key: Array, k: Array) -> dict[str, Array]:
        """One layer from new weights to its last epoch."""
        padded = state["h"].shape[-1]
        x = state["h"].reshape(-1, padded)
        net = new_net(key, padded, self.width, 1, self.loss == "ce", jnp.where(k == 0, PIXELS, self.width))
        steps = self.epochs * self.rounds

        def epoch(i: Array, carry: tuple[Net, Any]) -> tuple[Net, Any]:
            order = jax.random.permutation(jax.random.fold_in(key, i + 1), CLASSES * EACH)

            def one(j: Array, carry: tuple[Net, Any]) -> tuple[Net, Any]:
                chosen = jax.lax.dynamic_slice(order, (j * self.batch,), (self.batch,))
                return self.improved(*carry, x[chosen], chosen // EACH, self.rate(i * self.rounds + j, steps))

            return jax.lax.fori_loop(0, self.rounds, one, carry)

        memory = self.optimiser(net, jnp.float32(0)).init(net)
        net, _ = jax.lax.fori_loop(0, self.epochs, epoch, (net, memory))
        spare = padded - self.width
        h = jnp.pad(net.hidden(x, self.normalise)[0][-1], ((0, 0), (0, spare))).reshape(state["h"].shape)
        bias = jnp.zeros(CLASSES) if net.last_bias is None else net.last_bias
        return {"h": h, "w": jnp.pad(net.last, ((0, 0), (0, spare))), "bias": bias}

    def phase(self, problem: dict[str, Array], state: dict[str, Array]) -> Array:
        """The features."""
        return state["h"]

    def observe(self, problem: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
        """Measures of collapse of the newest layer's features."""
        h, w = state["h"], state["w"]
        logits = h @ w.T + state["bias"][None, None, :]
        flat = logits.reshape(-1, CLASSES)
        seen = measures(h, w)
        return seen | {
            "cloud": seen["cloud"][:, :SHOWN], "nc4": theory.nc4(h, logits), "train_loss": loss_of(flat, jnp.asarray(LABELS), self.loss),
            "train_accuracy": jnp.mean(jnp.argmax(flat, -1) == jnp.asarray(LABELS)),
        }  # fmt: skip
