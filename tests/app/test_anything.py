"""Whatever is given: control values, addresses, command lines, folders. What comes back is a result or a sentence for people.

Ten thousand cases with `-m soak`, the first few hundred of them in the default run. They are drawn from fixed seeds: a case that fails
is found again by its number, which the message says.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import jax
import numpy as np
import pytest

import stabviz as sv
from stabviz import listing
from stabviz.app import link
from stabviz.cli import main
from stabviz.control import ControlError
from stabviz.job import RunError
from stabviz.memory import TooLarge
from stabviz.plan import from_record
from stabviz.scheduler import Scheduler
from stabviz.store import Store, StoreError
from stabviz.system import controls

SENTENCES = (ControlError, RunError, StoreError, TooLarge)
SECONDS = 60
"""No case may take longer: a hang is a failure."""


def amounts(few: int, all_of_them: int):
    """How many cases: a few, or all."""
    return pytest.mark.parametrize("cases", [few, pytest.param(all_of_them, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise in a case that hangs."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def each(cases: int, seed: int, case: Callable[[np.random.Generator], str]) -> Counter[str]:
    """Carry the cases out; how often each outcome came. A failure names its case."""
    outcomes: Counter[str] = Counter()
    for number in range(cases):
        try:
            with at_most(SECONDS):
                outcomes[case(np.random.default_rng([seed, number]))] += 1
        except (Exception, SystemExit) as error:
            raise AssertionError(f"case {number}: {type(error).__name__}: {error}") from error
    print(f"{cases:,} cases: {dict(outcomes)}")
    return outcomes


def said(error: Exception) -> str:
    """A sentence for people: short, one paragraph, no trace of the program."""
    text = str(error)
    assert text and len(text) < 1500 and "Traceback" not in text and "object at 0x" not in text, text
    return "sentence"


WORDS = (
    "", " ", "0", "-0", "1", "-1", "1e309", "-1e309", "nan", "NaN", "inf", "-inf", "∞", "−1", "1e-400", "1_000", "0x10", "1,5", "1/2", "π",
    "true", "None", "[]", "{}", "()", "../..", "/etc/passwd", "C:\\x", "a\0b", "\n", "\u202eabc", "'\"><script>alert(1)</script>", "%00",
    "%", "${x}", "{{7*7}}", "=1+1", "x" * 5000, "9" * 400, "🙂", "é" * 300, "--help", "-", "--", "touched", "seed=1", "1:kick:size=nan",
    "linear",
)  # fmt: skip
SIZES = (10**6, 10**9, 10**12, 2**31, 2**63, 2**64, 10**30, -(10**9))
EDGES = (0, -0.0, 1, -1, 1e-320, 1e308, math.nan, math.inf, -math.inf, True, False, None)


def a_word(random: np.random.Generator) -> str:
    """Any text: odd ones, numbers, and odd ones put together."""
    kind = random.integers(5)
    if kind == 0:
        return str(WORDS[random.integers(len(WORDS))]) + str(WORDS[random.integers(len(WORDS))])
    if kind == 1:
        return repr(float(random.normal() * 10.0 ** random.integers(-12, 12)))
    if kind == 2:
        return "".join(chr(int(c)) for c in random.integers(1, 0x2FFF, random.integers(1, 30)))
    return str(WORDS[random.integers(len(WORDS))])


def a_value(random: np.random.Generator, spec) -> object:
    """Any value for a control: within its bounds, at them, beyond, and things that are no numbers."""
    kind, (low, high) = random.integers(8), spec.bounds or (0.0, 1.0)
    if kind <= 2 and spec.kind in ("int", "float"):
        inside = float(low + (high - low) * random.random())
        return int(inside) if spec.kind == "int" else inside
    if kind == 3:
        return (low, high, math.nextafter(low, -math.inf), math.nextafter(high, math.inf))[random.integers(4)]
    if kind == 4:
        return SIZES[random.integers(len(SIZES))]
    if kind == 5:
        return EDGES[random.integers(len(EDGES))]
    if kind == 6 and spec.choices:
        return spec.choices[random.integers(len(spec.choices))]
    odd = (a_word(random), [1.0], {"a": 1}, b"1", 1j, np.float32(0.1), np.array([1.0, 2.0]), np.array(0.5))
    return odd[random.integers(len(odd))]


@amounts(400, 4000)
def test_any_control_values(cases):
    """Every lab and System: a plan, or a sentence that names the control. What is a plan says what memory it needs, or that it has none."""
    every = [(found, name) for found in sv.labs().values() if not found.missing for name in found.systems]

    def case(random: np.random.Generator) -> str:
        found, name = every[random.integers(len(every))]
        specs = controls(found.system_class(name))
        turned = random.choice(list(specs), min(len(specs), int(random.integers(1, 4))), replace=False)
        values = {str(control): a_value(random, specs[str(control)]) for control in turned}
        length = {} if random.integers(3) else {"steps": SIZES[random.integers(len(SIZES))], "frames": int(random.integers(-1, 300))}
        try:
            plan = found.plan(system=name, **{**values, **length})
        except ControlError as error:
            assert error.control or str(error)
            return said(error)
        except (ValueError, TypeError) as error:
            raise AssertionError(f"{found.slug} {name} {values} {length}: {type(error).__name__}: {error}") from error
        assert from_record(json.loads(plan.json()), type(plan.system)).id == plan.id
        return "plan"

    outcomes = each(cases, 1, case)
    assert min(outcomes["plan"], outcomes["sentence"]) > cases / 10


@amounts(25, 500)
def test_any_controls_of_a_run(cases, installed, tmp_path):
    """The toy with any values and lengths that pass, carried out: it ends, or a sentence says why not."""
    scheduler = Scheduler(Store(tmp_path))
    specs = controls(installed.system_class())

    def case(random: np.random.Generator) -> str:
        values = {name: a_value(random, spec) for name, spec in specs.items() if random.integers(2)}
        steps = (0, 1, 7, 300, 10**12)[random.integers(5)]
        try:
            length = {"steps": steps, "frames": int(random.integers(1, 20)), "seed": int(random.integers(3))}
            run = installed.run(**values, **length, scheduler=scheduler)
        except SENTENCES as error:
            return said(error)
        if steps > 1000:
            run.cancel()
        run.wait(SECONDS)
        assert run.ended, run.status
        return "sentence" if run.status == "failed" and said(RunError(run.error)) else run.status

    outcomes = each(cases, 2, case)
    scheduler.close()
    assert outcomes["finished"] and outcomes["sentence"]


@amounts(250, 3000)
def test_any_address(cases):
    """Queries of every lab's page: a state that makes a plan, and a sentence for each word that could not be used."""
    found = [one for one in sv.labs().values() if not one.missing]

    def case(random: np.random.Generator) -> str:
        chosen = found[random.integers(len(found))]
        specs = controls(chosen.system_class())
        words = [*specs, *link.OWN, "over", "values", "again", "colour", "hide", "lock", "layout", "", "__class__", "lab.x"]
        items = [("lab", chosen.slug)]
        for _ in range(random.integers(1, 8)):
            word = str(words[random.integers(len(words))]) if random.integers(6) else a_word(random)
            items.append((word, a_word(random)))
        if random.integers(3) == 0:  # a link of ours with a piece of it changed
            text = list(link.write(chosen, link.default(chosen)))
            for _ in range(random.integers(1, 6)):
                text[random.integers(len(text))] = chr(int(random.integers(32, 0x3FF)))
            query = "".join(text)
        else:
            query = "?" + urlencode(items)
        state = link.read(chosen, query)
        for problem in state.problems:
            said(ValueError(problem))
        plan = state.plan(chosen)
        again = link.read(chosen, link.write(chosen, state))
        assert again.plan(chosen).id == plan.id, "the link that it writes is another run"
        return "with problems" if state.problems else "as it is"

    assert each(cases, 3, case)["with problems"] > cases / 3


