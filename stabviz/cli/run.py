"""`stabviz run`, `continue`, `fork`: options into a plan, a plan into a run that is watched, paused by Ctrl-C, and judged."""

from __future__ import annotations

import argparse
import contextlib
import logging
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from ..lab import Lab, lab
from .runs import full
from .texts import FAILED, INTERRUPTED, OK, Refused, near, printable, table, whole

if TYPE_CHECKING:
    from ..control import Control
    from ..plan import Intervention, Plan
    from ..run import Run
    from ..scheduler import Scheduler
    from ..store import Store
    from ..system import System


def system_of(lab: Lab, name: str | None, preset: str | None) -> tuple[str, type[System]]:
    """Name and class of the System that is meant: the one named, else the preset's, else the first."""
    name = lab.system_name(name or lab.preset(preset).system)
    return name, lab.system_class(name)


def _plan(args: argparse.Namespace) -> Plan:
    """The plan that the options describe."""
    from ..plan import Intervention
    from ..system import controls

    chosen = lab(args.lab)
    _, cls = system_of(chosen, args.system, args.preset)
    specs = controls(cls)
    turned = _turned(args, specs)
    given: dict[str, Any] = {name: whole(text, name) for name in ("steps", "frames") if (text := getattr(args, name)) is not None}
    given |= {"spacing": args.spacing, "more": [_stretch(text) for text in args.more]}
    planned = [_set(text, specs) for text in args.set] + [_kick(text, cls) for text in args.kick]
    if planned:
        given["interventions"] = [Intervention(*i) for i in chosen.preset(args.preset).interventions] + planned
    return chosen.plan(system=args.system, preset=args.preset, seed=args.seed, **given, **turned)


def _turned(args: argparse.Namespace, specs: Mapping[str, Control]) -> dict[str, Any]:
    """The controls that the options turn."""
    turned = {name[8:]: value for name, value in vars(args).items() if name.startswith("control_") and value is not None}
    return {name: value if isinstance(value, bool) else specs[name].parse(value) for name, value in turned.items()}


def _stretch(text: str) -> tuple[int, int, str]:
    """`STEPS:FRAMES:SPACING` as a stretch that continues a run."""
    steps, frames, spacing, *rest = (*text.split(":"), "", "")
    if any(rest) or not frames:
        raise Refused(f"--more cannot be {text[:60]!r}: it takes STEPS:FRAMES:SPACING, such as 1000:100:linear.")
    return whole(steps, "steps of --more"), whole(frames, "frames of --more"), spacing or "linear"


def _set(text: str, specs: dict[str, Control]) -> Intervention:
    """`STEP:NAME=VALUE` as an intervention."""
    from ..plan import Intervention

    step, colon, rest = text.partition(":")
    name, equals, value = rest.partition("=")
    name = name.strip().replace("-", "_")
    if not (colon and equals):
        raise Refused(f"--set cannot be {text[:60]!r}: it takes STEP:NAME=VALUE, such as 100:{next(iter(specs), 'control')}=1.")
    if name not in specs:
        raise near("control", name, specs)
    return Intervention(whole(step, "step of --set"), "set", {name: specs[name].parse(value)})


def _kick(text: str, system: Any) -> Intervention:
    """`STEP[:NAME[:ARG=VALUE,...]]` as an intervention."""
    from ..plan import Intervention
    from ..system import kicks

    step, _, rest = text.partition(":")
    name, _, inside = rest.partition(":")
    known = kicks(system)
    if (name or "kick") not in known:
        raise near("kick", name, known)
    kick = known[name or "kick"]
    arguments = {}
    for pair in filter(None, inside.split(",")):
        argument, equals, value = pair.partition("=")
        if not equals:
            raise Refused(f"--kick cannot be {text[:60]!r}: it takes STEP, STEP:NAME or STEP:NAME:ARG=VALUE.")
        if argument not in kick.controls:
            raise near(f"argument of {kick.name}", argument, kick.controls)
        arguments[argument] = kick.controls[argument].parse(value)
    return Intervention(whole(step, "step of --kick"), "kick", {"name": kick.name, **arguments})


class _Progress:
    """A bar that is redrawn on a terminal; elsewhere a line for each tenth of the run or every ten seconds."""

    def __init__(self, out: TextIO):
        self.out, self.live = out, out.isatty()
        self.last = (-1, 0.0)

    def show(self, run: Any) -> None:
        """Draw where a run or a study stands."""
        p = run.progress
        share = p.step / p.steps if p.steps else 1.0
        speed = f", {p.steps_per_second:.3g} steps/s" if p.steps_per_second else ""
        left = f", {_duration(p.eta)} left" if p.eta else ""
        text = f"{run.status:10} {p.step} of {p.steps} steps{speed}{left}"
        if self.live:
            bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
            line = f"{bar} {text}"[: shutil.get_terminal_size().columns - 1]
            print(f"\r\x1b[K{line}", end="", file=self.out, flush=True)
        elif int(10 * share) != self.last[0] or time.monotonic() - self.last[1] > 10:
            self.last = (int(10 * share), time.monotonic())
            print(text, file=self.out, flush=True)

    def close(self) -> None:
        """Leave the terminal's line clean."""
        if self.live:
            print("\r\x1b[K", end="", file=self.out, flush=True)


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 100 else f"{whole // 60} min" if whole < 6000 else f"{whole / 3600:.1f} h"


