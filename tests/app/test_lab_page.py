"""The lab page as a visitor uses it, in a real browser: run, watch, pause, scrub, kick, reload, share."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

READY = "() => window.Bokeh?.documents.length && Bokeh.documents[0].is_idle"
SMALL = "samples=40&features=60&sparsity=2&learning_rate=0.02"
LONG = f"?lab=sgd_stability&{SMALL}&steps=1000000&frames=400&spacing=linear"
SHORT = f"?lab=sgd_stability&{SMALL}&steps=3000&frames=60"

FIGURE = "[...Bokeh.documents[0]._all_models.values()].find(m => m.type == 'Figure')"
LENGTH = f"() => {{ const f = {FIGURE}; return f ? Math.max(...f.renderers.map(r => Object.values(r.data_source.data)[0].length)) : 0 }}"
FRAMES = "() => [...Bokeh.documents[0]._all_models.values()].map(m => m.data?.n).find(n => typeof n === 'number') ?? 0"


@pytest.fixture
def seed(request) -> int:
    """A seed of its own for each test, so that no test finds another one's run."""
    return 1 + abs(hash(request.node.nodeid)) % 100_000


def open_page(page: Page, url: str, query: str) -> None:
    page.goto(url + query)
    page.wait_for_function(READY)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def grows(page: Page, beyond: int) -> None:
    page.wait_for_function(f"n => ({LENGTH})() > n", arg=beyond, timeout=60_000)


def status(page: Page):
    return page.locator(".run .s, .runbar, [role=status]").first


def test_run_streams_into_linked_plots_and_pauses(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{LONG}&seed={seed}")
    press(page, "Run")
    grows(page, 5)
    before = page.evaluate(LENGTH)
    grows(page, before + 5)
    press(page, "Pause")
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible(timeout=20_000)
    page.wait_for_function(f"() => {{ const n = ({LENGTH})(); if (window.last === n) window.same = (window.same ?? 0) + 1; else window.same = 0;"
                           f" window.last = n; return window.same > 20 }}", polling=50)  # fmt: skip
    paused = page.evaluate(LENGTH)
    press(page, "Step")
    grows(page, paused)
    press(page, "Reset")
    expect(page.get_by_text("Press Run.").first).to_be_visible()


def test_scrubbing_works_while_the_run_goes_on(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{LONG}&seed={seed}")
    press(page, "Run")
    grows(page, 20)
    slider = page.get_by_role("slider", name=re.compile("moment|frame|step", re.I)).last
    slider.focus()
    slider.press("Home")
    expect(page.get_by_role("button", name="Follow", exact=True)).to_have_attribute("aria-pressed", "false")
    now = page.evaluate(LENGTH)
    grows(page, now + 5)  # the picture of the past grows, the moment stays
    assert "at=0" in page.evaluate("location.search")
    press(page, "Follow")
    page.wait_for_function("() => !location.search.includes('at=')")


def test_a_kick_is_recorded_and_the_link_reproduces_the_run(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{LONG}&seed={seed}")
    press(page, "Run")
    grows(page, 5)
    page.get_by_role("button", name=re.compile("^Kick")).first.click()
    page.wait_for_function("() => location.search.includes('touch=')", timeout=30_000)
    now = page.evaluate(LENGTH)
    grows(page, now + 5)
    page.reload()
    page.wait_for_function(READY)
    grows(page, 5)  # found again without pressing Run
    assert "touch=" in page.evaluate("location.search")
    press(page, "Reset")


def test_a_zoom_survives_every_frame(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{LONG}&seed={seed}")
    press(page, "Run")
    grows(page, 5)
    page.evaluate(f"() => {FIGURE}.x_range.setv({{start: 100, end: 5000}})")
    now = page.evaluate(LENGTH)
    grows(page, now + 10)
    assert page.evaluate(f"() => [{FIGURE}.x_range.start, {FIGURE}.x_range.end]") == [100, 5000]
    press(page, "Reset")


def test_link_holds_the_whole_state_and_adds_no_history(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{SHORT}&seed={seed}")
    length = page.evaluate("history.length")
    box = page.get_by_label(re.compile("^learning rate")).last
    box.fill("0.01")
    box.press("Enter")
    page.wait_for_function("() => location.search.includes('learning_rate=0.01')")
    search = page.evaluate("location.search")
    for word in ("batch_size=1", f"seed={seed}", "steps=3000", "samples=40", "label_noise=0", "frames=60"):
        assert word in search
    assert page.evaluate("history.length") == length
    page.get_by_role("link", name="stabviz").click()
    page.wait_for_function(READY)
    page.go_back()
    page.wait_for_function(READY)
    expect(page.get_by_label(re.compile("^learning rate")).last).to_have_value("0.01")


def test_one_bad_word_in_a_link_does_not_lose_the_others(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"?lab=sgd_stability&{SMALL}&learning_rate=7&batch_size=2&nonsense=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&seed=x")
    text = page.locator("body").inner_text()
    assert "learning_rate cannot be 7" in text and "seed cannot be" in text
    expect(page.get_by_label(re.compile("^batch size")).last).to_have_value("2")
    assert page.locator("img[src=x]").count() == 0
    open_page(page, url, "?lab=%3Cscript%3Ealert(1)%3C/script%3E")
    expect(page.get_by_text("Nothing here")).to_be_visible()


def test_theory_and_data_and_theme(page: Page, url: str, quiet, seed) -> None:
    open_page(page, url, f"{SHORT}&seed={seed}")
    press(page, "Run")
    expect(page.get_by_role("button", name="Continue", exact=True)).to_be_visible(timeout=60_000)
    page.get_by_role("tab", name="Theory").click()
    expect(page.locator("math").first).to_be_visible()
    page.get_by_role("tab", name="Data").click()
    expect(page.get_by_text("stabviz run sgd_stability").first).to_be_visible()
    page.get_by_role("tab", name="Live").click()
    colour = f"() => {FIGURE}.below[0].major_label_text_color"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Change between light and dark").click()
    page.wait_for_function(f"c => JSON.stringify(({colour})()) !== JSON.stringify(c)", arg=light)


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_overflows(page: Page, url: str, quiet, seed, width) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, url, f"{SHORT}&seed={seed + width}")
    press(page, "Run")
    expect(page.get_by_role("button", name="Continue", exact=True)).to_be_visible(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