COMMANDS = (
    "labs", "show", "run", "sweep", "runs", "compare", "continue", "fork", "report", "export", "delete", "undelete", "verify", "serve", "",
)
OPTIONS = (
    "--rate", "--cells", "--steps", "--frames", "--seed", "--preset", "--system", "--store", "--set", "--kick", "--axis", "--json",
    "--where", "--lab", "--limit", "--output", "-o", "--help", "--version", "--seeds", "--jobs", "--port", "--max-steps", "--quota",
    "--spacing",
    "--align",
)  # fmt: skip
LONG = ("verify", "serve")
"""Commands that go on for ever when they are right; they get what cannot be right."""


@amounts(120, 1500)
def test_any_command_line(cases, installed, tmp_path, monkeypatch, capsys):
    """Exit status 0, 1 or 2, sentences on the error stream, no traceback; nothing outside the folder is written."""
    store = tmp_path / "store"
    monkeypatch.setenv("STABVIZ_STORE", str(store))
    monkeypatch.chdir(tmp_path)
    run = installed.run(steps=5, frames=2, scheduler=(scheduler := Scheduler(Store(store)))).wait()
    scheduler.close()
    known = ("toy", run.id, run.id[:6], "toy", "rate=0.5", "rate=0.1:0.9:3", "5:kick:size=1", "2:rate=0.3", "7")

    def case(random: np.random.Generator) -> str:
        command = str(COMMANDS[random.integers(len(COMMANDS))]) if random.integers(12) else a_word(random)
        argv = [command]
        for _ in range(random.integers(0, 6)):
            kind = random.integers(3)
            pool = OPTIONS if kind == 0 else known
            argv.append(a_word(random) if kind == 2 else str(pool[random.integers(len(pool))]))
        if command in ("run", "sweep", "continue", "fork"):
            argv += ["--steps", str(random.integers(0, 30))]
        if command in LONG:
            argv += ["--seeds", "none", "--port", "none"]
        code = exit_status([word for word in argv if "\0" not in word])
        captured = capsys.readouterr()
        assert code in (0, 1, 2), (argv, code, captured.err)
        assert "Traceback" not in captured.err, (argv, captured.err)
        assert code == 0 or captured.err.strip(), f"{argv} fails and says nothing"
        return {0: "done", 1: "failed", 2: "sentence"}[code]

    outcomes = each(cases, 4, case)
    with capsys.disabled():
        print(f"{cases:,} command lines: {dict(outcomes)}")
    assert outcomes["done"] and outcomes["sentence"] > cases / 4


