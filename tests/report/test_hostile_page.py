"""Words of strangers on the pages, from a link, a store that was handed over, a lab of one's own: none is markup, and none runs."""

from __future__ import annotations

import dataclasses
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser

import pytest
from report_world import EVIL, hostile_lab

from stabviz.app import link, serve
from stabviz.own import offer, withdraw
from stabviz.scheduler import Scheduler
from stabviz.store import Store, layout
from stabviz.studies import Study
from tests.app.arrival import IDLE

pytestmark = pytest.mark.filterwarnings("ignore:(Exception ignored in. <coroutine object |coroutine .)WSHandler.send_message:")

WORDS = [
    EVIL,
    "\"'><svg onload=window.hacked=5>",
    "<script>window.hacked=6</script>",
    "</script></style></title></textarea><img src=x onerror=window.hacked=7>",
    "{{ 7 * 7 }}{% set x = 1 %}${window.hacked=8}<%= 7 %>",
    "javascript:window.hacked=9//",
    "=HYPERLINK(\"http://x.invalid\")\t+1\n-1\r@SUM(A1)",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "\x00\x07\x1b[2J\x7f\x85",
    "A" * 3000,
    "&lt;img src=x onerror=window.hacked=10&gt;&#60;script&#62;",
]
ALL = " ".join(w for w in WORDS if len(w) < 300)


