"""The head of a page is sent before the page is made."""

from __future__ import annotations

import re
import socket
import threading
import urllib.request

import pytest

import stabviz as sv
from stabviz.app import early, main


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Address of a server, and a lock that keeps its pages from being made."""
    gate = threading.Lock()
    patch, build = pytest.MonkeyPatch(), main.build

    def held(*args):
        with gate:
            return build(*args)

    patch.setattr(main, "build", held)
    server = sv.serve(port=0, show=False, threaded=True, store=tmp_path_factory.mktemp("store"))
    yield f"http://127.0.0.1:{server.port}/", gate
    server.stop()
    patch.undo()


def fetched(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read().decode()


def plain(html: str) -> str:
    """A page without what is another in each session."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|p\d+|\"token\":\"[^\"]+\"", "", html)


def test_the_head_comes_while_the_page_is_being_made_and_the_page_is_the_same(served):
    url, gate = served
    address = url + "?lab=sgd_stability"
    first = fetched(address)
    with gate, urllib.request.urlopen(address, timeout=60) as answer:
        head = answer.read(20_000).decode()
        assert first.startswith(head), "the page is not made yet"
        assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Content-Type"].startswith("text/html")
        gate.release()
        rest = answer.read().decode()
        gate.acquire()
    assert plain(head + rest) == plain(first)
    assert first.index("<script") < first.index(early.OWN) < first.index("<title>SGD")


QUERIES = ("?page=runs", "?page=scoreboard", "", "?lab=phase_spiral", "?lab=none", "?lab=sgd_stability&layout=compact")


@pytest.mark.parametrize("query", QUERIES)
def test_every_page_is_whole_again_and_again(served, query):
    url, _ = served
    pages = [fetched(url + query) for _ in range(3)]
    for page in pages:
        for word in ("<!DOCTYPE html>", "<head>", "</head>", '<meta name="description"', "</html>", early.OWN):
            assert page.count(word) == 1, word
        assert page.count("bokeh.min.js") == page.count("panel.min.js") == 1
        assert "mathjax" not in page.lower(), "1.8 MB that no page needs"
    assert plain(pages[1]) == plain(pages[2])


def test_a_script_that_an_earlier_head_did_not_have_is_there_all_the_same(served):
    url, _ = served
    whole = fetched(url + "?lab=sgd_stability")
    script = next(line for line in whole.splitlines() if "panel.min.js" in line)
    for heads in early.Page._heads.values():
        for kind in heads:
            heads[kind] = "\n".join(line for line in heads[kind].splitlines() if line != script)
    late = fetched(url + "?lab=sgd_stability")
    assert late.count(script) == 1 and late.index(early.OWN) > late.index(script)
    assert fetched(url + "?lab=sgd_stability").index("<style data-stabviz>") > late.index("<head>")


def test_a_visitor_who_goes_at_once_costs_no_page_and_no_word(served, caplog):
    url, gate = served
    fetched(url + "?lab=sgd_stability")
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with gate:
        for _ in range(5):
            with socket.create_connection((host, int(port))) as visitor:
                visitor.sendall(b"GET /?lab=sgd_stability HTTP/1.1\r\nHost: %b:%b\r\n\r\n" % (host.encode(), port.encode()))
    assert "</html>" in fetched(url + "?lab=sgd_stability")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
