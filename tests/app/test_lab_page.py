"""The lab page as a visitor uses it, in a real browser: run, watch, pause, scrub, touch, reload, share."""

from __future__ import annotations

import re
import time
import zlib

import pytest
from arrival import IDLE, READY
from playwright.sync_api import Page, expect

from stabviz.app.palette import DARK

TOY = "?lab=toy&rate=0.999&steps=40000&frames=4000"
SHORT = "?lab=toy&rate=0.9&steps=50&frames=10"
SGD = "?lab=sgd_stability&samples=40&features=60&sparsity=2&steps=3000&frames=60"

FIGURE = "[...Bokeh.documents[0]._all_models.values()].find(m => m.type == 'Figure')"
LINES = f"{FIGURE}?.renderers.filter(r => r.glyph.type == 'Line').map(r => r.data_source.data.step?.length ?? 0)"
LENGTH = f"() => Math.max(0, ...({LINES} ?? []))"

pytestmark = pytest.mark.usefixtures("opened")


@pytest.fixture
def seed(request) -> int:
    """A seed of its own for each test, so that no test finds another one's run."""
    return 1 + zlib.crc32(request.node.nodeid.encode()) % 100_000


@pytest.fixture(autouse=True)
def stopped(opened):
    """No run goes on after its test."""
    yield
    for ref in opened:
        page = ref()
        if page is not None and page.run is not None:
            page.run.cancel()


def open_page(page: Page, url: str, query: str) -> None:
    page.goto(url + query)
    page.wait_for_function(READY)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def shows(page: Page, name: str):
    """The button that the run bar shows is called so."""
    expect(page.get_by_role("button", name=name, exact=True)).to_be_visible(timeout=60_000)


def grows(page: Page, more: int = 5) -> None:
    """The first picture gets so many points more."""
    page.wait_for_function(f"n => ({LENGTH})() > n", arg=page.evaluate(LENGTH) + more, timeout=60_000)


def started(page: Page, url: str, seed: int, query: str = TOY) -> None:
    open_page(page, url, f"{query}&seed={seed}")
    press(page, "Run")
    grows(page)


def search(page: Page, word: str) -> None:
    """The address gets to contain a word."""
    page.wait_for_function("w => location.search.includes(w)", arg=word, timeout=30_000)


