"""The devices of this machine: batches and runs are dealt to them, and a population is shared out over them.

A batch of a study is carried out on one device by the very program that a single device would run, so its numbers do not
depend on how many there are, and nothing goes from one device to another. A System that declares `shards` is a population
whose members meet only in sums: its arrays are cut along the members, and the compiler adds up the parts of a sum.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

FEWEST = 4096
"""Members of a population that are worth a device of their own."""


def accelerated() -> bool:
    """Whether JAX computes on something else than the CPU."""
    return jax.default_backend() != "cpu"


class Deal:
    """Who computes where: each job stays on the device that had the fewest jobs when it began. Safe from any thread."""

    def __init__(self) -> None:
        self._places: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def place(self, job: Any) -> contextlib.AbstractContextManager[Any]:
        """Inside, JAX works on the job's device; where there is only one, nothing changes."""
        if len(every := jax.local_devices()) == 1:
            return contextlib.nullcontext()
        with self._lock:
            if job not in self._places:
                load = collections.Counter(device for other, device in self._places.items() if not other.ended)
                self._places[job] = min(every, key=load.__getitem__)
            return jax.default_device(self._places[job])


class Population:
    """A population of `count` members, cut along its members over a line of devices."""

    def __init__(self, count: int, line: tuple[Any, ...]):
        self.count = count
        self._mesh = Mesh(np.array(line), ("member",))

    @staticmethod
    def of(system: Any) -> Population | None:
        """A System's population, over the most devices that divide it; None where there is none, or one device is enough."""
        if system.shards is None:
            return None
        count, every = int(getattr(system, system.shards)), jax.local_devices()
        most = min(len(every), count // FEWEST)
        width = next((n for n in range(most, 1, -1) if count % n == 0), 1)
        return Population(count, tuple(every[:width])) if width > 1 else None

    def shardings(self, tree: Any) -> Any:
        """Where the arrays of a pytree belong: those with an entry a member are cut, the others are on every device."""
        cut = lambda x: PartitionSpec("member") if np.ndim(x) and np.shape(x)[0] == self.count else PartitionSpec()  # noqa: E731
        return jax.tree.map(lambda x: NamedSharding(self._mesh, cut(x)), tree)

    def share(self, tree: Any) -> Any:
        """The arrays where they belong."""
        return jax.device_put(tree, self.shardings(tree))

    def kept(self, advance: Callable[..., Any]) -> Callable[..., Any]:
        """`engine.advance` whose carry comes back as it was cut and whose frames are whole."""

        def shared(*args: Any, **static: Any) -> Any:
            carry, *seen = advance(*args, **static)
            whole = jax.tree.map(lambda _: NamedSharding(self._mesh, PartitionSpec()), seen)
            return jax.lax.with_sharding_constraint((carry, *seen), (self.shardings(carry), *whole))

        return shared


def cut(x: Any) -> Any:
    """How an array lies over several devices; None if it is on one."""
    sharding = getattr(x, "sharding", None)
    return sharding if isinstance(sharding, NamedSharding) else None
