"""The components in a browser: what a visitor does arrives in Python, and what Python says is seen."""

from __future__ import annotations

import gc
import logging
import socket
import time
import weakref

import holoviews as hv
import panel as pn
import pytest
from arrival import READY
from bokeh.document import Document
from playwright.sync_api import expect

from stabviz.app import figures
from stabviz.app.components import Browser, Claims, Controls, RunBar, Scrubber, TryThis, ViewFrame, card, kick_row
from stabviz.app.main import _wait_for
from stabviz.app.palette import DARK, LIGHT
from stabviz.app.shell import page as shell_page
from stabviz.control import Control

hv.extension("bokeh")

AXIS = "() => [...Bokeh.documents[0]._all_models.values()].find(m => m.type == 'Figure').below[0].major_label_text_color"


class Page:
    """A page of all components, and what they said."""

    def __init__(self):
        self.said = []
        wanted = {
            "rate": Control(
                "rate", "float", 0.1, (0.001, 1.0), scale="log", symbol=r"\eta", label="learning rate", doc="How far a step goes."
            ),
            "batch": Control("batch", "int", 1, (1, 300), scale="log", label="batch size"),
            "model": Control("model", "choice", "diagonal", choices=("diagonal", "ReLU"), label="model", static=True),
            "heat": Control("heat", "float", float("inf"), (0.1, 10.0), also=((float("inf"), "off"),), label="temperature"),
            "flat": Control("flat", "bool", False, label="flat start"),
        }
        kick = kick_row("kick", "Kick the weights", {"size": Control("size", "float", 1e-3, label="size")})
        self.controls = Controls(wanted, primary=("rate", "batch", "model"), kicks=[kick], touchable=True)
        self.controls.presets = [{"slug": "a", "title": "Hug the bound", "doc": ""}]
        self.bar, self.scrub, self.browser = RunBar(), Scrubber(at=[0, 1, 10, 100, 1000], n=3), Browser()
        self.bar.show("", 0, 1000)
        self.pipe = hv.streams.Pipe(data=[1.0, 2.0])
        curve = hv.DynamicMap(lambda data: hv.Curve(data, "step", "loss").opts(color=LIGHT["stable"]), streams=[self.pipe])
        pane = pn.pane.HoloViews(curve.opts(hooks=[figures.dress], responsive=True), sizing_mode="stretch_both")
        self.frame = ViewFrame(slug="loss", title="Training loss", pane=pane, wide=True)
        self.frame.say("It falls below $2/\\eta$.")
        self.claims = Claims(cards=[card("gd", "GD breaks the bound", "open", paper="> 10", measured="needs a GD run", action="Run it")])
        self.quiz = TryThis()
        self.quiz.ask("Will it stay?", ["Near it", "Far below"])
        for part in (self.controls, self.bar, self.scrub, self.browser, self.claims, self.quiz, self.frame):
            self.listen(part)

    def listen(self, part):
        for event in "live settled preset new_seed kick run pause step reset scrub follow key back views act choose table".split():
            part.on(event, lambda event=event, **fields: self.said.append((event, fields)))

    def heard(self, event):
        return [fields for name, fields in self.said if name == event]

    def template(self):
        return shell_page(
            "A lab", tagline="What you will see.", browser=self.browser, left=[self.controls], middle=[self.bar], views=[self.frame],
            dock=[self.scrub], right=[self.claims, self.quiz], tabs=[("live", "Live"), ("theory", "Theory")],
            panes={"theory": [pn.pane.Str("Equations")]},
        )  # fmt: skip


@pytest.fixture(scope="module")
def served():
    pages: list[Page] = []

    def app():
        pages.append(Page())
        return pages[-1].template()

    logging.disable(logging.CRITICAL)  # pytest keeps records, and they keep events, tracebacks, sessions
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    short = {"unused_session_lifetime_milliseconds": 3000, "check_unused_sessions_milliseconds": 500}
    server = pn.serve({"/": app}, port=port, address="127.0.0.1", threaded=True, show=False, websocket_origin=f"127.0.0.1:{port}", **short)
    _wait_for(port, "127.0.0.1")
    yield f"http://127.0.0.1:{port}/", pages
    server.stop()
    logging.disable(logging.NOTSET)


@pytest.fixture
def lab(page, served, quiet):
    url, pages = served
    page.goto(url)
    page.wait_for_function(READY)
    return pages[-1]


