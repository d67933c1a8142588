"""A plan written out as what a person would type to carry it out again: a notebook cell, a command."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from .system import controls

if TYPE_CHECKING:
    from .lab import Lab
    from .plan import Plan


def cell(lab: Lab, plan: Plan) -> str:
    """The notebook cell that makes the plan again, to the same name."""
    first, *more = plan.schedule.segments
    words = [f"system={plan.name!r}"] if plan.name != next(iter(lab.systems)) else []
    words += [f"{name}={_python(value)}" for name, value in changed(plan).items()]
    words += [f"seed={plan.seed}", f"steps={first.steps}", f"frames={first.frames}", f"spacing={first.spacing!r}"]
    if plan.seeds:
        words.append(f"seeds={dict(plan.seeds)}")
    if plan.interventions:
        touches = [f"({i.step}, {i.kind!r}, {{{', '.join(f'{k!r}: {_python(v)}' for k, v in i.what)}}})" for i in plan.interventions]
        words.append(f"interventions=[{', '.join(touches)}]")
    if more:
        words.append(f"more={[(s.steps, s.frames, s.spacing) for s in more]}")
    words += ["asked=None"] if plan.asked is None else []
    words += [f"{name}={list(values)}" for name, values in (("asked", plan.asked), ("keep", plan.keep)) if values]
    call = f"run = lab.run({', '.join(words)})"
    if len(call) > 100:
        call = "run = lab.run(\n    " + ",\n    ".join(words) + ",\n)"
    return "\n".join(["import stabviz as sv", "", f'lab = sv.lab("{lab.slug}")', call, "run.wait().dataset"])


def command(lab: Lab, plan: Plan) -> str:
    """The command that makes the plan again, to the same name (all but fixed single keys and a choice of observables)."""
    specs = controls(plan.system)
    first, *more = plan.schedule.segments
    words = ["stabviz", "run", lab.slug]
    if plan.name != next(iter(lab.systems)):
        words += ["--system", plan.name]
    for name, value in changed(plan).items():
        flag = name.replace("_", "-")
        if specs[name].kind == "bool":
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", specs[name].format(value)]
    words += ["--seed", str(plan.seed), "--steps", str(first.steps), "--frames", str(first.frames), "--spacing", first.spacing]
    for touch in plan.interventions:
        values = touch.values
        if touch.kind == "set":
            for name, value in values.items():
                words += ["--set", f"{touch.step}:{name}={specs[name].format(value)}"]
        else:
            kick = values.pop("name")
            words += ["--kick", f"{touch.step}:{kick}" + (":" + ",".join(f"{k}={v!s}" for k, v in values.items()) if values else "")]
    for stretch in more:
        words += ["--more", f"{stretch.steps}:{stretch.frames}:{stretch.spacing}"]
    return shlex.join(words)


def changed(plan: Plan) -> dict[str, Any]:
    """The controls that differ from their defaults; `steps` stands in the schedule."""
    specs = controls(plan.system)
    return {name: value for name, value in plan.controls.items() if name != "steps" and value != specs[name].default}


def _python(value: Any) -> str:
    """A value as source text."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return repr(value)
