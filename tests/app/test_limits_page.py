"""Limits on the pages: told before, refused whatever the browser sends; a server that is read only, and one that has a name."""

from __future__ import annotations

import socket
import time

import pytest
from toy_lab import PAUSE

from stabviz.app import serve
from stabviz.app.components import Browser
from stabviz.app.lab_page import LabPage
from stabviz.app.main import _from_environment, limited
from stabviz.app.runs import RunsPage
from stabviz.cli import main
from stabviz.lab import Claim, Verdict, offer, withdraw
from stabviz.limits import READ_ONLY, Limits
from stabviz.scheduler import Scheduler
from stabviz.store import Store
from stabviz.studies import Study

SHORT = "?lab=toy&steps=40&frames=10"
LONG = "?lab=toy&steps=1000000&frames=2000"


@pytest.fixture(scope="module")
def lab(toy):
    """The toy lab, as if it were installed, without pauses, with a claim that two studies decide."""
    before, PAUSE["seconds"], claims = PAUSE["seconds"], 0.0, toy.claims
    study = Study(axes={"rate": [0.1, 0.2]}, steps=10**6, frames=10)
    toy.__dict__["claims"] = (*claims, Claim("many", "It grows", "", "", lambda **ds: Verdict(True), study={"a": study, "b": study}))
    yield offer(toy)
    withdraw(toy.slug)
    toy.__dict__["claims"] = claims
    PAUSE["seconds"] = before


@pytest.fixture(scope="module")
def stored(lab, tmp_path_factory):
    """A store with one run."""
    folder = tmp_path_factory.mktemp("limited") / "store"
    scheduler = Scheduler(Store(folder))
    run = lab.run(steps=40, frames=10, scheduler=scheduler).wait()
    scheduler.close()
    return folder, run


@pytest.fixture
def opened(lab, stored):
    """Makes pages of a server with limits."""
    schedulers, pages = [], []

    def make(query, **limits):
        if limits:
            schedulers.append(limited(stored[0], Limits(**limits)))
        pages.append(LabPage(lab, query, schedulers[-1]))
        return pages[-1]

    yield make
    for page in pages:
        page.close()
    for scheduler in schedulers:
        scheduler.close()


def send(component, event, **fields):
    """What a browser, or somebody who plays one, sends."""
    component._handle_msg({"event": event, **fields})


def until(fact, seconds=60.0):
    end = time.monotonic() + seconds
    while not fact() and time.monotonic() < end:
        time.sleep(0.02)
    assert fact()


def test_what_would_be_refused_is_told_before_and_refused_when_sent(opened, lab):
    page = opened(LONG, max_steps=1000, max_cases=10, max_memory=1e9)
    assert "1,000,000 steps, and 1,000 is the most here" in page.notice.object
    for event in ("run", "step"):
        page.tell("")
        send(page.bar, event)
        assert page.run is None and "1,000 is the most here" in page.notice.object
    send(page.controls, "settled", name="steps", value=40)
    send(page.bar, "run")
    page.run.wait(60)
    assert page.run.status == "finished"
    send(page.controls, "settled", name="steps", value=999)
    assert "most here" not in page.notice.object
    page.sweeper.show()
    page.sweeper.set({**page.sweeper.card.setting, "x": "rate", "x_low": 0.1, "x_high": 0.9, "x_n": 30})
    assert page.sweeper.card.note == "30 points; 10 is the most here: take fewer of them."
    send(page.sweeper.card, "start")
    until(lambda: (page.sweeper.tick(), not page.sweeper.card.busy)[1])
    assert "30 points, and 10 is the most here" in page.sweeper.card.note
    assert len(page.scheduler.runs()) == 1


def test_a_session_gets_no_more_runs_than_it_may(opened, lab):
    page = opened(LONG, runs_per_session=1)
    for seed in (1, 2, 3):  # one takes the place of the other
        send(page.controls, "seed", value=seed)
        send(page.bar, "run")
        assert page.run.plan.seed == seed and page.visitor.going == 1
    until(lambda: sum(not run.ended for run in page.scheduler.runs()) == 1)  # those that were left are stopped
    send(page.claims, "act", slug="many")
    card = next(card for card in page.evidence.cards(page.run) if card["slug"] == "many")
    assert "You have one run under way" in card["reason"] and page.visitor.going == 1
    page.sweeper.show()
    send(page.sweeper.card, "start")
    until(lambda: (page.sweeper.tick(), not page.sweeper.card.busy)[1])
    assert "1 at once is the most here" in page.sweeper.card.note
    other = opened(LONG)
    send(other.controls, "seed", value=9)
    send(other.bar, "run")
    assert other.run is not None
    table = RunsPage(page.scheduler, {}, Browser())
    table.visitor.watch(other.run)
    said = []
    table.table.say = lambda text, **more: said.append(text)
    broken = page.run.id
    page.run.cancel()
    page.run.wait(60)
    send(table.table, "proceed", ids=[broken])
    until(lambda: (table.tick(), said)[1])
    assert "1 at once is the most here" in said[0]
    table.close()


