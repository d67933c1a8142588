"""The scoreboard: how claims are judged for several seeds, its file, its page, and that what is shipped is what comes out."""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import json
import random
import re
import sys
import textwrap

import pytest

import stabviz as sv
from stabviz import scoreboard
from stabviz.cli import main
from stabviz.lab import offer, withdraw
from stabviz.scheduler import Scheduler
from stabviz.scoreboard import Board, Row, ScoreboardError, Trial
from stabviz.studies import Study
from stabviz.verification import studies_of, trial, verify

CHEAP = 3.0
"""Seconds on record of what the default run recomputes; they were measured on a busy machine, with the compilation."""

TOY = """
import os

import jax
import jax.numpy as jnp

import stabviz as sv
from stabviz.lab import Claim, Lab, Verdict
from stabviz.studies import Study


class Drawn(sv.System):
    '''x' = pull x, from a random start.'''

    pull: float = sv.control(0.5, bounds=(0.0, 2.0), doc="multiplier")
    breaks: bool = sv.control(False, doc="raise when it begins")
    observables = {"x": sv.Observable("position")}

    def init(self, problem, key):
        if self.breaks:
            raise ValueError("it breaks here")
        return jax.random.uniform(key)

    def step(self, problem, x, key, k):
        return self.pull * x

    def observe(self, problem, x):
        return {"x": x}

    def schedule(self):
        return sv.Schedule(4, 4)


def number(ds):
    return float(ds["x"].values.ravel()[0])


def starts(ds):
    return Verdict(True, f"{number(ds):.3f}", number(ds))


def pinned(ds):
    SEEN.append(number(ds))
    return Verdict(number(ds) == SEEN[0], f"{number(ds):.3f}", number(ds))


def broken(ds):
    raise ZeroDivisionError("no number")


def dies(ds):
    os._exit(7)


SEEN = []
ONE = Study(axes={"seed": (0, 1)}, steps=4, frames=4)
CLAIMS = [
    Claim("starts", "It starts somewhere: $x < 1$", "0 to 1", "all", starts, study=ONE),
    Claim("never", "It starts <below> zero", "< 0", "all", lambda ds: Verdict(False, "above", number(ds)), study=ONE),
    Claim("once", "It starts where it did", "there", "1e-6", pinned, study=Study(axes={"pull": (0.25,)}, steps=4, frames=4)),
    Claim("open", "It ends", "some day", "", lambda ds: Verdict(None, reason="nobody waits"), study=ONE),
    Claim("raises", "It divides", "1/0", "", broken, study=ONE),
    Claim("fails", "It breaks", "never", "", starts, study=Study(controls={"breaks": True}, axes={"pull": (0.5,)})),
    Claim("shown", "It is shown", "so", "", lambda ds: Verdict(None, "a picture"), kind="shown", study=ONE),
    Claim("any", "Any run will do", "yes", "", starts, on_run=True),
    Claim("nothing", "Nothing decides it", "no", "", starts),
]
lab = Lab(__name__, title="Drawn", wing="chaos", tagline="From a random start.")
lab.__dict__.update(systems={"drawn": Drawn}, claims=tuple(CLAIMS), views=(), experiments=(), text="", thumbnail="")
if os.environ.get("TOY_DIES"):
    dying = Claim("dies", "It dies", "", "", dies, study=Study(axes={"pull": (0.125,)}))
    lab.__dict__["claims"] = (dying, *(c for c in CLAIMS if c.slug == "starts"))
"""


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A lab of claims of all kinds, as a package that other processes can import."""
    (tmp_path / "drawn_lab.py").write_text(textwrap.dedent(TOY))
    monkeypatch.syspath_prepend(tmp_path)
    lab = offer(importlib.import_module("drawn_lab").lab)
    yield lab
    withdraw(lab.slug)
    del sys.modules["drawn_lab"]


ONE_TRIAL = (Trial(0, True, "1", 1.0, seconds=2.0),)


def rows(lab, tmp_path, **options) -> dict[str, Row]:
    store = sv.Store(str(tmp_path / "runs"))
    made = verify({lab.slug: lab.claims}, {lab.slug: lab}, store, say=lambda text: None, **options)
    return {row.claim: row for row in made}


def made(claim="a", lab="one", trials=ONE_TRIAL, **more) -> Row:
    given = {"statement": "s", "paper": "p", "tolerance": "t", "kind": "paper", "source": "x", "date": "2026-11-25", "place": 0}
    return Row(lab, claim, trials=tuple(trials), **{**given, **more})


PLACE = {"cpu": "slow", "cores": 2, "system": "Linux", "versions": {"python": "3"}}


# -- judged for several seeds --------------------------------------------------------------------------------


def test_each_claim_is_a_row_whatever_becomes_of_the_others(drawn, tmp_path):
    found = rows(drawn, tmp_path, seeds=3)
    assert {slug: row.score for slug, row in found.items()} == {
        "starts": "3 of 3", "never": "0 of 3", "once": "1 of 3", "open": "open", "raises": "error", "fails": "error", "shown": "shown",
        "any": "3 of 3", "nothing": "open",
    }  # fmt: skip
    assert found["raises"].reason == "ZeroDivisionError: no number"
    assert "ValueError: it breaks here" in found["fails"].reason
    assert found["open"].reason == "nobody waits"
    values = found["starts"].values
    assert len(set(values)) == 3  # other random numbers with each seed
    assert found["starts"].spread == f"{sorted(values)[1]:.4g} ({min(values):.4g} … {max(values):.4g})"
    assert all(t.seconds is not None for t in found["starts"].trials)
    assert found["starts"].trials[0].studies == found["never"].trials[0].studies


def test_what_the_store_has_is_not_computed_again_and_keeps_its_cost(drawn, tmp_path, monkeypatch):
    first = rows(drawn, tmp_path, seeds=2)
    monkeypatch.setattr("stabviz.study_run.BatchRun._advance", lambda self: pytest.fail("computed again"))
    again = rows(drawn, tmp_path, seeds=2)
    for slug in ("starts", "never", "once", "open"):
        assert again[slug].values == first[slug].values
        assert [t.seconds for t in again[slug].trials] == pytest.approx([t.seconds for t in first[slug].trials], abs=0.02)


def test_dear_claims_are_judged_on_one_seed(drawn, tmp_path):
    found = rows(drawn, tmp_path, seeds=3, limit=1e-6)
    assert [len(found[slug].trials) for slug in ("starts", "once", "nothing")] == [1, 1, 3]


def test_the_cheapest_come_first(drawn, tmp_path):
    cost = {"once": 1.0, "starts": 50.0, "never": 50.0, "open": 50.0, "raises": 50.0, "shown": 50.0, "any": 5.0}
    known = Board(tuple(made(c, drawn.slug, [Trial(0, True, seconds=s)]) for c, s in cost.items()), (PLACE,))
    order = list(rows(drawn, tmp_path, seeds=1, known=known))
    assert order[:2] == ["once", "any"]
    assert set(order[2:7]) == {"starts", "never", "open", "raises", "shown"}  # one study, carried out once


@pytest.mark.claims
def test_a_process_that_dies_takes_only_its_own_claim(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_DIES", "1")
    lab = importlib.reload(sys.modules["drawn_lab"]).lab
    found = rows(lab, tmp_path, seeds=1, jobs=2)
    assert found["dies"].reason == "the process that carried it out ended with code 7"
    assert found["starts"].score == "1 of 1"


def test_a_repeated_study_meets_no_random_number_twice(drawn):
    study = Study(axes={"seed": (3, 5), "noise": range(4)})
    seen = [{(p.seed, p.key_seed("noise")) for p in dataclasses.replace(study, repeat=n).plans(drawn)} for n in range(3)]
    assert seen[0] == {(s, n) for s in (3, 5) for n in range(4)}
    for part in (0, 1):
        used = [{pair[part] for pair in pairs} for pairs in seen]
        assert not (used[0] & used[1] or used[1] & used[2] or used[0] & used[2])
    assert dataclasses.replace(study, repeat=2).labels() == study.labels()
    assert [s.repeat for s in studies_of(drawn.claim("starts"), 2).values()] == [2]


# -- the file ------------------------------------------------------------------------------------------------


def test_the_file_says_all_of_it(tmp_path):
    trials = (Trial(0, True, "1", 1.0, seconds=2.0, studies=("ab",)), Trial(1, False, "2 µ", 3.0, "why"), Trial(2, None, error="it broke"))
    board = Board((made("a", trials=trials), made("b", statement="$x$ < \"y\"")), ({"cpu": "unused"}, PLACE))
    board = dataclasses.replace(board, rows=tuple(dataclasses.replace(r, place=1) for r in board.rows))
    path = scoreboard.save(board, tmp_path / "deep" / "s.json")
    read = scoreboard.load(path)
    assert read.rows == tuple(dataclasses.replace(r, place=0) for r in board.rows)
    assert read.places == (PLACE,)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"seed": ' in line for line in lines) == 4 and not any(line.count('"seed": ') > 1 for line in lines)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema": 99, "rows": []}', '{"schema": 1, "places": [], "rows": [{"lab": 1}]}'])
def test_what_is_no_scoreboard_is_said_in_a_sentence(tmp_path, content):
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(ScoreboardError, match=r"s\.json is .*`stabviz verify`\."):
        scoreboard.load(path)


def test_scores_count_what_holds_with_every_seed():
    kinds = {"yes": [True, True], "part": [True, False], "no": [False], "open": [None]}
    board = Board(tuple(made(c, trials=[Trial(i, h) for i, h in enumerate(hs)]) for c, hs in kinds.items()), (PLACE,))
    board = board.put(made("shown", kind="shown", trials=[Trial(0, None, "seen")])).put(made("z", "two"))
    assert board.scores() == {"one": (1, 4), "two": (1, 1)}
    assert [r.verdict for r in board.rows] == ["holds", "in part", "fails", "open", "shown", "holds"]
    assert [r.claim for r in board.put(made("new")).of("one")][-1] == "new"
    assert [r.claim for r in board.ordered({"one": ["open", "yes"]}).rows] == ["open", "yes", "z"]


def test_an_installed_package_finds_what_was_shipped(tmp_path, monkeypatch):
    own, shipped = tmp_path / "own.json", tmp_path / "shipped.json"
    monkeypatch.setattr(scoreboard, "own_path", lambda: own)
    monkeypatch.setattr(scoreboard, "shipped_path", lambda: shipped)
    assert scoreboard.load() == Board()
    scoreboard.save(Board((made("shipped"),), (PLACE,)), shipped)
    assert scoreboard.load().rows[0].claim == "shipped"
    scoreboard.save(Board((made("mine"),), (PLACE,)))
    assert scoreboard.load().rows[0].claim == "mine"


def test_a_build_carries_the_scoreboard_to_where_it_is_looked_for(repository):
    import tomllib

    wheel = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"data/scoreboard.json": str(scoreboard.shipped_path().relative_to(repository))}
    assert scoreboard.own_path() == repository / "data" / "scoreboard.json"


# -- the command ---------------------------------------------------------------------------------------------


def test_the_command_prints_a_row_a_claim_and_merges_its_file(drawn, tmp_path, capsys):
    path = tmp_path / "s.json"
    scoreboard.save(Board((made("kept", "elsewhere"), made("gone", drawn.slug)), (PLACE,)), path)
    words = ["verify", drawn.slug, "--seeds", "2", "--store", str(tmp_path / "runs"), "--output", str(path)]
    assert main([*words, "--claim", "starts"]) == 0
    assert main(words) == 1  # some do not hold
    out, err = capsys.readouterr()
    assert re.search(r"^drawn_lab +never +0 of 2 .*< 0 +above +It starts <below> zero$", out, re.M)
    assert "drawn_lab starts, seed 1: holds" in err
    read = scoreboard.load(path)
    assert [r.claim for r in read.of(drawn.slug)] == [c.slug for c in drawn.claims]
    assert [(r.claim, read.places[r.place]) for r in read.of("elsewhere")] == [("kept", PLACE)]
    here = read.places[read.row(drawn.slug, "starts").place]
    assert here["versions"]["stabviz"] == sv.__version__ and here["cores"] >= 1 and "jax" in here["versions"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nolab"], "has no lab 'nolab'"),
        (["--claim", "strats"], "did you mean starts"),
        (["--seeds", "0"], "seeds cannot be 0"),
        (["--jobs", "many"], "jobs cannot be 'many'"),
        (["--limit", "-1"], "limit cannot be -1"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(drawn, tmp_path, capsys, words, said):
    assert main(["verify", *([] if words[0] == "nolab" else [drawn.slug]), *words, "--output", str(tmp_path / "s.json")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s.json").exists()


def test_ctrl_c_keeps_the_rows_that_are_done(drawn, tmp_path, monkeypatch, capsys):
    def broken_off(*args, **options):
        yield made("starts", drawn.slug)
        raise KeyboardInterrupt

    monkeypatch.setattr("stabviz.verification.verify", broken_off)
    assert main(["verify", drawn.slug, "--output", str(tmp_path / "s.json"), "--store", str(tmp_path / "runs")]) == 130
    assert [r.claim for r in scoreboard.load(tmp_path / "s.json").rows] == ["starts"]
    assert "goes on" in capsys.readouterr().err


# -- what is shipped -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Board:
    board = scoreboard.load()
    assert board.rows, "data/scoreboard.json has no rows: compute it with `stabviz verify`"
    return board


def test_the_shipped_rows_are_of_the_claims_that_there_are(shipped):
    stale = []
    for slug, lab in sv.labs().items():
        if lab.missing:
            continue
        claims = {c.slug: c for c in lab.claims}
        for row in shipped.of(slug):
            claim = claims.get(row.claim)
            now = claim and (claim.statement, claim.expected, claim.tolerance, claim.kind)
            if now != (row.statement, row.paper, row.tolerance, row.kind):
                stale.append(f"{slug} --claim {row.claim}")
    assert stale == [], "these claims were changed since: stabviz verify " + ", ".join(stale)


def test_the_shipped_file_names_no_machine_and_is_as_it_would_be_written(shipped, repository):
    content = (repository / "data" / "scoreboard.json").read_text(encoding="utf-8")
    assert content == scoreboard.text(shipped)
    assert set(shipped.places[0]) == {"cpu", "cores", "system", "versions"}
    assert all(datetime.date.fromisoformat(r.date) for r in shipped.rows)
    assert json.loads(content)["schema"] == scoreboard.SCHEMA


def recompute(shipped: Board, most: float, count: int, store) -> None:
    """A few trials chosen at random, carried out again in an empty store and compared with what is written. The first of a row compiles
    for the others: what it took says what it will cost here."""
    day = datetime.date.today().isoformat()
    able = {slug for slug, lab in sv.labs().items() if not lab.missing}
    known = sorted((r for r in shipped.rows if r.lab in able and r.trials[0].seconds), key=lambda r: r.trials[0].seconds)
    cheap = known[: max(4, sum(r.trials[0].seconds < most for r in known))]
    draw = random.Random(day)
    chosen = [(r, draw.choice(r.trials)) for r in draw.sample(cheap, min(count, len(cheap)))]
    print(day, [(r.lab, r.claim, t.seed) for r, t in chosen])
    scheduler = Scheduler(store)
    try:
        for row, old in chosen:
            lab = sv.lab(row.lab)
            new = trial(lab, lab.claim(row.claim), old.seed, scheduler)
            where = f"{row.lab} {row.claim}, seed {old.seed} (of {day}): {old} is now {new}"
            assert (new.holds, bool(new.error)) == (old.holds, bool(old.error)), where
            assert (new.value is None) == (old.value is None), where
            if old.value is not None:
                allowed = max(max(row.values) - min(row.values), 1e-3 * abs(old.value), 1e-9)
                assert abs(new.value - old.value) <= allowed, where
    finally:
        scheduler.close()


def test_one_of_the_shipped_rows_comes_out_again(shipped, store_url):
    """Another one each day; eight of them under `claims`."""
    recompute(shipped, CHEAP, 1, sv.Store(store_url))


@pytest.mark.claims
@pytest.mark.timeout(3600)
def test_more_of_the_shipped_rows_come_out_again(shipped, store_url):
    recompute(shipped, 120.0, 8, sv.Store(store_url))
