"""The page, in a real browser with a server in a process of its own: how soon it is there, how soon a control is answered, what is sent."""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.app.arrival import IDLE, READY

from .side_by_side import note

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

LABS = ("sgd_stability", "phase_spiral", "chaos_forecasting", "neural_collapse")
PRESSES = 24

PUT = "() => [...Bokeh.documents[0]._all_models.values()].filter(m => m.type === 'Figure').length >= 7"
"""All figures of the first lab are there."""

FIRST = "() => [...Bokeh.documents[0]._all_models.values()].some(m => m.type === 'Figure')"
STEADY = """() => new Promise(done => { let last = -1, since = 0
  const look = () => {
    const n = [...Bokeh.documents[0]._all_models.values()].filter(m => m.type === 'Figure').length
    if (n !== last) [last, since] = [n, performance.now()]
    if (performance.now() - since > 4000) done(n)
    else setTimeout(look, 100) }
  look() })"""
"""No further figure has come for four seconds."""

WATCH = """slider => new Promise((done, fail) => {
  const sources = [...Bokeh.documents[0]._all_models.values()].filter(m => m.type === 'ColumnDataSource')
  const source = sources.find(s => s.data['2/η']?.length > 1) // it is the same at all steps until eta is turned
  if (!source) return fail(new Error('no curve of the bound on the page'))
  const last = () => source.data['2/η'].at(-1), before = last(), start = performance.now()
  slider.value = +slider.value + window.svWay
  for (const type of ['input', 'change']) slider.dispatchEvent(new Event(type, { bubbles: true }))
  const look = () => {
    if (Math.abs(last() / before - 1) > 1e-3) return requestAnimationFrame(() => done(performance.now() - start))
    if (performance.now() - start > 10000) return fail(new Error('no new frame in ten seconds'))
    requestAnimationFrame(look)
  }
  look()
})"""

COUNT = """() => { const seen = new Map(), times = []; window.svTimes = times
  const look = () => { let changed = false
    for (const m of Bokeh.documents[0]._all_models.values()) if (m.type === 'ColumnDataSource') {
      const columns = Object.values(m.data), old = seen.get(m)
      if (old && columns.some((c, i) => c !== old[i])) changed = true
      seen.set(m, columns) }
    if (changed) times.push(performance.now())
    requestAnimationFrame(look) }
  look() }"""


class Server:
    """`stabviz serve` in a process of its own."""

    def __init__(self, folder, cache):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        env = {**os.environ, "XDG_CACHE_HOME": str(cache), "JAX_COMPILATION_CACHE_DIR": str(cache / "jax")}
        self.start = time.perf_counter()
        command = [sys.executable, "-m", "stabviz", "serve", "--port", str(port), "--store", str(folder)]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def first_page(self) -> float:
        """Seconds until the first page is answered."""
        while True:
            assert self.process.poll() is None, "the server has ended"
            try:
                with urllib.request.urlopen(self.url, timeout=30) as answer:
                    answer.read()
                return time.perf_counter() - self.start
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("cache"))
    made.first_page()
    yield made
    made.stop()


def run(page, button="Run"):
    page.get_by_role("button", name=button, exact=True).first.click()


def finished(page):
    """The run has begun, and has ended, in whatever way."""
    page.get_by_role("button", name="Pause", exact=True).first.wait_for(timeout=60_000)
    page.get_by_role("button", name=re.compile("^(Continue|Run)$")).first.wait_for(timeout=180_000)


def test_server_start(benchmark, tmp_path):
    """From the command to the first page, with nothing in the caches, and again."""
    times = []
    for _ in range(4):
        made = Server(tmp_path / "store", tmp_path / "cache")
        times.append(made.first_page())
        made.stop()
    benchmark.pedantic(lambda: None, rounds=1)
    note(benchmark, "server start → first page, cold", times[:1], "s")
    note(benchmark, "server start → first page, warm", times[1:], "s", limit="imports of JAX, HoloViews and Panel")


