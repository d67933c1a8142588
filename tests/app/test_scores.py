"""The Scoreboard page, and links to what decides a claim."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import pytest

import stabviz as sv
from stabviz import scoreboard
from stabviz.app import gallery, link, scores
from stabviz.lab import Claim, Paper, Verdict
from stabviz.scoreboard import Board, Row, Trial
from stabviz.studies import Study

PLACE = {"cpu": "Slow <1>", "cores": 2, "system": "Linux", "versions": {"python": "3.11", "jax": "0.10"}}
LAB = SimpleNamespace(title="SGD & co", wing="training")


def row(claim: str, *holds: bool | None, lab: str = "sgd_stability", **more) -> Row:
    """A row; its numbers are 1, 2, ..."""
    trials = tuple(
        Trial(i, h, f"measured {i}", float(i + 1), "" if h is not None else "nobody knows", seconds=float(i)) for i, h in enumerate(holds)
    )
    given = {"statement": f"{claim}: $x < 1$", "paper": "< 1", "tolerance": "exact", "kind": "paper", "source": "Theorem 1"}
    return Row(lab, claim, date="2026-11-25", place=0, trials=more.pop("trials", trials), **{**given, **more})


BOARD = Board(
    (
        row("yes", True, True, True), row("part", True, False, True), row("no", False, kind="derived"), row("open", None),
        row("broke", trials=(Trial(0, error="it <broke>"),)), row("far", True, lab="elsewhere"),
    ),
    (PLACE,),
)  # fmt: skip


def test_each_claim_is_a_row_with_what_does_not_hold_said():
    html = scores.body(BOARD, {"sgd_stability": LAB})
    lines = re.findall(r"<tr data-lab.*?</tr>", html)
    assert len(lines) == 6
    assert [re.search(r'data-verdict="([^"]*)"', line)[1] for line in lines] == ["holds", "in part", "fails", "open", "error", "holds"]
    assert "3 of 3" in lines[0] and "seed" not in lines[0]
    assert "2 of 3" in lines[1] and "seed 1: measured 1" in lines[1]
    assert "0 of 1" in lines[2] and "derived" in lines[2]
    assert "seed 0: nobody knows" in lines[3] or "nobody knows" in lines[3]
    assert "it &lt;broke&gt;" in lines[4] and "<broke>" not in html
    assert 'href="?lab=sgd_stability&amp;claim=yes"' in lines[0]
    assert "href" not in lines[5] and "elsewhere" in lines[5]  # its lab is not installed
    assert "2<p" in lines[0] and "1 … 3" in lines[0]


def test_the_head_says_when_where_and_with_what():
    html = scores.body(BOARD, {"sgd_stability": LAB})
    assert "25 November 2026, on Slow &lt;1&gt;, 2 cores, Linux: python 3.11, jax 0.10" in html
    assert "stabviz verify" in html
    assert re.findall(r'<button class="chip"[^>]*>([^<]*)', html) == [
        "All wings", "Training 5", "Your own 1", "All verdicts", "holds 2", "holds in part 1", "does not hold 1", "open 1",
        "could not be judged 1",
    ]  # fmt: skip
    assert "SGD &amp; co (5)" in html


def test_cards_say_how_many_claims_hold():
    claims = [SimpleNamespace(statement="s", kind=kind) for kind in ("paper", "derived", "shown")]
    lab = SimpleNamespace(wing="training", title="T", tagline="t", paper=Paper("P", "A B", 2020), claims=claims, thumbnail="")
    assert ["hold</b>" in gallery.card("one", lab, score) for score in (None, (1, 2))] == [False, True]
    assert "<b>1 of 2 hold</b>" in gallery.card("one", lab, (1, 2))
    assert "<b>1 of 1 judged hold</b>" in gallery.card("one", lab, (1, 1))


def test_an_empty_or_damaged_file_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(scoreboard, "own_path", lambda: tmp_path / "s.json")
    monkeypatch.setattr(scoreboard, "shipped_path", lambda: tmp_path / "none.json")
    assert "stabviz verify" in scores.body(*((found := scores.current())[0], {}, found[1]))
    (tmp_path / "s.json").write_text("{")
    assert scores.current()[0] == Board()
    assert "s.json is no scoreboard" in scores.current()[1]


def test_a_link_to_a_claim_is_the_state_that_decides_it():
    lab = sv.lab("sgd_stability")
    state = link.read(lab, "?lab=sgd_stability&claim=relu_gd")
    assert (state.system, state.claim, state.problems) == ("relu", "relu_gd", [])
    assert (state.steps, state.frames, state.values["batch_size"], state.values["learning_rate"]) == (1500, 20, 300, 0.01)
    again = link.read(lab, link.write(lab, state))
    assert again == state
    turned = link.read(lab, "?lab=sgd_stability&claim=relu_gd&learning_rate=0.02")
    assert (turned.values["learning_rate"], turned.steps) == (0.02, 1500)
    assert "no claim of this lab: 'nothing'" in link.read(lab, "?lab=sgd_stability&claim=nothing").problems[0]
    assert link.read(lab, "?lab=sgd_stability").claim == ""


def test_a_claim_pointed_at_is_first_and_comes_from_the_store(toy, tmp_path, monkeypatch):
    from stabviz.app.lab_page import LabPage
    from stabviz.scheduler import Scheduler

    decided = Claim("decided", "It stays", "< 9", "exact", lambda ds: Verdict(True, "so"),
                    study=Study(axes={"rate": (0.5, 0.6)}, steps=4, frames=2))  # fmt: skip
    monkeypatch.setitem(toy.__dict__, "claims", (*toy.claims, decided))
    monkeypatch.setattr(scoreboard, "own_path", lambda: tmp_path / "s.json")
    scheduler = Scheduler(sv.Store(str(tmp_path / "store")))
    page = LabPage(toy, "?lab=toy&claim=decided", scheduler)
    try:
        first = page.claims.cards[0]
        assert (page.claims.here, first["slug"], first["action"]) == ("decided", "decided", "Run it")  # not judged yet: nothing starts
        assert not scheduler.runs() or all(run.status != "running" for run in scheduler.runs())
        job = toy.evidence("decided", scheduler)[""].wait()
        scoreboard.save(Board((row("decided", lab="toy", trials=(Trial(0, True, studies=(job.id,)),)),), (PLACE,)))
    finally:
        page.close()
    page = LabPage(toy, "?lab=toy&claim=decided", scheduler)
    try:
        end = time.monotonic() + 30
        while (card := page.evidence.cards(None)[0])["mark"] == "running" and time.monotonic() < end:
            time.sleep(0.02)
        assert (card["slug"], card["mark"], card["measured"]) == ("decided", "holds", "so")
    finally:
        page.close()
        scheduler.close()


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A scoreboard of three hundred claims."""
    verdicts = ((True, True), (True, False), (False,), (None,))
    rows = [row(f"claim{i}", *verdicts[i % 4], lab=("sgd_stability", "chaos_forecasting")[i % 2]) for i in range(300)]
    monkeypatch.setattr(scoreboard, "own_path", lambda: tmp_path / "s.json")
    scoreboard.save(Board(tuple(rows), (PLACE,)))