def until(page: Page, fact, seconds: float = 60) -> None:
    """Wait for a fact of the Python side without stopping the browser."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come true"
        page.wait_for_timeout(50)


def box(page: Page, name: str):
    return page.get_by_role("textbox", name=name, exact=True)


def turn(page: Page, name: str, value: str) -> None:
    box(page, name).fill(value)
    box(page, name).press("Enter")


def test_run_pause_step_reset(page: Page, url: str, quiet, seed, opened) -> None:
    started(page, url, seed)
    press(page, "Pause")
    shows(page, "Resume")
    run = opened[-1]().run
    until(page, lambda: run.status == "paused")
    n = run.frames
    page.wait_for_function(f"n => ({LENGTH})() == n", arg=n)
    press(page, "Step")
    page.wait_for_function(f"n => ({LENGTH})() == n + 1", arg=n)
    shows(page, "Resume")
    press(page, "Resume")
    grows(page)
    press(page, "Reset")
    expect(page.get_by_text("Press Run.").locator("visible=true").first).to_be_visible()
    shows(page, "Run")


def test_keys(page: Page, url: str, quiet, seed, opened) -> None:
    open_page(page, url, f"{TOY}&seed={seed}")
    page.keyboard.press("r")
    grows(page)
    page.keyboard.press("r")
    shows(page, "Resume")
    n = page.evaluate(LENGTH)
    page.keyboard.press("s")
    page.wait_for_function(f"n => ({LENGTH})() > n", arg=n)
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Follow", exact=True)).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Follow", exact=True)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("k")
    search(page, "touch=")
    assert len(opened[-1]().state.touches) == 1
    page.keyboard.press("0")
    expect(page.get_by_text("Press Run.").locator("visible=true").first).to_be_visible()


def test_scrubbing_while_the_run_goes_on(page: Page, url: str, quiet, seed) -> None:
    started(page, url, seed)
    follow = page.get_by_role("button", name="Follow", exact=True)
    page.get_by_role("slider", name="recorded moment").press("Home")
    expect(follow).to_have_attribute("aria-pressed", "false")
    search(page, "at=0")
    grows(page)  # the picture of the past grows, the moment stays
    expect(page.get_by_text("step 0", exact=True)).to_be_visible()
    follow.click()
    page.wait_for_function("() => !location.search.includes('at=')")


@pytest.mark.soak
def test_freezing_the_views(page: Page, url: str, quiet, seed, opened) -> None:
    started(page, url, seed)
    page.get_by_role("switch", name="Freeze view").check()
    mine = opened[-1]()
    until(page, lambda: mine.scrubber.freeze)
    page.wait_for_timeout(500)  # what was on its way
    n, there = page.evaluate(LENGTH), mine.run.frames
    until(page, lambda: mine.run.frames > there + 20)
    assert page.evaluate(LENGTH) == n
    page.get_by_role("switch", name="Freeze view").uncheck()
    page.wait_for_function(f"n => ({LENGTH})() > n + 15", arg=n)


def test_a_kick_is_recorded_and_the_link_finds_the_run(page: Page, url: str, quiet, seed) -> None:
    started(page, url, seed)
    page.get_by_role("button", name=re.compile("^Kick")).first.click()
    search(page, "touch=")
    expect(page.get_by_role("button", name=re.compile("kick", re.I)).last).to_be_visible()
    grows(page)
    page.reload()
    page.wait_for_function(READY)
    grows(page)  # found again without pressing Run
    assert "touch=" in page.evaluate("location.search")


def test_a_turned_control_is_recorded(page: Page, url: str, quiet, seed, opened) -> None:
    started(page, url, seed)
    until(page, lambda: opened[-1]().run.acts)
    turn(page, "rate", "0.5")
    search(page, "+set+rate%3D0.5")
    mine = opened[-1]()
    until(page, lambda: any(m["kind"] == "set" for m in mine.scrubber.marks))
    page.wait_for_function("() => [...Bokeh.documents[0]._all_models.values()].some(m => m.data?.marks?.length == 1)")
    grows(page)
    assert "control_rate" in mine.run.dataset
    assert float(mine.run.dataset["control_rate"][-1]) == 0.5
    assert "rate=0.999" in page.evaluate("location.search")  # what it started with
    page.reload()
    page.wait_for_function(READY)
    grows(page)
    assert float(opened[-1]().run.dataset["control_rate"][-1]) == 0.5


def test_live_mode_runs_again_when_a_control_is_turned(page: Page, url: str, quiet, seed, opened) -> None:
    open_page(page, url, f"{SHORT}&seed={seed}")
    page.get_by_role("switch", name="Live").check()
    turn(page, "rate", "0.8")
    until(page, lambda: (run := opened[-1]().run) is not None and run.plan.controls["rate"] == 0.8)
    page.wait_for_function(f"() => ({LENGTH})() == 11", timeout=60_000)
    first = opened[-1]().run
    turn(page, "rate", "0.7")
    until(page, lambda: opened[-1]().run is not first and opened[-1]().run.plan.controls["rate"] == 0.7)
    assert "live=1" in page.evaluate("location.search")


@pytest.mark.soak
def test_a_zoom_survives_every_frame(page: Page, url: str, quiet, seed) -> None:
    started(page, url, seed)
    page.evaluate(f"() => {FIGURE}.x_range.setv({{start: 100, end: 5000}})")
    grows(page, 10)
    assert page.evaluate(f"() => [{FIGURE}.x_range.start, {FIGURE}.x_range.end]") == [100, 5000]


@pytest.mark.soak
def test_views_off_the_screen_are_left_alone(page: Page, url: str, quiet, seed, opened) -> None:
    started(page, url, seed)
    mine = opened[-1]()
    by = {slot.view.slug: slot for slot in mine.stage.slots}
    until(page, lambda: by["lowest"].frame is not None)  # drawn once, to be there when it is scrolled to
    before = by["lowest"].frame
    grows(page, 20)
    assert by["lowest"].frame is before
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    until(page, lambda: by["lowest"].frame is not before)


@pytest.mark.soak
def test_two_sessions_share_a_run_and_a_kick_is_ones_own(page: Page, url: str, quiet, seed, opened) -> None:
    started(page, url, seed)
    mine = opened[-1]()
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_function(READY)
    grows(other)
    theirs = opened[-1]()
    assert theirs is not mine and theirs.run is mine.run
    shared = mine.run
    other.get_by_role("button", name=re.compile("^Kick")).first.click()
    search(other, "touch=")
    grows(other)
    grows(page)
    assert mine.run is shared and not shared.ended and theirs.run is not shared
    assert "touch=" not in page.evaluate("location.search")
    other.close()


def test_the_link_holds_the_whole_state_and_adds_no_history(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{SGD}&seed={seed}")
    length = page.evaluate("history.length")
    turn(page, "learning rate", "0.01")
    search(page, "learning_rate=0.01")
    link = page.evaluate("location.search")
    for word in ("batch_size=1", f"seed={seed}", "steps=3000", "samples=40", "label_noise=0", "frames=60"):
        assert word in link
    assert page.evaluate("history.length") == length
    page.get_by_role("link", name="stabviz").click()
    page.wait_for_function(IDLE)
    page.go_back()
    page.wait_for_function(READY)
    expect(box(page, "learning rate")).to_have_value("0.01")


def test_back_goes_from_preset_to_preset_and_from_lab_to_gallery(page: Page, url: str, quiet) -> None:
    page.goto(url)
    page.wait_for_function(IDLE)
    page.goto(url + SHORT)
    page.wait_for_function(READY)
    page.get_by_role("button", name="Slow", exact=True).click()
    search(page, "preset=slow")
    page.get_by_role("button", name="Wide", exact=True).click()
    search(page, "preset=wide")
    expect(box(page, "cells")).to_have_value("7")
    page.evaluate("history.back()")
    search(page, "preset=slow")
    expect(box(page, "rate")).to_have_value("0.5")
    expect(box(page, "cells")).to_have_value("4")
    page.evaluate("history.back()")
    search(page, "rate=0.9")
    expect(box(page, "rate")).to_have_value("0.9")
    page.go_back()
    expect(page.get_by_role("heading", name="Is it stable?")).to_be_visible()


def test_one_bad_word_in_a_link_does_not_lose_the_others(page: Page, url: str, quiet) -> None:
    bad = "learning_rate=7&batch_size=2&nonsense=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&seed=x"
    open_page(page, url, f"?lab=sgd_stability&samples=40&{bad}")
    for words in ("learning_rate cannot be 7", "seed cannot be"):
        expect(page.get_by_text(words)).to_be_visible()
    expect(box(page, "batch size")).to_have_value("2")
    assert page.locator("img[src=x]").count() == 0


def test_an_unknown_lab_is_explained(page: Page, url: str, quiet) -> None:
    open_page(page, url, "?lab=%3Cscript%3Ealert(1)%3C/script%3E")
    expect(page.get_by_text("Nothing here")).to_be_visible()
    open_page(page, url, "?lab=sgd_stabilty")
    expect(page.get_by_text("did you mean sgd_stability")).to_be_visible()
    page.get_by_role("link", name="All labs").click()
    expect(page.get_by_role("heading", name="Is it stable?")).to_be_visible()


def test_what_fails_says_so(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{SHORT}&system=other&seed={seed}")
    press(page, "Run")
    expect(page.get_by_text("This view could not be drawn (ValueError: no such picture).")).to_be_visible(timeout=60_000)
    page.wait_for_function(f"() => ({LENGTH})() == 11", timeout=60_000)  # the others are there
    page.get_by_role("button", name="yes", exact=True).click()
    expect(page.get_by_text("The answer could not be computed (ValueError: no answer).")).to_be_visible(timeout=60_000)


def test_theory_data_and_theme(page: Page, url: str, quiet) -> None:
    open_page(page, url, f"{SGD}&seed=0")
    press(page, "Run")
    shows(page, "Continue")
    page.wait_for_function(f"() => ({LENGTH})() > 2", timeout=60_000)
    page.get_by_role("tab", name="Theory").click()
    expect(page.locator("math").first).to_be_visible()
    page.get_by_role("tab", name="Data").click()
    expect(page.get_by_text("stabviz run sgd_stability").first).to_be_visible()
    page.get_by_role("tab", name="Live").click()
    colour = f"() => {FIGURE}.below[0].major_label_text_color"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Change between light and dark").click()
    page.wait_for_function(f"c => JSON.stringify(({colour})()) !== JSON.stringify(c)", arg=light)
    page.reload()
    page.wait_for_function(READY)
    page.wait_for_function(f"() => ({LENGTH})() > 2", timeout=60_000)
    assert page.evaluate(colour) == DARK["soft"] != light, "dark from the start"
    page.get_by_role("button", name="Change between light and dark").click()


@pytest.mark.parametrize("width", [390, pytest.param(1440, marks=pytest.mark.soak)])
def test_nothing_overflows_and_nothing_jumps(page: Page, url: str, quiet, width) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, url, f"{SGD}&seed={width}")
    expect(page.get_by_text("Press Run.").locator("visible=true").first).to_be_visible()
    height = page.evaluate("document.querySelector('.views').offsetHeight")
    press(page, "Run")
    shows(page, "Continue")
    page.wait_for_function(f"() => ({LENGTH})() > 2", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.views').offsetHeight") == height


def test_an_instrument_is_put_on_and_taken_off(page: Page, url: str, quiet, seed, opened) -> None:
    open_page(page, url, f"{SHORT}&seed={seed}&tab=instruments")
    page.get_by_role("region", name="Twin").get_by_role("button", name="Measure").click()
    search(page, "system=twin%3Atoy")
    expect(page.get_by_role("tab", name="Live")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text("Distance of the twins")).to_be_visible()
    run = opened[-1]().run
    until(page, lambda: run.status == "finished")
    expect(page.get_by_text("The twins come together")).to_be_visible()
    assert run.plan.controls["rate"] == 0.9 and run.plan.schedule.steps == 50
    page.get_by_role("tab", name="Instruments").click()
    page.get_by_role("region", name="Twin").get_by_role("button", name="Take it off").click()
    until(page, lambda: opened[-1]().run is not None and opened[-1]().run.plan.name == "toy")
    expect(page.get_by_text("Distance of the twins")).to_be_hidden()


def test_a_sweep_fills_its_map_and_a_point_opens_its_run(page: Page, url: str, quiet, seed, opened) -> None:
    open_page(page, url, f"{SHORT}&seed={seed}&tab=sweep")
    page.get_by_label("Turn, from", exact=True).fill("0.5")
    page.get_by_label("Turn, from", exact=True).press("Enter")
    page.get_by_label("Turn, points", exact=True).fill("4")
    page.get_by_label("Turn, points", exact=True).press("Enter")
    expect(page.get_by_text("4 points, 200 steps")).to_be_visible()
    page.get_by_role("button", name="Sweep", exact=True).click()
    expect(page.get_by_text("Finished: it is in the store")).to_be_visible(timeout=60_000)
    canvas = page.get_by_role("img", name="Mean position over rate")
    box = canvas.bounding_box()
    canvas.click(position={"x": 64 + (box["width"] - 76) / 8, "y": box["height"] / 2})
    until(page, lambda: opened[-1]().run is not None and opened[-1]().run.status == "finished")
    run = opened[-1]().run
    assert run.plan.controls["rate"] == 0.5 and run.plan.schedule.steps == 50
    expect(page.get_by_role("tab", name="Live")).to_have_attribute("aria-selected", "true")


@pytest.mark.soak
def test_the_spectrum_at_the_moment_shown(page: Page, url: str, quiet, seed, opened) -> None:
    open_page(page, url, f"{SHORT}&seed={seed}&tab=instruments")
    here = page.get_by_role("button", name="At the moment shown")
    here.click()
    expect(page.get_by_text("press Run on the Live tab first")).to_be_visible()
    page.get_by_role("tab", name="Live").click()
    press(page, "Run")
    shows(page, "Continue")
    lab_page = opened[-1]()
    lab_page.scrubber.param.update(frame=3, follow=False)  # step 15 of 50
    page.get_by_role("tab", name="Instruments").click()
    here.click()
    expect(page.get_by_text("at step 15 of this run")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("At step 15: largest modulus 0.9; 0 of the 4 modes shown grow.")).to_be_visible()
    assert lab_page.run.plan.name == "toy"  # the run is the same


SWEEP = f"{SHORT}&tab=sweep&over=rate+0.5+0.8+4&look=mean+last"
CELL = 76
"""Pixels of the map's canvas beside its cells."""