def test_a_read_only_page_opens_and_cannot_do_more(opened, stored):
    page = opened(SHORT, read_only=True)
    page.run.wait(60)
    page._show_bar()
    assert page.run.frames == 11 and READ_ONLY in page.notice.object
    assert page.bar.can == {"run": False, "step": False, "reset": True} and {"touch", "live"} <= set(page.controls.hidden)
    assert all(item["why"] for item in page.bench.cards.items) and not page.quiz.card.visible
    assert all(not card.get("action") for card in page.evidence.cards(page.run))
    page.sweeper.show()
    assert not page.sweeper.card.may and page.sweeper.card.note == READ_ONLY
    before = page.run
    for component, event, fields in (
        (page.bar, "run", {}), (page.bar, "step", {}), (page.controls, "kick", {"name": "kick", "args": {}}),
        (page.claims, "act", {"slug": "many"}),
        (page.bench.cards, "take", {"word": "twin"}), (page.bench.cards, "here", {}), (page.controls, "live_switch", {"on": True}),
        (page.controls, "settled", {"name": "rate", "value": 0.3}), (page.bar, "run", {}), (page.quiz.card, "choose", {"index": 0}),
    ):  # fmt: skip
        send(component, event, **fields)
        assert page.run in (None, before) and not page.state.live
    assert [run.id for run in page.scheduler.runs()] == [before.id]
    table = RunsPage(page.scheduler, {}, Browser())
    assert table.table.may == {"delete": False, "go_on": False} and table.table.told == READ_ONLY
    said = []
    table.table.say = lambda text, **more: said.append(text)
    for event in ("delete", "undo", "proceed"):
        send(table.table, event, ids=[before.id])
    until(lambda: (table.tick(), len(said) >= 2)[1])
    assert all("read only" in text or "finished" in text for text in said)
    assert Store(stored[0]).exists(before.id)
    table.close()


def test_visitors_of_a_public_server_delete_nothing(opened, stored):
    page = opened(SHORT, deleting=False)
    table = RunsPage(page.scheduler, {}, Browser())
    assert table.table.may == {"delete": False, "go_on": True}
    said = []
    table.table.say = lambda text, **more: said.append(text)
    send(table.table, "delete", ids=[stored[1].id])
    until(lambda: (table.tick(), said)[1])
    assert said == ["Visitors of this server delete nothing: ask whoever keeps it."] and Store(stored[0]).exists(stored[1].id)
    table.close()


def test_a_server_answers_to_its_names_only(lab, stored):
    folder, run = stored
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(port=port, store=str(folder), threaded=True, limits=Limits(read_only=True, hosts=("example.org",)))

    def asked(path, host, **headers):
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in (headers or {"Connection": "close"}).items())
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
            if headers:
                return connection.recv(4096).decode("utf-8", "replace")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode("utf-8", "replace")

    try:
        assert " 200 " in asked(f"runs/{run.id}.nc", "example.org").splitlines()[0]
        assert " 421 " in asked(f"runs/{run.id}.nc", "evil.com").splitlines()[0]
        socket_words = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
        socket_words["Sec_WebSocket_Key"] = "x" * 22 + "=="
        answers = {origin: asked("ws", "example.org", Origin=f"http://{origin}", **socket_words).splitlines()[0]
                   for origin in ("evil.com", f"evil.com:{port}", "example.org.evil.com")}  # fmt: skip
        assert all(" 403 " in answer for answer in answers.values()), answers
        assert " 403 " not in asked("ws", "example.org", Origin=f"http://example.org:{port}", **socket_words).splitlines()[0]
        page = asked("?lab=toy", "evil.com")
        assert "does not go by the name" in page and "Toy" not in page
    finally:
        server.stop()


def test_the_environment_limits_what_panel_serves(monkeypatch, store_url):
    for name, text in (("MAX_STEPS", "70"), ("QUOTA", "3GB"), ("READ_ONLY", "no")):
        monkeypatch.setenv(f"STABVIZ_{name}", text)
    scheduler = _from_environment()
    scheduler.close()
    assert scheduler.limits == Limits(max_steps=70, quota=3e9)
    assert scheduler.store.url == store_url and scheduler.store.quota.most == 3e9


def test_the_command_hands_the_limits_on(monkeypatch):
    handed = {}
    monkeypatch.setattr("stabviz.app.serve", lambda file, **options: handed.update(options))
    assert main(["serve", "--public", "--max-steps", "500", "--quota", "5GB", "--allow-host", "example.org", "--allow-host", "b.org"]) == 0
    assert handed["limits"] == Limits.public(max_steps=500, quota=5e9, hosts=("example.org", "b.org"))
    assert main(["serve", "--read-only"]) == 0 and handed["limits"] == Limits(read_only=True)
    assert main(["serve"]) == 0 and handed["limits"] is None
