"""Runs whose every value follows from its row number, and the processes that write and read them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np
import xarray as xr

from stabviz.store import Store

RUN = "0123456789abcdef"
OTHER = "fedcba9876543210"
TOTAL = 3000

PROCESSES = multiprocessing.get_context("forkserver")
# imported once, so that each process starts at once; what is not installed is passed over
PROCESSES.set_forkserver_preload(["xarray", "zarr", "numcodecs.blosc", "fsspec", "dask.array", "s3fs"])


def template(total: int = TOTAL, width: int = 300) -> xr.Dataset:
    """Two variables that grow, one of several chunks, a coordinate, a constant, an end observable."""
    return xr.Dataset(
        {
            "loss": ("step", np.broadcast_to(np.float64(np.nan), (total,)), {"long_name": "training loss", "units": "1"}),
            "w": (("step", "feature"), np.broadcast_to(np.float32(np.nan), (total, width))),
            "truth": ("feature", np.linspace(0.0, 1.0, width)),
            "end": ("feature", np.broadcast_to(np.nan, (width,))),
        },
        coords={"step": np.arange(total) * 10, "time": ("step", np.broadcast_to(np.nan, (total,)))},
        attrs={"lab": "test", "seed": 3},
    )


def rows(start: int, count: int, width: int = 300) -> dict[str, np.ndarray]:
    """The rows from `start` on."""
    k = np.arange(start, start + count)
    return {"loss": np.sin(k), "w": np.float32(np.cos(k[:, None] + np.arange(width) ** 2)), "time": k * 0.5}


def checkpoint(done: int) -> tuple[list[np.ndarray], dict[str, int]]:
    """The state after `done` rows; big enough to be half written when a process dies."""
    return [np.full(30_000, float(done)), np.array(done)], {"done": done}


def check_rows(dataset: xr.Dataset) -> int:
    """Every committed row is right; their number."""
    n = dataset.sizes["step"]
    for name, values in rows(0, n, dataset.sizes["feature"]).items():
        np.testing.assert_array_equal(dataset[name].values, values)
    np.testing.assert_array_equal(dataset["step"].values, np.arange(n) * 10)
    return n


def write_forever(url: str, options: dict, seed: int, acknowledge: Connection) -> None:
    """A process that resumes, commits odd blocks as fast as it can, and tells what is committed."""
    store, sizes = Store(url, storage_options=options), np.random.default_rng(seed)
    with store.writer(RUN, template(), ("step",)) as writer:
        saved = store.load_checkpoint(RUN)
        assert (saved.meta["done"] if saved else 0) == writer.rows["step"]
        while (done := writer.rows["step"]) < TOTAL:
            n = min(int(sizes.integers(1, 12)), TOTAL - done)
            writer.commit({"step": rows(done, n)}, checkpoint=checkpoint(done + n), attrs={"done": done + n})
            acknowledge.send(done + n)


def blocks(total: int, seed: int, most: int = 40) -> Iterator[tuple[int, int]]:
    """(start, count) of odd blocks that make up `total` rows."""
    sizes, start = np.random.default_rng(seed), 0
    while start < total:
        count = min(int(sizes.integers(1, most)), total - start)
        yield start, count
        start += count