class Elements(HTMLParser):
    """What a browser would make of a page before any script."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._in = tag
        bad = [f"{tag} {n}={v}" for n, v in attrs if n in ("onerror", "onload") or (n in ("src", "href") and "hacked" in (v or ""))]
        self.found += bad if "hacked" in "".join(bad) or any(n == "onerror" for n, _ in attrs) else []

    def handle_data(self, data):
        if self._in == "script" and data.strip().startswith("window.hacked"):
            self.found.append(f"script {data[:40]}")

    def handle_endtag(self, tag):
        self._in = ""


FOUND = """() => { const bad = []; const walk = n => { for (const e of n.querySelectorAll('*')) {
    for (const a of e.attributes) if (/^on(error|load)$/.test(a.name) && /hacked/.test(a.value)) bad.push(e.outerHTML.slice(0, 80))
    const to = e.getAttribute('src') || e.getAttribute('href') || ''
    if (/^(IMG|SCRIPT|A)$/.test(e.tagName) && /^(x|\\s*javascript:.*hacked.*)$/i.test(to)) bad.push(e.outerHTML.slice(0, 80))
    if (e.tagName === 'SCRIPT' && /^\\s*window.hacked/.test(e.textContent)) bad.push('script')
    if (e.shadowRoot) walk(e.shadowRoot) } }; walk(document); return [window.hacked ?? null, bad] }"""
SAID = """() => { let all = ''; const walk = n => { for (const e of n.querySelectorAll('*')) {
    if (!e.children.length && !/^(SCRIPT|STYLE|TEMPLATE)$/.test(e.tagName)) all += e.textContent + ' ' + (e.value || '') + '\\n'
    if (e.shadowRoot) walk(e.shadowRoot) } }; walk(document); return all }"""


@pytest.fixture(scope="module")
def lab():
    made = offer(hostile_lab())
    yield made
    withdraw(made.slug)


@pytest.fixture(scope="module")
def store(lab, tmp_path_factory):
    """Runs, of which some say of themselves what no run of ours says; and a file beside the store."""
    folder = tmp_path_factory.mktemp("hostile") / "store"
    scheduler = Scheduler(Store(folder))
    whole = lab.run(scheduler=scheduler, way=f"odd {EVIL}").wait()
    told = lab.run(scheduler=scheduler, seed=2).wait()
    lab.study(Study(axes={"case": {ALL: {"rate": 0.5}, "b": {}}}, steps=4, frames=2), scheduler).wait()
    scheduler.close()
    (folder.parent / "precious.nc").write_text("kept")
    root = (folder / whole.id / "zarr.json").read_bytes()
    attrs, record = layout.parse_root(root)
    tail = layout.root_tail(layout.arrays_of(root))
    plan = json.loads(str(attrs["plan"]))
    odd = dict.fromkeys(("title", "version", "versions", "system", "status", "note", ALL), ALL)
    cases = (
        {**odd, "plan": json.dumps({**plan, "controls": {ALL: ALL, "rate": ALL}, "interventions": [[1, ALL, {ALL: ALL}]]})},
        {**odd, "lab": ALL, "controls": json.dumps({ALL: ALL}), "schedule": ALL},
        {**odd, "kind": "study", "axes": json.dumps({ALL: 2}), "labels": json.dumps({ALL: [ALL, 1]}), "runs": ALL},
        {"plan": ALL, "controls": ALL, "seed": ALL, "ended_step": ALL, "steps": ALL},
        {"status": ALL, "lab": 3.5, "plan": "[]"},
    )
    for k, changed in enumerate(cases):
        (folder / f"{k:016x}").mkdir()
        document = layout.document({**attrs, **changed}, dataclasses.replace(record, created=record.created - k), tail)
        (folder / f"{k:016x}" / "zarr.json").write_bytes(document)
    root = (folder / told.id / "zarr.json").read_bytes()
    attrs, record = layout.parse_root(root)
    changed = {**attrs, **dict.fromkeys(("title", "version", "note", "status"), ALL), "versions": json.dumps({ALL: ALL})}
    (folder / told.id / "zarr.json").write_bytes(layout.document(changed, record, tail))
    return folder


@pytest.fixture(scope="module")
def served(store):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(port=port, store=str(store), threaded=True, websocket_origin=f"127.0.0.1:{port}")
    yield f"http://127.0.0.1:{port}/"
    server.stop()


def fetched(address: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def query(**words: str) -> str:
    return "?" + urllib.parse.urlencode(words)


def test_no_word_of_a_link_is_markup_in_the_page_that_is_sent(served):
    for name, word in [*(("lab", word) for word in WORDS), *((name, ALL) for name in ("q", "run", "page"))]:
        status, text = fetched(served + query(**{name: word}))
        assert status == 200 and Elements(text).found == [], word
    assert Elements(f"<p>{EVIL}</p>").found  # it would be found


@pytest.mark.soak
def test_every_word_of_a_labs_link_may_be_hostile(served, page):
    words = {name: ALL for name in (*link.OWN, "rate", ALL, "way", ".steps") if name not in ("lab", "run", "page")}
    address = served + query(lab="hostile", **words)
    status, text = fetched(address)
    assert status == 200 and Elements(text).found == []
    page.goto(address[:7500])
    page.wait_for_function(IDLE)
    page.get_by_role("status").filter(has_text="The link").first.wait_for()
    assert page.evaluate(FOUND) == [None, []]
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.hacked=1>')")
    page.wait_for_function("window.hacked === 1")
    assert page.evaluate(FOUND)[1] != []  # it would be found


@pytest.mark.soak
def test_a_lab_whose_words_are_hostile_has_a_page(served, page, lab):
    page.goto(served + query(lab="hostile", way=f"odd {EVIL}", frames="20"))
    page.wait_for_function(IDLE)
    page.get_by_role("button", name="Run", exact=True).or_(page.get_by_role("button", name="Continue")).first.wait_for()
    page.wait_for_function("() => [...Bokeh.documents[0]._all_models.values()].some(m => m.type === 'Figure')", timeout=60_000)
    for tab in ("Instruments", "Sweep", "Theory", "Data"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_function(IDLE)
    page.get_by_role("button", name="Share").click()
    page.wait_for_function(IDLE)
    assert page.evaluate(FOUND) == [None, []]
    assert page.evaluate(SAID).count("window.hacked = 1") > 8
    page.goto(served)
    page.wait_for_function("() => document.querySelectorAll('a.card').length > 0")
    assert page.evaluate(FOUND) == [None, []] and EVIL in page.locator("a.card", has_text="Decay").first.inner_text()


def test_a_store_that_was_handed_over_may_say_anything(served, page):
    for k in range(5):
        for path in (query(run=f"{k:016x}"), f"runs/{k:016x}.html", *([] if k else [query(run=f"{k:016x}", do="fork")])):
            status, text = fetched(served + path)
            assert status in (200, 404, 422) and "Traceback" not in text, path
            assert Elements(text).found == [] or status != 200, path
    page.goto(served + query(page="runs", q="", compare=f"{0:016x},{1:016x},{3:016x}", align=ALL, event=ALL, view=ALL))
    page.wait_for_function(IDLE)
    page.wait_for_function(f"() => (({SAID})()).includes('window.hacked=5')")
    page.get_by_label("Select all that are shown").check()
    assert page.evaluate(FOUND) == [None, []]


@pytest.mark.soak
def test_the_page_and_the_report_of_a_run_that_says_odd_things(served, page, store, tmp_path):
    told = next(info.id for info in Store(store).runs() if info.attrs.get("status") == ALL and info.attrs["seed"] == 2)
    page.goto(served + query(run=told))
    page.wait_for_function(IDLE)
    page.wait_for_function(f"() => (({SAID})()).includes('window.hacked=6')")  # how it ended, in its own words
    assert page.evaluate(FOUND) == [None, []]
    status, text = fetched(f"{served}runs/{told}.html")
    assert status == 200 and "hacked=6" in text
    (tmp_path / "report.html").write_text(text)
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_function("document.documentElement.dataset.ready")
    assert page.evaluate(FOUND) == [None, []] and "window.hacked=6" in page.evaluate(SAID)


PATHS = [
    "../precious", "..%2fprecious", "%2e%2e%2fprecious", "..%252fprecious", "..\\precious", "..%5cprecious", "%00", "{id}%00",
    "{id}/../{id}", "{id}%2f..%2f..%2fprecious", "/etc/passwd",
    "%2fetc%2fpasswd", "file:%2f%2f%2fetc%2fpasswd", "C:%5cwindows", "con", "~", "$HOME", "*",
    ".deleted-{id}-1", "{id}.lock", "{id}%0a", "{id}%20", "{id}+..%2fprecious", "{id}%2B..", "{ID}", "．．／precious", "{id}*", "{id}%2f",
]  # fmt: skip


def raw(served: str, path: str, host: str = "127.0.0.1") -> bytes:
    """The answer to a request that no library has put right."""
    with socket.create_connection(("127.0.0.1", int(served.rsplit(":", 1)[1].strip("/"))), timeout=60) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_no_address_leads_out_of_the_store(served, store):
    there = next(p.name for p in store.iterdir() if len(p.name) == 16 and not p.name.startswith("000"))
    before = sorted((p, p.stat().st_mtime_ns) for p in store.parent.rglob("*"))
    names = [path.replace("{id}", there).replace("{ID}", there.upper()) for path in PATHS]
    pages = [query(run=urllib.parse.unquote(name)) for name in names[:6]] + [query(page="runs", compare=f"{n},{n}") for n in names[:2]]
    for address in [f"runs/{name}.{kind}" for name in names for kind in ("nc", "zarr.zip", "html")] + pages:
        answer = raw(served, address)
        assert b"root:" not in answer and b"\r\n\r\nkept" not in answer
        assert not (address.startswith("runs/") and answer.split(b"\r\n", 1)[0].endswith(b" 200 OK")), address
    assert raw(served, f"runs/{there}.nc").startswith(b"HTTP/1.1 200")  # the name itself does lead to a file
    assert sorted((p, p.stat().st_mtime_ns) for p in store.parent.rglob("*")) == before