def test_a_card_is_clicked(benchmark, server, page):
    """From the click on a lab's card to a page that hears keys and has its controls; the browser knows the scripts already."""
    times = []
    for i in range(11):
        page.goto(server.url)
        page.wait_for_function(IDLE)
        card = page.locator(f"a[href*='lab={LABS[i % len(LABS)]}']").first
        start = time.perf_counter()
        card.click()
        page.wait_for_function(READY)
        times.append(time.perf_counter() - start)
    benchmark.pedantic(lambda: None, rounds=1)
    note(benchmark, "click on a lab's card → page usable", times[1:], "s", aim="< 1 s", limit="making it, running its scripts, drawing it")


def test_a_control_is_turned(benchmark, server, page):
    """From a move of the slider of the learning rate, in a run that goes on, to the first frame drawn with the new rate. Warm."""
    times = []
    page.goto(f"{server.url}?lab=sgd_stability&steps=200000&frames=2000&spacing=linear&seed=900")
    page.wait_for_function(READY)
    run(page)
    page.wait_for_function(PUT)
    for _ in range(4):
        page.get_by_role("button", name="New seed", exact=True).click()
        run(page)
        page.get_by_role("button", name="Pause", exact=True).wait_for(timeout=60_000)
        page.wait_for_timeout(2500)
        slider = page.get_by_role("slider", name="learning rate", exact=True)
        for i in range(PRESSES // 4 + 1):
            page.evaluate("way => { window.svWay = way }", 3 if i % 2 else -3)
            took = slider.evaluate(WATCH)
            if i:  # the first one of a page compiles, if anything has to be
                times.append(took)
            page.wait_for_timeout(500)
    benchmark.pedantic(lambda: None, rounds=1)
    limit = "browser, drawing, loop and simulation share the cores and wait for each other"
    note(benchmark, "control turned → first new frame drawn, p50", times, "ms", limit=limit)
    note(benchmark, "control turned → first new frame drawn, p95", times, "ms", aim="< 150 ms", of="p95", limit=limit)


def resident(pid: int) -> float:
    """MB of memory that a process holds (Linux)."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_memory_of_a_session(benchmark, server, browser, browser_context_args):
    """Pages of the first lab with all figures of a finished run, in one browser: what each adds to the server's memory."""
    query = f"{server.url}?lab=sgd_stability&steps=2000&frames=50&seed=901"
    contexts, held = [], []
    for i in range(9):
        context = browser.new_context(**browser_context_args)
        contexts.append(context)
        page = context.new_page()
        page.goto(query)
        page.wait_for_function(READY)
        if i == 0:
            run(page)
        page.wait_for_function(PUT, timeout=60_000)
        held.append(resident(server.process.pid))
    for context in contexts:
        context.close()
    benchmark.pedantic(lambda: None, rounds=1)
    note(benchmark, "memory of a session, all its figures drawn", [b - a for a, b in itertools.pairwise(held)], "MB")


@pytest.mark.parametrize("lab", LABS)
def test_frames_reach_the_browser(benchmark, server, page, lab):
    """A default run of each lab, the second on its page: frames a second that are drawn, messages and bytes that each takes."""
    sent: list[int] = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda data: sent.append(len(data))))
    page.goto(f"{server.url}?lab={lab}&seed=1")
    page.wait_for_function(READY)
    start = time.perf_counter()
    run(page)
    page.wait_for_function(FIRST)
    first = time.perf_counter() - start
    page.get_by_role("button", name=re.compile("^(Continue|Run)$")).first.wait_for(timeout=180_000)
    page.evaluate(STEADY)
    page.get_by_role("button", name="New seed", exact=True).click()
    page.evaluate(COUNT)
    sent.clear()
    start = time.perf_counter()
    run(page)
    finished(page)
    took = time.perf_counter() - start
    page.wait_for_timeout(1000)
    times = page.evaluate("window.svTimes")
    benchmark.pedantic(lambda: None, rounds=1)
    note(benchmark, f"{lab}: first Run after the server's start → first picture", [first], "s", limit="compiling")
    drawn = (times[-1] - times[0]) / 1000
    limit = "80 ms a tick, figures drawn in one thread"
    note(benchmark, f"{lab}: frames drawn in the browser", [(len(times) - 1) / drawn], "/s", limit=limit)
    note(benchmark, f"{lab}: messages a frame", [len(sent) / len(times)], "")
    note(benchmark, f"{lab}: bytes a frame", [sum(sent) / len(times) / 1e3], "kB")
    note(benchmark, f"{lab}: a default run, from Run to its end", [took], "s", aim="< 20 s")