def run(args: argparse.Namespace) -> int:
    """`stabviz run`: carry out what the options say, or go on with a stored run."""
    if (args.lab is None) == (args.resume is None):
        raise Refused("Say which lab to run, as in `stabviz run LAB`, or --resume ID; `stabviz labs` lists the labs.")
    plan = None if args.lab is None else _plan(args)
    return _carry_out(
        args, lambda scheduler, store: scheduler.submit(plan, lab=lab(plan.lab)) if plan else _stored(scheduler, store, args.resume)
    )


def go_on(args: argparse.Namespace) -> int:
    """`stabviz continue`: go on with a run that was broken off, or with a finished one for more steps."""
    more = {name: whole(text, name) for name in ("steps", "frames") if (text := getattr(args, name)) is not None}

    def longer(scheduler: Scheduler, store: Store) -> Run:
        begun = store.info(full(store, args.id)).attrs.get("status") in ("running", "cancelled")
        run = _stored(scheduler, store, args.id)
        return run if begun else run.wait().extend(**more)

    return _carry_out(args, longer)


def fork(args: argparse.Namespace) -> int:
    """`stabviz fork`: a new run that starts from the last state of another, with other controls."""
    from ..system import controls

    length = {name: whole(text, name) for name in ("steps", "frames") if (text := getattr(args, name)) is not None}

    def forked(scheduler: Scheduler, store: Store) -> Run:
        run = _stored(scheduler, store, args.id)
        return run.wait().fork(**length, **_turned(args, controls(run.plan.system)))

    return _carry_out(args, forked)


def system_of_run(text: str, url: str | None) -> tuple[Lab, str]:
    """Lab and System of a stored run."""
    from ..store import Store

    store = Store(url, read_only=True)
    attrs = store.info(full(store, text)).attrs
    return lab(str(attrs.get("lab", ""))), str(attrs.get("system", ""))


def _carry_out(args: argparse.Namespace, begin: Callable[[Scheduler, Store], Run]) -> int:
    """Begin a run, show how it goes on, and judge it."""
    from ..scheduler import Scheduler
    from ..store import Store

    logging.getLogger("stabviz").addHandler(logging.NullHandler())  # a run that fails says so in one sentence
    store = Store(args.store)
    scheduler = Scheduler(store)
    try:
        run = begin(scheduler, store)
        if not follow(run):
            again = f"stabviz run --resume {run.id}" + (f" --store {shlex.quote(args.store)}" if args.store else "")
            print(f"Paused at step {run.progress.step} of {run.progress.steps}. Go on with: {again}", file=sys.stderr)
            return INTERRUPTED
        return _judge(run)
    finally:
        scheduler.close()


def _stored(scheduler: Scheduler, store: Store, run_id: str) -> Run:
    """The run of that name in the store, going on from where it stands."""
    from ..listing import plan_of

    run_id = full(store, run_id)
    owner, plan = plan_of(run_id, store.info(run_id).attrs)
    if plan.start:
        _stored(scheduler, store, plan.start)
    return scheduler.submit(plan, lab=owner)


def follow(run: Any) -> bool:
    """Show the progress of a run or a study until it has ended (True), or pause it when the person presses Ctrl-C (False)."""
    progress, watch = _Progress(sys.stderr), run.watch()
    try:
        while not run.ended:
            progress.show(run)
            with contextlib.suppress(RuntimeError):  # failed: said later, by `_judge`
                run.wait(0.1)
        return True
    except KeyboardInterrupt:
        run.pause()
        print(f"{chr(10) if progress.live else ''}Pausing; Ctrl-C again leaves at once.", file=sys.stderr, flush=True)
        while not (run.ended or run.status == "paused"):
            time.sleep(0.02)
        return run.ended
    finally:
        progress.close()
        watch.close()


def _judge(run: Run) -> int:
    """Print how a run ended and what it says about the claims."""
    if run.status == "failed":
        print(f"stabviz: run {run.id} failed: {printable(run.error)}", file=sys.stderr)
        return FAILED
    p = run.progress
    print(f"{run.id}  {run.status} at step {p.step} of {p.steps}, {p.frames} frames" + (", from the store" if run.replayed else ""))
    words = {True: "holds", False: "fails", None: "open"}
    rows = [(words[v.holds], claim.slug, f"expected {claim.expected}", f"measured {v.measured}" if v.measured else v.reason)
            for claim, v in run.claims() if claim.kind != "shown"]  # fmt: skip
    if rows:
        table(rows, "  ")
    if run.notice:
        print("stabviz: " + printable(run.notice), file=sys.stderr)
        return FAILED
    return OK
