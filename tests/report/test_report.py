"""Reports: what is in the file, that nothing in it is markup that should not be, and that it works from disk without a network."""

from __future__ import annotations

import json
import math
import re
import time
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from report_world import EVIL, STUDY, Decay, hostile_lab

from stabviz import report
from stabviz.app.reporting import Reporter
from stabviz.citing import citations
from stabviz.cli import main
from stabviz.comparing import event_step
from stabviz.job import RunError
from stabviz.lab import lab, labs
from stabviz.own import offer, withdraw
from stabviz.report import compose, sweep
from stabviz.report.packing import Packer, rounded
from stabviz.report.pictures import MOMENTS, thinned
from stabviz.report.subject import Subject
from stabviz.run import Run
from stabviz.scheduler import Scheduler
from stabviz.store import Store
from stabviz.studies import Study

FIXED = 1.5e6
"""Bytes of BokehJS, the font, the style sheet and the words."""
MOST = 5e6


@pytest.fixture(scope="module")
def hostile():
    made = offer(hostile_lab())
    yield made
    withdraw(made.slug)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    made = Scheduler(Store(tmp_path_factory.mktemp("store")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def run(hostile, scheduler):
    touched = [(13, "set", {"rate": 0.95}), (21, "kick", {"name": "kick", "size": 0.01})]
    return hostile.run(scheduler=scheduler, interventions=touched).wait()


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    return run.report(tmp_path_factory.mktemp("report") / "x.html", frames=12)


class Tags(HTMLParser):
    """The elements of a page, with attributes; its texts."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data


def data_of(text: str) -> dict:
    return json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL)[1])


# Thinning and packing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "most"), [(1, 10), (7, 10), (11, 10), (601, 48), (2001, 48), (50, 2)])
def test_thinned_frames_are_few_and_keep_the_ends(count, most):
    dataset = xr.Dataset(coords={"step": np.arange(count) * 3})
    kept = thinned(dataset, most)
    assert kept == sorted(set(kept))
    assert len(kept) == min(count, most)
    assert {kept[0], kept[-1]} == {0, count - 1}
    assert np.diff(kept).max(initial=0) <= 2 * math.ceil(count / most)


def test_the_frames_around_an_intervention_are_kept():
    dataset = xr.Dataset(coords={"step": np.arange(500) * 10})
    kept = thinned(dataset, 20, marks=[1234])
    assert {123, 124} <= set(kept)
    assert len(kept) <= 20


def unpacked(block: bytes, track: dict, i: int) -> np.ndarray:
    """What `report.js` does, in NumPy."""
    n, start = track["count"], track["start"]
    numbers = np.frombuffer(block[start : start + 4 * n], np.uint8).reshape(4, n).T.copy()
    values = numbers.view("<" + track["kind"]).ravel()
    if "n" in track:
        return values[: track["n"][i]]
    if "at" not in track:
        return values
    sizes = track["sizes"] if isinstance(track["sizes"], list) else [track["sizes"]] * (max(track["at"]) + 1)
    k = track["at"][i]
    found = values[sum(sizes[:k]) : sum(sizes[: k + 1])]
    return found.reshape(track["shape"][k]) if "shape" in track else found


@pytest.mark.parametrize("kind", ["same", "grows", "changes", "ragged", "images", "whole numbers", "with gaps"])
def test_columns_come_back(kind):
    import base64
    import zlib

    random = np.random.default_rng(0)
    columns = {
        "same": [np.linspace(0, 3, 50)] * 4,
        "grows": [np.linspace(0, 3, 50)[: 10 * i + 1] for i in range(4)],
        "changes": [random.normal(size=30) for _ in range(4)],
        "ragged": [random.normal(size=5 + i) for i in range(4)],
        "images": [random.normal(size=(4, 5)) for _ in range(4)],
        "whole numbers": [np.arange(5) * i for i in range(4)],
        "with gaps": [np.where(random.random(9) < 0.5, np.nan, 1.5 * i) for i in range(4)],
    }[kind]
    packer = Packer()
    track = packer.track(columns)
    block = zlib.decompress(base64.b64decode(packer.block()))
    span = np.nanmax(np.concatenate([c.ravel() for c in columns])) - np.nanmin(np.concatenate([c.ravel() for c in columns]))
    for i, column in enumerate(columns):
        np.testing.assert_allclose(unpacked(block, track, i), column, atol=span / (512 if kind == "images" else 16384))
    stored = track["count"]
    assert stored == {"same": 50, "grows": 31, "changes": 120, "ragged": 26, "images": 80, "whole numbers": 20, "with gaps": 36}[kind]


def test_numbers_of_a_logarithmic_axis_keep_their_digits():
    values = np.geomspace(1e-12, 1e6, 100)
    np.testing.assert_allclose(rounded(values, relative=True), values, rtol=1e-4)
    assert (rounded(values)[:30] == 0).all()  # what would be lost


# What is in the file ------------------------------------------------------------------------------------------------------------


def test_no_text_becomes_markup(path):
    page = Tags(path.read_text())
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "embed")]
    assert not [(tag, name) for tag, attrs in page.tags for name in attrs if name.startswith("on")]
    assert not [a for tag, a in page.tags if tag == "a" and not a["href"].startswith(("#", "http"))]
    assert page.words.count("<script>window.hacked") > 8


def test_nothing_is_fetched_from_anywhere(path):
    page = Tags(path.read_text())
    addresses = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href") and v]
    assert [a for a in addresses if not a.startswith(("#", "data:"))] == []


def test_all_parts_are_there(path, run):
    text = path.read_text()
    words = Tags(text).words
    for part in ("claims", "views", "controls", "theory", "reproduce", "provenance", "cite", "made"):
        assert f'<section id="{part}"' in text
    assert run.id in words
    assert "turned" in words and "rate = 0.95" in words and "kicked" in words  # the interventions' table
    assert "stabviz run hostile" in words and 'sv.lab("hostile")' in words
    assert "<math" in text
    assert "of 21 recorded moments 12 are here" in words.lower()
    assert "This view could not be drawn (ValueError" in words
    assert run.dataset.attrs["version"] in words
    assert json.loads(run.dataset.attrs["versions"])["jax"] in words


def test_moments_and_sentences_are_those_of_the_run(path, run):
    data = data_of(path.read_text())
    assert len(data["at"]) == 12
    assert data["words"][0] == "step 0"
    assert data["words"][-1] == "step 40"
    assert [m["kind"] for m in data["marks"]] == ["set", "kick"]
    mean, cells = data["panels"][0], data["panels"][1]
    assert "at step 0." in mean["sentences"][0] and "at step 40." in cells["sentences"][-1]
    np.testing.assert_allclose(mean["moments"][-1], float(run.dataset["time"][-1]))  # at its time, not at its step
    assert "&lt;script&gt;" in mean["sentences"][0]


def test_a_claim_that_needs_a_study_takes_the_stored_one(hostile, scheduler, run):
    def verdict():
        return {j.claim.slug: j for j in Subject.of_run(run).claims}["always"]

    assert verdict().holds is None
    assert "needs" in verdict().reason
    hostile.study(STUDY, scheduler=scheduler).wait()
    assert verdict().holds is True
    assert verdict().measured == "2 of 2"


def test_only_what_differs_is_listed(hostile, scheduler, run, tmp_path):
    other = hostile.run(scheduler=scheduler, rate=0.5, frames=8).wait()
    plain = hostile.run(scheduler=scheduler, frames=8).wait()
    text = plain.report(tmp_path / "y.html", other, frames=5).read_text()
    table = Tags(re.search(r'id="differences".*?</section>', text, re.DOTALL)[0]).words
    assert "0.5" in table and "0.9" in table
    assert "way" not in table and "seed" not in table
    data = data_of(text)
    a, b = (p for p in data["panels"] if p["group"] == 0)
    assert a["ranges"] == b["ranges"]
    assert data["frames"][0] == data["frames"][1]
    assert len(Tags(text).tags) > 50


def test_runs_of_other_lengths_are_compared_at_the_same_share(hostile, scheduler):
    subjects = [Subject.of_run(hostile.run(scheduler=scheduler, steps=n, frames=4).wait()) for n in (20, 40)]
    axis = compose.axis(subjects, [range(5), range(5)])
    assert axis["words"][2] == "50%: A step 10, B step 20"
    assert axis["frames"] == [[0, 1, 2, 3, 4]] * 2


def test_runs_of_one_length_are_compared_at_the_same_step(hostile, scheduler, run):
    subjects = [Subject.of_run(run), Subject.of_run(hostile.run(scheduler=scheduler, frames=4).wait())]
    axis = compose.axis(subjects, [range(21), range(5)])
    assert axis["words"][7] == "A step 14, B step 10"
    assert [m["label"] for m in axis["marks"]] == ["A: rate = 0.95", "A: kick (size 0.01)"]


def test_runs_are_compared_from_an_event_on(hostile, scheduler, run):
    """Its step is 0 in every run, and the moments before it are negative."""
    plain = hostile.run(scheduler=scheduler, frames=4, rate=0.5).wait()
    event = f"mean<={float(run.dataset['mean'][10])!r}"
    assert float(run.dataset["mean"][9]) > float(run.dataset["mean"][10]) > 0
    subjects = [report.stored(scheduler.store, x.id, "event", event) for x in (run, plain)]
    axis = compose.axis(subjects, [range(21), range(5)])
    steps = [s.dataset["step"].values for s in subjects]
    at = [event_step(s.dataset, event) for s in subjects]
    assert axis["at"][0] == min(x[0] - a for x, a in zip(steps, at, strict=True)) < 0 and 0.0 in axis["at"]
    zero = axis["at"].index(0.0)
    assert [x[axis["frames"][k][zero]] for k, x in enumerate(steps)] == at
    for k, own in enumerate(x - a for x, a in zip(steps, at, strict=True)):  # also before the event: what has been, not what was before it
        assert [own[f] for f in axis["frames"][k]] == [max(own[0], own[own <= place].max(initial=own[0])) for place in axis["at"]]
    assert axis["words"][zero] == f"0 steps after: {event}"
    text = report.build(subjects, 5)
    assert "aligned by an event" in text
    with pytest.raises(RunError, match="did not end as"):
        report.build([report.stored(scheduler.store, x.id, "event", "diverged") for x in (run, plain)])


def test_a_run_of_a_system_of_ones_own(scheduler, tmp_path):
    from stabviz.plan import Plan

    made = scheduler.submit(Plan(Decay(), schedule=Decay().schedule())).wait()
    text = made.report(tmp_path / "own.html", frames=3).read_text()
    assert "one of your own" in text


def test_there_is_nothing_to_report_before_the_first_frame(hostile, scheduler):
    with pytest.raises(RunError, match="no frame yet"):
        report.build([Run(hostile.plan(seed=6), scheduler, hostile)])


@pytest.mark.parametrize(("count", "frames", "message"), [(0, None, "one run"), (7, None, "up to 6"), (1, 1, "at least two moments")])
def test_what_cannot_be_is_a_sentence(run, count, frames, message):
    with pytest.raises(RunError, match=message):
        report.build([run] * count, frames)


def test_a_folder_that_is_not_there_is_a_sentence(run, tmp_path):
    with pytest.raises(RunError, match="there is no folder"):
        run.report(tmp_path / "nowhere" / "x.html", frames=2)


def test_the_command_writes_stored_runs(hostile, scheduler, run, tmp_path, capsys):
    url = scheduler.store.url
    assert main(["report", run.id[:8], "--store", url, "-o", str(tmp_path), "--frames", "3"]) == 0
    (written,) = tmp_path.glob("*.html")
    assert str(written) in capsys.readouterr().out
    assert run.id in written.read_text()
    assert main(["report", "0123456789abcdef", "--store", url]) == 2
    assert main(["report", run.id, "--store", url, "-o", str(tmp_path / "no" / "x.html")]) == 2
    assert main(["report", run.id, "--store", url, "--frames", "many"]) == 2
    assert capsys.readouterr().err.count("stabviz: ") == 3


def test_what_to_cite():
    text = citations(lab("sgd_stability"), {"versions": '{"jax": "9.9.9"}'})
    assert lab("sgd_stability").paper.title.split()[0] in text
    assert "version 9.9.9" in text
    assert text.count("{") == text.count("}")
    keys = re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) >= 8


def test_the_button_builds_beside_the_page(hostile, run):
    page = SimpleNamespace(lab=hostile, run=None)
    reporter = Reporter(page)
    assert "press Run" in reporter.card.why
    reporter.build()
    assert not reporter.card.busy
    page.run = run
    reporter.show()
    assert reporter.card.why == ""
    reporter.build()
    while reporter.card.busy:
        time.sleep(0.02)
    assert reporter.card.file["name"] == f"hostile-{run.id[:8]}.html"
    assert run.id in reporter.card.file["text"]
    reporter.card.emit("saved")
    assert reporter.card.file == {}


# How large ----------------------------------------------------------------------------------------------------------------------

def test_a_report_weighs_what_its_figures_and_moments_do(path):
    """12 moments of four small figures: what every file has, 60 kB a figure, and a tenth of what moments may weigh."""
    assert path.stat().st_size < FIXED + 4 * 6e4 + 12 * (MOST - FIXED) / MOMENTS / 10


@pytest.mark.claims
@pytest.mark.parametrize("slug", labs())
def test_a_default_run_of_any_lab_is_below_five_megabytes(slug, scheduler, tmp_path):
    found = lab(slug)
    if found.missing:
        pytest.skip(found.missing)
    written = found.run(scheduler=scheduler).wait().report(tmp_path / "x.html")
    assert written.stat().st_size < MOST
    assert "This view could not be drawn" not in written.read_text()


# In a browser, from disk, without a network ---------------------------------------------------------------------------------------

FIGURE = "[...Bokeh.documents[1]._all_models.values()].find(m => m.type === 'Figure')"
"""The figure of the second view: each is a document of its own, in the order of the page."""
POSITIONS = "[...Bokeh.documents[1]._all_models.values()].map(m => m.data?.y1).find(Boolean)"


def wait_until(page, true) -> None:
    """Look again until it is so; a picture is painted some time after its data have come."""
    for _ in range(100):
        if true():
            return
        page.wait_for_timeout(50)
    pytest.fail("it did not come about")


@pytest.fixture
def opened(browser, path):
    """The report opened from disk: the page, and what it asked for and complained of."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 800}, color_scheme="light")
    page, seen = context.new_page(), []
    page.on("console", lambda m: seen.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else seen.append(r.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready")
    yield page
    assert seen == []
    assert page.evaluate("window.hacked") is None
    context.close()


def test_the_scrubber_moves_pictures_and_words(opened, run):
    scrubber = opened.get_by_label("moment shown", exact=True)
    plots = [opened.locator(f"#plot-{g}-0") for g in range(4)]
    plots[1].scroll_into_view_if_needed()
    says = opened.locator("#say-1-0")
    assert "at step 40." in says.inner_text()
    before = [p.screenshot() for p in plots]
    scrubber.focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        opened.keyboard.press(key)
    opened.wait_for_function("!document.querySelector('#say-1-0').textContent.includes('at step 40.')")
    step = int(re.search(r"at step (\d+)\.", says.inner_text())[1])
    assert f"step {step}" in opened.locator(".now").inner_text()
    expected = run.dataset["x"].sel(step=step).values
    opened.wait_for_function(f"x => Math.abs({POSITIONS}[5] - x) < 1e-3", arg=float(expected[5]))
    np.testing.assert_allclose(list(opened.evaluate(f"Array.from({POSITIONS})")), expected, atol=1e-3)
    for plot, old in zip(plots, before, strict=True):
        wait_until(opened, lambda plot=plot, old=old: plot.screenshot() != old)


def test_it_plays_to_the_end(opened):
    opened.keyboard.press("p")
    opened.wait_for_function("document.querySelector('.now').textContent !== 'step 40'")
    opened.wait_for_function("document.querySelector('.now').textContent === 'step 40'")
    opened.get_by_role("button", name="Play").wait_for()


def test_a_zoom_survives_the_scrubber(opened):
    opened.evaluate(f"{FIGURE}.x_range.setv({{start: 1, end: 3}})")
    opened.locator("#plot-1-0").scroll_into_view_if_needed()
    for _ in range(4):
        opened.keyboard.press("ArrowLeft")
    opened.wait_for_function("!document.querySelector('#say-1-0').textContent.includes('at step 40.')")
    assert opened.evaluate(f"[{FIGURE}.x_range.start, {FIGURE}.x_range.end]") == [1, 3]


def test_both_themes_and_a_narrow_screen(opened):
    plot = opened.locator("#plot-1-0")
    light = plot.screenshot()
    opened.keyboard.press("t")
    assert opened.evaluate("document.documentElement.dataset.theme") == "dark"
    opened.wait_for_function("[...Bokeh.documents[0]._all_models.values()].some(m => m.line_color?.value === '#5bb0e0')")
    dark = plot.screenshot()
    assert dark != light
    opened.keyboard.press("t")
    opened.set_viewport_size({"width": 390, "height": 800})
    opened.wait_for_function("document.documentElement.scrollWidth <= 390")


def test_the_hostile_words_are_shown_as_they_are(opened):
    assert EVIL in opened.locator("h1").inner_text()
    assert EVIL in opened.locator("#say-0-0").inner_text()


# A sweep ------------------------------------------------------------------------------------------------------------------------


def test_a_sweep_has_its_map_its_cells_and_its_code(hostile, scheduler, tmp_path):
    study = Study(axes={"rate": [0.5, 0.9, 2.0], "seed": [0, 1]}, steps=200, frames=4, spacing="linear")
    job = hostile.study(study, scheduler=scheduler).wait()
    text = job.report(tmp_path / "s.html").read_text()
    (panel,) = data_of(text)["panels"]
    assert set(panel["keys"]) == {"limit/last", "/ended", *(f"{name}/{how}" for name in ("mean", "time") for how in ("last", "max", "min"))}
    assert len(panel["sentences"]) == len(panel["keys"]) == len(panel["at"])
    words = Tags(text).words
    assert words.count("finished") + words.count("diverged") >= 6
    assert "axes={'rate': [0.5, 0.9, 2.0], 'seed': [0, 1]}" in words
    assert [tag for tag, _ in Tags(text).tags].count("script") == 3
    stored = report.stored(scheduler.store, job.id)
    assert dict(stored.axes) == study.labels()
    assert stored.plan == job.plans[0]
    np.testing.assert_array_equal(stored.dataset["mean"], job.dataset["mean"])
    again: dict = {}
    exec(sweep.code(stored)[0][1].rsplit("\n", 1)[0], again)
    assert hostile.study(again["study"], scheduler=scheduler).id == job.id


def test_a_sweep_is_reported_alone(hostile, scheduler, run):
    job = hostile.study(STUDY, scheduler=scheduler).wait()
    with pytest.raises(RunError, match="each sweep by itself"):
        report.build([job, run])


@pytest.mark.parametrize("axes", [{"rate": [0.5, 0.9, 2.0], "way": ["plain", f"odd {EVIL}"]}, {"rate": [0.5, 0.9]}])
def test_the_map_of_a_sweep_in_a_browser(hostile, scheduler, tmp_path, browser, axes):
    job = hostile.study(Study(axes=axes, steps=20, frames=4), scheduler=scheduler).wait()
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 1200})
    page, seen = context.new_page(), []
    page.on("console", lambda m: seen.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.append(str(e)))
    page.goto(job.report(tmp_path / "s.html").as_uri())
    page.wait_for_function("document.documentElement.dataset.ready")
    plot, says = page.locator("#plot-0-0"), page.locator("#say-0-0")
    before, said = plot.screenshot(), says.inner_text()
    page.get_by_label("Which value").select_option("max")
    wait_until(page, lambda: plot.screenshot() != before and says.inner_text() != said)
    page.get_by_label("Look at").select_option("limit")
    wait_until(page, lambda: "Bound of the mean" in says.inner_text())
    page.get_by_label("Look at").select_option("")
    wait_until(page, lambda: "until the end" in says.inner_text())
    assert seen == []
    assert page.evaluate("window.hacked") is None
    context.close()
