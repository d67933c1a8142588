"""What the page offers to copy makes the very same run: a cell and a command, for every preset of every lab."""

from __future__ import annotations

import ast
import shlex
from types import SimpleNamespace

import pytest

import stabviz as sv
from stabviz.cli import _normal, _parser
from stabviz.cli.run import _plan
from stabviz.control import ControlError
from stabviz.reproduce import cell, command
from stabviz.system import controls, kicks

CASES = [(slug, preset) for slug, lab in sv.labs().items() if not lab.missing for preset in ("", *lab.presets)]


def plan_of_cell(text: str, monkeypatch: pytest.MonkeyPatch) -> sv.Plan:
    """What the cell's `lab.run(...)` plans."""
    planned = []

    def run(self: sv.Lab, **options: object) -> SimpleNamespace:
        planned.append(self.plan(**options))
        return SimpleNamespace(wait=lambda: SimpleNamespace(dataset=None))

    monkeypatch.setattr(sv.Lab, "run", run)
    exec(compile(ast.parse(text), "cell", "exec"), {})
    return planned[0]


def plan_of_command(text: str) -> sv.Plan:
    words = _normal(shlex.split(text)[1:])
    return _plan(_parser(words).parse_args(words))


@pytest.mark.parametrize(("slug", "preset"), CASES, ids=["-".join(c).rstrip("-") for c in CASES])
def test_cell_and_command_make_the_same_plan(slug, preset, monkeypatch):
    plan = sv.lab(slug).plan(preset=preset or None)
    assert plan_of_command(command(sv.lab(slug), plan)).id == plan.id
    assert plan_of_cell(cell(sv.lab(slug), plan), monkeypatch).id == plan.id


@pytest.mark.parametrize("slug", [slug for slug, lab in sv.labs().items() if not lab.missing])
def test_so_they_do_for_a_run_that_was_touched_and_continued(slug, monkeypatch):
    lab = sv.lab(slug)
    cls = lab.system_class()
    size = {a: spec.default for a, spec in kicks(cls)["kick"].controls.items()}
    touches = [sv.Intervention(5, "kick", {"name": "kick", **size})]
    for name, spec in controls(cls).items():
        if not spec.static and spec.at != "start" and spec.bounds:
            touches.append(sv.Intervention(7, "set", {name: spec.validate(0.3 * spec.bounds[0] + 0.7 * spec.bounds[1])}))
            break
    try:
        plan = lab.plan(seed=3, spacing="log", interventions=touches, more=[(30, 4, "linear"), (7, 2, "log")])
    except ControlError as error:  # a lab whose length is bounded
        pytest.skip(str(error))
    assert plan_of_command(command(lab, plan)).id == plan.id
    assert plan_of_cell(cell(lab, plan), monkeypatch).id == plan.id
