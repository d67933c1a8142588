"""The Runs page: the table, its filters, deleting with undo, going on, comparing, downloads; links to runs by name."""

from __future__ import annotations

import dataclasses
import io
import json
import socket
import time
import urllib.error
import urllib.request

import pytest
import xarray as xr

from stabviz.app import downloads, link, serve
from stabviz.app.catalog import Catalog
from stabviz.app.runs import RunsPage, link_of
from stabviz.job import RunError
from stabviz.scheduler import Scheduler
from stabviz.store import Store, StoreError, layout

MANY = 600
RATES = (0.99, 0.5, 0.25)


@pytest.fixture(scope="module")
def ran(installed, tmp_path_factory):
    """A store with three runs and a sweep of the toy lab; the runs' names by their rate."""
    folder = tmp_path_factory.mktemp("runs")
    scheduler = Scheduler(Store(folder))
    names = {rate: installed.run(rate=rate, steps=40, frames=10, scheduler=scheduler).wait().id for rate in RATES}
    from stabviz.studies import Study

    installed.study(Study(axes={"rate": [0.1, 0.2]}, steps=4, frames=2), scheduler).wait()
    yield folder, names, scheduler
    scheduler.close()


@pytest.fixture(scope="module")
def crowded(ran):
    """The same store with many more runs, of which only the root documents are there."""
    folder, names, _ = ran
    root = (folder / names[0.5] / "zarr.json").read_bytes()
    attrs, record = layout.parse_root(root)
    tail = layout.root_tail(layout.arrays_of(root))
    for k in range(MANY):
        plan = json.loads(str(attrs["plan"]))
        plan["controls"]["rate"], plan["seed"] = 1 + k / 1000, k
        told = {**attrs, "plan": json.dumps(plan), "status": "diverged" if k % 3 == 0 else "finished"}
        (folder / f"{k:016x}").mkdir()
        document = layout.document(told, dataclasses.replace(record, created=record.created - 60 - k), tail)
        (folder / f"{k:016x}" / "zarr.json").write_bytes(document)
    return folder


def fresh(ran) -> Catalog:
    made = Catalog(ran[2])
    made.refresh()
    return made


def test_the_catalogue_reads_again_only_what_has_changed(ran, monkeypatch):
    _, names, _ = ran
    made = fresh(ran)
    version, rows, gone = made.since(0)
    assert len(rows) >= 4 and gone == []
    mine = {row[0]: row for row in rows}
    assert [mine[names[rate]][2].get("rate") for rate in RATES] == [None, None, "0.25"]  # 0.5 is the preset "slow"
    assert made.bases[mine[names[0.5]][1]].preset == "slow"
    (sweep,) = [row for row in rows if row[10]]
    assert (sweep[10], sweep[11]) == (2, {"rate": 2})
    read: list[str] = []
    monkeypatch.setattr(Store, "info", lambda self, name: read.append(name))
    made.refresh()
    assert read == [] and made.since(version) == (version, [], [])


def test_claims_are_judged_for_the_rows_on_the_screen_only(ran):
    _, names, _ = ran
    made = fresh(ran)
    made.judge([names[0.5]])
    end = time.monotonic() + 30
    while not made.scores and time.monotonic() < end:
        time.sleep(0.02)
    rows = {row[0]: row[12] for row in made.since(0)[1]}
    assert rows[names[0.5]] == [1, 1] and rows[names[0.25]] is None


def test_a_stored_run_has_a_page_and_a_fork(ran, installed):
    lab = installed
    _, names, scheduler = ran
    found, words = link_of(scheduler, names[0.25])
    assert found is lab and link.read(lab, words).plan(lab).id == names[0.25]
    state = link.read(lab, link_of(scheduler, names[0.25], fork=True)[1])
    assert (state.start, state.values["rate"], state.steps, state.problems) == (names[0.25], 0.25, 40, [])
    child = scheduler.submit(state.plan(lab), lab=lab).wait()
    parent = scheduler.submit(link.read(lab, words).plan(lab), lab=lab).wait()
    assert float(child.dataset["mean"][0]) == float(parent.dataset["mean"][-1])
    for name, error in (("../" + names[0.5], StoreError), ("f" * 16, StoreError), ("", StoreError)):
        with pytest.raises(error):
            link_of(scheduler, name)
    sweep = next(info.id for info in scheduler.store.runs() if info.attrs.get("kind") == "study")
    with pytest.raises(RunError, match="a sweep"):
        link_of(scheduler, sweep)
    wrong = link.read(lab, "?lab=toy&start=../../etc&keys=noise%3D4+what%3D1")
    assert wrong.start == "" and wrong.keys == () and len(wrong.problems) == 2
    assert link.read(lab, link.write(lab, dataclasses.replace(state, keys=(("noise", 4),)))).keys == (("noise", 4),)


def test_names_from_the_browser_are_checked(ran):
    from stabviz.app.components import Browser

    folder, names, scheduler = ran
    page = RunsPage(scheduler, {"compare": f"../x,{names[0.5]},{names[0.25]}"}, Browser())
    assert page.comparison.names == [names[0.5], names[0.25]]
    page.delete(["..", "../" + names[0.5], "", None, 3, ".deleted-1"])
    page.undo(["../x"])
    assert all((folder / name).is_dir() for name in names.values())