def test_the_page_filters_sorts_and_opens(page, url, quiet, many):
    page.goto(url)
    page.get_by_role("link", name="Scoreboard").click()
    rows = page.locator(".board tbody tr:visible")
    status = page.locator("[data-count]")
    page.wait_for_function("() => document.querySelector('[data-count]')?.textContent === '300 claims'")
    for width in (390, 700, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Chaos 150").click()
    assert (rows.count(), status.text_content()) == (150, "150 of 300 claims")
    page.get_by_role("button", name="does not hold 75").click()
    assert rows.count() == 0 and page.get_by_text("No claim is so.").is_visible()
    page.get_by_role("button", name="All wings").click()
    page.get_by_label("Lab", exact=True).select_option("sgd_stability")
    assert rows.count() == 75
    page.get_by_role("button", name="All verdicts").click()
    page.keyboard.press("/")
    page.keyboard.type("claim29 measured")
    assert rows.count() == 5  # claim290, claim292, ...: the odd ones are of the other lab
    page.get_by_role("button", name="Claim", exact=True).press("Enter")
    page.get_by_role("button", name="Claim", exact=True).press("Enter")
    assert page.locator("th[aria-sort=descending]").count() == 1
    texts = rows.locator("td.c-claim a").all_text_contents()
    assert texts == sorted(texts, reverse=True)
    page.reload()
    page.wait_for_function("() => /of 300/.test(document.querySelector('[data-count]')?.textContent)")
    assert rows.locator("td.c-claim a").all_text_contents() == texts  # the link has it all
    rows.first.locator("td.c-claim a").press("Enter")
    page.wait_for_url("**/?lab=sgd_stability&claim=claim29*")