@pytest.fixture(scope="module")
def open_page(browser, served):
    """A page for the tests that leave it as the next one needs it, and what went wrong on it."""
    url, pages = served
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page, errors = context.new_page(), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_function(READY)
    yield page, pages[-1], errors
    context.close()


@pytest.fixture
def shared(open_page):
    """The page and its Python side, which has heard nothing yet."""
    page, lab, errors = open_page
    lab.said.clear()
    yield page, lab
    assert errors == []


def until(page, fact, what="it", ms=60_000):
    """Wait for a fact of the Python side without stopping the browser."""
    end = time.monotonic() + ms / 1000
    while time.monotonic() < end:
        if fact():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{what} did not come true")


def test_dragging_a_slider_coalesces_and_settles_once(page, lab):
    box = page.get_by_role("slider", name="learning rate").bounding_box()

    def at(share):
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    page.mouse.move(*at(0.3))
    page.mouse.down()
    for i in range(60):
        page.mouse.move(*at(0.3 + 0.4 * i / 59))
    page.mouse.move(*at(0.5))
    page.mouse.up()
    until(page, lambda: lab.heard("settled"))
    value = lab.heard("settled")[-1]["value"]
    assert len(lab.heard("settled")) == 1
    assert 1 <= len(lab.heard("live")) < 60
    assert 0.02 < value < 0.05
    assert lab.controls.values["rate"] == value
    assert float(page.get_by_role("textbox", name="learning rate").input_value()) == value


def test_a_refused_value_is_explained_at_the_control(shared):
    page, lab = shared
    box = page.get_by_role("textbox", name="learning rate")
    box.fill("7")
    box.press("Enter")
    page.get_by_text("from 0.001 to 1").wait_for()
    assert lab.heard("settled") == []
    box.fill("2e-2")
    box.press("Enter")
    page.get_by_text("from 0.001 to 1").wait_for(state="hidden")
    assert lab.heard("settled") == [{"name": "rate", "value": 0.02}]


def test_python_moves_the_slider(shared):
    page, lab = shared
    lab.controls.set(rate=1.0, model="ReLU")
    page.wait_for_function("() => true")
    slider = page.get_by_role("slider", name="learning rate")
    until(page, lambda: slider.get_attribute("aria-valuetext") == "1")
    until(page, lambda: float(slider.input_value()) == float(slider.get_attribute("max")))
    expect(page.get_by_role("radio", name="ReLU")).to_be_checked()


def test_keys_on_an_integer_slider_always_move_it(shared):
    page, lab = shared
    page.get_by_role("slider", name="batch size").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(page, lambda: lab.controls.values["batch"] == 4)
    assert [f["value"] for f in lab.heard("settled")] == [2, 3, 4]


def test_special_values_choices_and_switches(page, lab):
    page.get_by_text("2 more controls").click()
    page.get_by_role("textbox", name="temperature").fill("3")
    page.get_by_role("textbox", name="temperature").press("Enter")
    page.get_by_role("button", name="off").click()
    page.get_by_role("switch", name="flat start").check()
    page.get_by_role("radio", name="ReLU").check()
    until(page, lambda: len(lab.heard("settled")) == 4)
    assert [f["value"] for f in lab.heard("settled")] == [3.0, float("inf"), True, "ReLU"]
    expect(page.get_by_role("textbox", name="temperature")).to_have_value("off")


def test_run_bar_says_what_the_button_does(shared):
    page, lab = shared
    page.get_by_role("button", name="Run", exact=True).click()
    until(page, lambda: lab.heard("run"))
    lab.bar.show("running", 186, 1000, 61.0, 13.0)
    page.get_by_text("186 of 1,000 steps").wait_for()
    page.get_by_role("button", name="Pause").click()
    until(page, lambda: lab.heard("pause"))
    height = page.locator(".run").bounding_box()["height"]
    lab.bar.show("diverged", 187, 1000)
    page.get_by_text("diverged at step 187").wait_for()
    assert page.locator(".run").bounding_box()["height"] == height


