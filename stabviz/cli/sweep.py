"""`stabviz sweep`: a study over axes, here or on a cluster."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any

from ..lab import lab
from .run import follow, system_of
from .texts import FAILED, INTERRUPTED, OK, Refused, near, printable, whole

if TYPE_CHECKING:
    from ..control import Control

MOST_POINTS = 100_000


def sweep(args: argparse.Namespace) -> int:
    """Carry out a study over the axes that the options say, into the store."""
    if not args.axis:
        raise Refused("Say at least one axis, as in --axis learning_rate=0.01:1:20:log or --axis seed=0:9:10.")
    from ..scheduler import Scheduler
    from ..store import Store
    from ..studies import Study
    from ..system import controls

    chosen = lab(args.lab)
    name, cls = system_of(chosen, args.system, args.preset)
    specs = controls(cls)
    axes = dict(_axis(text, specs) for text in args.axis)
    turned = dict(_turn(text, specs) for text in args.turn)
    given: dict[str, Any] = {word: whole(text, word) for word in ("steps", "frames", "seed") if (text := getattr(args, word)) is not None}
    study = Study(system=name, preset=args.preset, controls=turned, axes=axes, keep=args.keep or None, **given)
    count = prod(len(v) for v in axes.values())
    if count > MOST_POINTS:
        raise Refused(f"These axes have {count:,} points together, and {MOST_POINTS:,} is the most.")
    logging.getLogger("stabviz").addHandler(logging.NullHandler())
    client = _client(args.scheduler)
    scheduler = Scheduler(Store(args.store))
    try:
        job = scheduler.submit_study(study, chosen, client)
        print(f"{job.id}  {count:,} points of {chosen.slug}, {name}", file=sys.stderr)
        if not follow(job):
            print("Paused. The same command goes on from the points that are stored.", file=sys.stderr)
            return INTERRUPTED
        if job.status == "failed":
            print(f"stabviz: the sweep failed: {printable(job.error)}", file=sys.stderr)
            return FAILED
        ends = Counter(str(s) for s in job.dataset["status"].values.ravel())
        print(f"{job.id}  {job.status}: " + ", ".join(f"{n:,} {status}" for status, n in ends.most_common()))
        return OK
    finally:
        scheduler.close()
        if client is not None:
            client.close()


def _client(address: str | None) -> Any:
    if address is None:
        return None
    try:
        from distributed import Client
    except ImportError:
        raise Refused("--scheduler needs the package distributed: pip install 'stabviz[cluster]'.") from None
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise Refused(f"There is no Dask scheduler at {address[:100]!r} ({type(error).__name__}).") from None


def _axis(text: str, specs: dict[str, Control]) -> tuple[str, list[Any]]:
    """`NAME=V1,V2,...` or `NAME=LOW:HIGH:COUNT[:log]` as an axis."""
    import numpy as np

    from ..control import Control

    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not values:
        raise Refused(f"--axis cannot be {text[:60]!r}: it takes NAME=V1,V2,... or NAME=LOW:HIGH:COUNT, or NAME=LOW:HIGH:COUNT:log.")
    if name != "seed" and name not in specs:
        raise near("control", name, [*specs, "seed"])
    spec = specs.get(name) or Control("seed", "int", 0, bounds=(0, 2**32 - 1))
    parts = values.split(":")
    if spec.kind in ("bool", "choice") or len(parts) == 1:
        return name, [spec.parse(v) for v in values.split(",")]
    try:
        low, high, count = float(parts[0]), float(parts[1]), whole(parts[2], "number of points")
        log = len(parts) > 3 and parts[3] == "log"
        if not 1 <= count <= MOST_POINTS or len(parts) > 4 or (len(parts) > 3 and not log) or (log and min(low, high) <= 0):
            raise ValueError
    except (ValueError, IndexError):
        raise Refused(f"--axis cannot be {text[:60]!r}: a range is LOW:HIGH:COUNT, or LOW:HIGH:COUNT:log with both above zero.") from None
    points = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    if spec.kind == "int":
        points = np.unique(np.round(points)).astype(int)
    return name, [spec.validate(x.item()) for x in points]


def _turn(text: str, specs: dict[str, Control]) -> tuple[str, Any]:
    """`NAME=VALUE` as a control of all points."""
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise Refused(f"--with cannot be {text[:60]!r}: it takes NAME=VALUE.")
    if name not in specs:
        raise near("control", name, specs)
    return name, specs[name].parse(value)
