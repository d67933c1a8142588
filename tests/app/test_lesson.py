"""A teacher's link, what a page hands on, and the views alone."""

from __future__ import annotations

import re

import pytest
from arrival import READY
from playwright.sync_api import Page, expect

from stabviz.app import lesson, link, sheet


def test_a_link_says_what_is_left_out_and_what_stays(toy) -> None:
    query = "?lab=toy&hide=sweep,claims,rate&lock=all&layout=compact&tab=sweep"
    state = link.read(toy, query)
    assert not state.problems
    assert state.lesson == lesson.Lesson(("sweep", "claims", "rate"), ("all",), "compact")
    assert state.tab == "live"  # its own tab is left out
    assert "rate" not in sheet.specs(toy, state) and "rate" in sheet.every(toy, state)
    again = link.read(toy, link.write(toy, state))
    assert again.lesson == state.lesson and again.values == state.values


def test_a_link_cannot_hide_what_is_not_there(toy) -> None:
    state = link.read(toy, "?lab=toy&hide=live,nonsense,<b>&lock=colour&layout=cinema")
    assert state.lesson == lesson.Lesson()
    assert len(state.problems) == 5 and all(p.endswith(".") for p in state.problems)


@pytest.mark.usefixtures("opened")
def test_what_is_locked_is_not_turned_whatever_the_browser_sends(page: Page, url: str, quiet, opened) -> None:
    page.goto(url + "?lab=toy&lock=all&hide=sweep,claims,questions")
    page.wait_for_function(READY)
    slider = page.get_by_role("slider").first
    expect(slider).to_be_disabled()
    expect(page.get_by_role("tab", name="Sweep")).to_have_count(0)
    expect(page.get_by_role("tab", name="Theory")).to_be_visible()
    expect(page.get_by_text("The paper says, this run shows")).to_have_count(0)
    mine = opened[-1]()
    rate, seed = mine.state.values["rate"], mine.state.seed
    mine.controls._got_settled("rate", 0.5)
    mine.controls._got_seed(seed + 1)
    mine.controls.emit("preset", slug="slow")
    assert mine.state.values["rate"] == rate and mine.state.seed == seed and mine.state.preset == ""
    assert mine.controls.values["rate"] == rate and mine.controls.seed == seed


@pytest.mark.usefixtures("opened")
def test_what_a_page_hands_on(page: Page, url: str, quiet) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(url + "?lab=toy&rate=0.9&steps=50&frames=10&seed=77")
    page.wait_for_function(READY)
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("finished").first.wait_for()

    page.get_by_role("button", name="Share", exact=True).click()
    page.get_by_role("button", name="Copy command").click()
    page.get_by_text("Command copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("stabviz run toy ")
    page.get_by_label("questions").check()
    page.get_by_label("the seed").check()
    page.get_by_label("Layout").select_option("compact")
    page.get_by_role("button", name="Copy class link").click()
    page.get_by_text("Class link copied.").wait_for()
    address = page.evaluate("navigator.clipboard.readText()")
    assert "hide=questions&lock=seed&layout=compact" in address and "seed=77" in address
    page.get_by_role("button", name="Close", exact=True).click()

    card = page.locator(".view:visible").first
    card.locator("canvas").first.wait_for()
    card.hover()
    for kind, head in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with page.expect_download() as download:
            card.get_by_role("button", name=kind).click()
        assert re.fullmatch(rf"toy-\w+\.{kind.lower()}", download.value.suggested_filename)
        content = download.value.path().read_bytes()
        assert content.startswith(head) and len(content) > 2_000

    page.keyboard.press("p")
    expect(page.get_by_role("tab", name="Theory")).to_be_hidden()
    page.keyboard.press("p")
    expect(page.get_by_role("tab", name="Theory")).to_be_visible()

    page.goto(address)
    page.wait_for_function(READY)
    expect(page.get_by_role("link", name="Scoreboard")).to_be_hidden()  # the compact page has no top bar
    expect(page.get_by_role("button", name="New seed")).to_be_disabled()
    page.get_by_text("finished").first.wait_for()  # the same run