def test_shortcuts_are_for_the_page_and_not_for_text(page, lab):
    page.get_by_role("slider", name="learning rate").wait_for()  # the key of a kick is heard by the controls
    page.keyboard.press("r")
    page.keyboard.press("k")
    until(page, lambda: lab.heard("kick") and lab.heard("key"))
    assert lab.heard("kick") == [{"name": "kick", "args": {"size": 0.001}}]
    page.get_by_role("textbox", name="learning rate").focus()
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    until(page, lambda: len(lab.heard("key")) == 2)
    assert [f["key"] for f in lab.heard("key")] == ["r", "s"]  # the key of a kick is heard as that kick, once
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_scrubbing_leaves_follow_and_follow_comes_back(shared):
    page, lab = shared
    slider = page.get_by_role("slider", name="recorded moment")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    until(page, lambda: lab.heard("scrub") == [{"frame": 1}])
    lab.scrub.n = 5
    page.get_by_text("step 1", exact=True).wait_for()
    page.keyboard.press("End")
    page.keyboard.press("f")
    page.get_by_role("button", name="Follow").click()
    page.get_by_text("step 1,000", exact=True).wait_for()
    until(page, lambda: lab.scrub.shown == 4)


@pytest.mark.soak
def test_theme_changes_live_and_stays(page, lab):
    page.evaluate("window.marker = 1")
    page.wait_for_function(f"() => ({AXIS})() == '{LIGHT['soft']}'")
    page.get_by_role("button", name="Change between light and dark").click()
    page.wait_for_function(f"() => ({AXIS})() == '{DARK['soft']}'")
    lab.pipe.send([3.0, 1.0])
    assert page.evaluate("[window.marker, document.documentElement.dataset.theme]") == [1, "dark"]
    page.reload()
    page.wait_for_function(READY)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_address_follows_without_history(page, lab):
    length = page.evaluate("history.length")
    lab.browser.query = "?lab=x&rate=0.1"
    page.wait_for_function("() => location.search == '?lab=x&rate=0.1'")
    lab.browser.query = "?lab=x&rate=0.2"
    page.wait_for_function("() => location.search == '?lab=x&rate=0.2'")
    assert page.evaluate("history.length") == length
    lab.browser.push("?lab=y")
    page.wait_for_function("() => location.search == '?lab=y'")
    page.go_back()
    until(page, lambda: lab.heard("back") == [{"query": "?lab=x&rate=0.2"}])


def test_claims_questions_tables_and_visibility(page, lab):
    until(page, lambda: lab.browser.views == ["loss"])
    page.get_by_role("button", name="Run it").click()
    page.get_by_role("button", name="Near it").click()
    page.get_by_role("button", name="Data").click()
    until(page, lambda: lab.heard("act") and lab.heard("choose") and lab.heard("table"))
    lab.frame.table = {"columns": ["step", "loss"], "rows": [[1000, 0.25]]}
    page.get_by_role("cell", name="1,000").wait_for()
    lab.claims.cards = [card("gd", "GD breaks the bound", "holds", measured="31")]
    page.get_by_role("img", name="holds", exact=True).wait_for()
    page.get_by_role("tab", name="Theory").click()
    page.get_by_text("Equations").wait_for()
    until(page, lambda: lab.browser.views == [])


def test_nothing_overflows(page, lab):
    for width in (390, 768, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.soak
def test_closed_pages_are_freed(page, served):
    url, pages = served
    pages.clear()
    for i in range(3):
        page.goto(url)
        page.wait_for_function(READY)
        page.get_by_role("button", name="Change between light and dark").click()
        page.wait_for_function(f"() => ({AXIS})() == '{(LIGHT if i % 2 else DARK)['soft']}'")
    page.wait_for_timeout(500)  # a message on its way when the socket closes leaves a traceback, and that the session
    refs = [weakref.ref(p) for p in pages] + [weakref.ref(p.frame.pane) for p in pages]
    pages.clear()
    page.close()  # going elsewhere is not enough: the browser may keep a page, and its socket, to come back to

    end = time.monotonic() + 40
    while any(r() is not None for r in refs) and time.monotonic() < end:
        time.sleep(1)
        gc.collect()
    assert [r() for r in refs if r() is not None] == []


def test_no_parameter_is_taken_from_the_browser():
    """What a page shows is Python's; a browser that writes it all the same changes its own copy."""
    bar = RunBar(status="running")
    model = bar.get_root(Document())
    assert model.data.status == "running" and not any(model.data._callbacks.values())
    model.data.status = "finished"
    assert bar.status == "running"
