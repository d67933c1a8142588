"""The store: what a commit costs, how soon a long run is open, how soon thousands are listed."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import xarray as xr

from stabviz import listing
from stabviz.store import Store, layout

from .side_by_side import compare, note

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

RUN, FRAMES, WIDTH, MANY = "0123456789abcdef", 10_000, 64, 5_000


def template(frames):
    """Ten numbers and 64 weights a frame."""
    empty = {f"number_{i}": ("step", np.broadcast_to(np.float64(np.nan), (frames,))) for i in range(10)}
    weights = {"w": (("step", "feature"), np.broadcast_to(np.float32(np.nan), (frames, WIDTH)))}
    return xr.Dataset(empty | weights, {"step": np.arange(frames)}, {"lab": "benchmark"})


def rows(start, count):
    k = np.arange(start, start + count)
    return {f"number_{i}": np.sin(k + i) for i in range(10)} | {"w": np.float32(np.cos(k[:, None] + np.arange(WIDTH)))}


def test_a_commit_against_an_append_of_xarray(benchmark, tmp_path):
    """Blocks of 50 frames with a state of 2,000 numbers, beside `Dataset.to_zarr(append_dim="step")` of the same blocks."""
    count, block = 20, 50
    state = [np.zeros(2_000)]
    names = iter(range(10**6))
    milliseconds: list[float] = []

    def ours():
        store = Store(tmp_path / f"ours{next(names)}")
        with store.writer(RUN, template(count * block), ("step",)) as writer:
            for i in range(count):
                made, start = rows(i * block, block), time.perf_counter()
                writer.commit({"step": made}, checkpoint=(state, {"frame": i}))
                milliseconds.append(1e3 * (time.perf_counter() - start))

    def theirs():
        path = str(tmp_path / f"theirs{next(names)}")
        for i in range(count):
            made = rows(i * block, block)
            variables = {name: (("step", "feature")[: v.ndim], v) for name, v in made.items()}
            block_of = xr.Dataset(variables, {"step": np.arange(i * block, (i + 1) * block)})
            block_of.to_zarr(path, append_dim="step" if i else None, consolidated=False, zarr_format=3)

    found = compare(benchmark, ours, theirs, rounds=3, what="20 commits of 50 frames with the state", beside="xarray's to_zarr, no state")
    note(benchmark, "a commit of 50 frames with the state", milliseconds, "ms", limit="two renames and 13 files")
    assert found["ratio"] < 2


def test_a_long_run_is_opened(benchmark, tmp_path):
    """10,000 frames: open, and read one number of each; beside `xarray.open_zarr`."""
    store = Store(tmp_path)
    with store.writer(RUN, template(FRAMES), ("step",)) as writer:
        for start in range(0, FRAMES, 500):
            writer.commit({"step": rows(start, 500)})
    times: list[float] = []

    def ours():
        start = time.perf_counter()
        ds = store.open(RUN)
        times.append(1e3 * (time.perf_counter() - start))
        assert float(ds["number_3"].values[-1]) == np.sin(FRAMES - 1 + 3)

    def theirs():
        ds = xr.open_zarr(str(tmp_path / RUN), consolidated=False)
        assert float(ds["number_3"].values[-1]) == np.sin(FRAMES - 1 + 3)

    compare(benchmark, ours, theirs, rounds=5, what="a run of 10,000 frames opened, a variable read", beside="xarray.open_zarr")
    note(benchmark, "a run of 10,000 frames opened", times, "ms")


def test_thousands_are_listed(benchmark, tmp_path):
    """5,000 runs whose root documents are read; then once more, when a survey says that nothing has changed."""
    store = Store(tmp_path)
    with store.writer(RUN, template(10), ("step",)) as writer:
        writer.commit({"step": rows(0, 10)})
    root = (tmp_path / RUN / "zarr.json").read_bytes()
    attrs, record = layout.parse_root(root)
    tail = layout.root_tail(layout.arrays_of(root))
    for k in range(MANY - 1):
        (tmp_path / f"{k:016x}").mkdir()
        document = layout.document({**attrs, "seed": k}, dataclasses.replace(record, created=record.created - k), tail)
        (tmp_path / f"{k:016x}" / "zarr.json").write_bytes(document)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert len(listing.rows(store)) == MANY
        times.append(time.perf_counter() - start)
    benchmark.pedantic(lambda: None, rounds=1)
    note(benchmark, "5,000 runs listed", times, "s", limit="5,000 files opened")