def test_a_cell_is_continued_and_kicked_and_back_leads_to_the_filled_map(page: Page, url: str, quiet, seed, opened) -> None:
    open_page(page, url, f"{SWEEP}&seed={seed}")
    page.get_by_role("button", name="Sweep", exact=True).click()
    expect(page.get_by_text("Finished: it is in the store")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("1/(1 − λ)")).to_be_visible()  # what the toy's paper says of the mean
    canvas = page.get_by_role("img", name="Mean position over rate")
    wide = canvas.bounding_box()["width"] - CELL
    canvas.click(position={"x": 64 + wide * 3 / 8, "y": 100})
    shows(page, "Continue")
    lab_page = opened[-1]()
    assert lab_page.run.plan.controls["rate"] == 0.6 and lab_page.run.status == "finished"
    press(page, "Continue")
    until(page, lambda: lab_page.run.plan.schedule.steps == 100 and lab_page.run.status == "finished")
    page.get_by_role("button", name=re.compile("^Kick")).first.click()
    until(page, lambda: len(lab_page.run.plan.interventions) == 1 and lab_page.run.status == "finished")
    search(page, "touch=100")
    page.go_back()
    expect(page.get_by_role("tab", name="Sweep")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text("Press a point to open its run.")).to_be_visible()
    assert len(lab_page.sweeper.card.map["z"][0]) == 4 and lab_page.state.sweep is not None


@pytest.mark.soak
def test_a_copied_link_finds_the_sweep_filled(page: Page, url: str, quiet, seed, opened) -> None:
    open_page(page, url, f"{SWEEP}&seed={seed}&seeds=5")
    page.get_by_role("button", name="Sweep", exact=True).click()
    expect(page.get_by_text("Finished: it is in the store")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("median, 68 % and all of 5 seeds")).to_be_visible()
    expect(page.get_by_text("Mean position at rate 0.5")).to_be_visible()
    link = page.evaluate("location.search")
    open_page(page, url, link)
    expect(page.get_by_text("Finished: it is in the store")).to_be_visible()
    expect(page.get_by_label("Turn, points", exact=True)).to_have_value("4")
    expect(page.get_by_label("Seeds", exact=True)).to_have_value("5")
    assert page.evaluate("location.search") == link


def test_a_range_that_a_control_does_not_take_is_told(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{SHORT}&seed={seed}&tab=sweep")
    page.get_by_label("Turn, to", exact=True).fill("30")
    page.get_by_label("Turn, to", exact=True).press("Enter")
    expect(page.get_by_text("rate cannot be")).to_be_visible()