def exit_status(argv: list[str]) -> int:
    """What a shell would get; `--help` and usage errors leave by SystemExit."""
    try:
        return main(argv)
    except SystemExit as end:
        return int(end.code or 0)


@amounts(60, 1000)
def test_any_store_folder(cases, installed, tmp_path):
    """A store with a run of which something is changed: bytes, lengths, names, JSON. It is listed, and opened or told to be damaged."""
    whole = tmp_path / "whole"
    scheduler = Scheduler(Store(whole))
    run = installed.run(steps=60, frames=20, scheduler=scheduler).wait()
    other = installed.run(steps=60, frames=20, seed=9, scheduler=scheduler).wait()
    exact, seen = Store(whole).open(run.id).load(), other.dataset.copy(deep=True)
    scheduler.close()
    files = sorted(p.relative_to(whole) for p in (whole / run.id).rglob("*") if p.is_file())
    plan = installed.plan(steps=60, frames=20)

    def case(random: np.random.Generator) -> str:
        place = tmp_path / "case"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place)
        for _ in range(random.integers(1, 3)):
            spoil(place / files[random.integers(len(files))], random)
        store = Store(place)
        listed = {row.info.id for row in listing.rows(store)}
        assert other.id in listed, "the run beside it is not listed"
        assert store.open(other.id).load().equals(seen)
        try:
            ds = store.open(run.id).load()
            outcome = "whole" if ds.equals(exact) else "other"
        except StoreError as error:
            outcome = said(error)
        if random.integers(4) == 0:  # and asked for again, it ends all the same
            again = Scheduler(store)
            try:
                run_again = again.submit(plan, lab=installed).wait(SECONDS)
                assert run_again.ended and (run_again.status == "finished" or said(RunError(run_again.error)))
            except SENTENCES as error:
                said(error)
            finally:
                again.close()
        return outcome

    outcomes = each(cases, 5, case)
    assert outcomes["sentence"] and not jax.config.read("jax_enable_x64")


def spoil(path, random: np.random.Generator) -> None:
    """Change a file as a bad disk, a stopped copy or a curious person would."""
    kind = random.integers(7)
    data = bytearray(path.read_bytes()) if path.is_file() else bytearray()
    if path.is_dir():
        return
    if kind == 0:
        path.unlink(missing_ok=True)
    elif kind == 1:
        path.write_bytes(bytes(data[: random.integers(0, len(data) + 1)]))
    elif kind == 2 and data:
        for _ in range(random.integers(1, 20)):
            data[random.integers(len(data))] = random.integers(256)
        path.write_bytes(bytes(data))
    elif kind == 3:
        path.write_bytes(random.bytes(int(random.integers(0, 3000))))
    elif kind == 4 and path.suffix == ".json" and path.is_file():
        with contextlib.suppress(ValueError):
            path.write_text(json.dumps(changed(json.loads(bytes(data)), random)))
    elif kind == 5 and path.is_file():
        path.rename(path.with_name(path.name + "x"))
    else:
        path.unlink(missing_ok=True)
        path.mkdir(exist_ok=True)


def changed(thing: object, random: np.random.Generator) -> object:
    """A piece of JSON with one value somewhere replaced."""
    odd = (None, -1, 1e308, "", "x" * 300, [], {}, True, 10**12, "../..", {"a": [1]})
    if isinstance(thing, dict) and thing and random.integers(8):
        key = list(thing)[random.integers(len(thing))]
        return {**thing, key: changed(thing[key], random)}
    if isinstance(thing, list) and thing and random.integers(8):
        at = int(random.integers(len(thing)))
        return [*thing[:at], changed(thing[at], random), *thing[at + 1 :]]
    return odd[random.integers(len(odd))]