@pytest.fixture(scope="module")
def served(crowded, ran):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(port=port, store=str(crowded), threaded=True, websocket_origin=f"127.0.0.1:{port}")
    yield f"http://127.0.0.1:{port}/"
    server.stop()


def fetched(address: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_files_of_runs_have_addresses(served, ran):
    _, names, _ = ran
    status, data = fetched(f"{served}runs/{names[0.5]}.nc")
    assert status == 200
    with xr.open_dataset(io.BytesIO(data), engine="h5netcdf") as ds:
        assert ds.sizes["step"] == 11 and ds.attrs["run"] == names[0.5]
    status, data = fetched(f"{served}runs/{names[0.5]}.zarr.zip")
    assert (status, data[:2]) == (200, b"PK")
    for path, code in ((f"{'f' * 16}.nc", 404), ("..%2F..%2Fetc.nc", 404), (f"{names[0.5]}.txt", 404),
                       (f"{names[0.5]}+{names[0.25]}.nc", 422)):  # fmt: skip
        assert fetched(f"{served}runs/{path}")[0] == code


def test_files_come_through_the_page_where_the_server_has_no_addresses(page, served, quiet, ran, monkeypatch):
    """As under `panel serve app.py`."""
    name = ran[1][0.5]
    monkeypatch.setattr(downloads, "serving", [])
    page.goto(f"{served}?page=runs&q={name}&sel={name}")
    page.wait_for_function(f"() => {COUNT}?.startsWith('1 of')")
    for button, kind, begins in (("netCDF", "nc", b"\x89HDF"), ("Zarr", "zarr.zip", b"PK"), ("Report", "html", b"<!doctype")):
        with page.expect_download() as given:
            page.get_by_role("button", name=button, exact=True).click()
        assert given.value.suggested_filename == f"stabviz-{name[:8]}.{kind}"
        assert given.value.path().read_bytes().lower().startswith(begins.lower())
    monkeypatch.setattr(downloads, "MOST_BYTES", 10)
    page.get_by_role("button", name="netCDF", exact=True).click()
    page.get_by_text("too much for a page").wait_for()


def test_the_table_filters_sorts_deletes_and_brings_back(page, served, quiet, ran):
    folder = ran[0]
    page.goto(f"{served}?page=runs")
    count, lines = page.locator(".count"), page.locator(".line1")
    total = len(Store(folder).runs())
    page.wait_for_function(f"n => {COUNT} === n", arg=f"{total:,} runs")
    assert lines.count() < 40  # only what is on the screen
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    find = page.locator(".find input")
    find.fill("rate>1.5 diverged")
    page.wait_for_function(f"() => {COUNT}.startsWith('33 of')")
    page.get_by_role("button", name="Size").click()
    assert "sort=size" in page.url and "q=rate" in page.url
    page.reload()
    page.wait_for_function(f"() => {COUNT}?.startsWith('33 of')")
    find.fill("seed=590")
    page.wait_for_function(f"() => {COUNT}.startsWith('1 of')")
    lines.first.click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("deleted.").wait_for()
    assert count.text_content().startswith("0 of") and not (folder / f"{590:016x}").exists()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("brought back.").wait_for()
    page.wait_for_function(f"() => {COUNT}.startsWith('1 of')")
    assert (folder / f"{590:016x}").is_dir()


def test_runs_are_compared_and_the_link_says_how(page, served, quiet, ran):
    _, names, _ = ran
    page.goto(f"{served}?page=runs&q=seed%3D0+finished&sort=steps")
    page.locator(f"#run-{names[0.5]}").click()
    page.locator(f"#run-{names[0.25]}").click()
    page.get_by_role("button", name="Compare").click()
    table = page.locator(".compare tbody")
    table.get_by_role("row", name="rate 0.5 0.25").wait_for()
    assert table.get_by_role("row").count() == 1  # only what differs
    page.wait_for_function("() => [...Bokeh.documents[0]._all_models.values()].some(m => m.type === 'Figure')")
    page.get_by_label("Aligned").select_option("event")
    page.get_by_label("Event").fill("mean>1.2")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.search.includes('align=event') && location.search.includes('1.2')")
    figures = "[...Bokeh.documents[0]._all_models.values()].filter(m => m.type === 'Figure')"
    page.wait_for_function(f"() => {figures}.some(f => f.x_range.start < -1)")  # steps before the event are negative
    page.get_by_role("button", name="End comparison").click()
    page.wait_for_function("() => !location.search.includes('compare')")
    page.goto(f"{served}?run={names[0.25]}")
    page.wait_for_function("() => location.search.includes('rate=0.25')", timeout=60_000)
    assert page.locator(".head h1").text_content() == "Toy"


COUNT = """(() => { const walk = n => { for (const e of n.querySelectorAll('*')) { if (e.classList.contains('count')) return e.textContent
  const found = e.shadowRoot && walk(e.shadowRoot); if (found) return found } }; return walk(document) })()"""
