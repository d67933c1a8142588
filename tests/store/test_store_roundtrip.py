"""What is put into a store comes out of it: types, blocks, dimensions, attributes, lists, files."""

from __future__ import annotations

import json
import pickle
import time
from datetime import UTC, datetime

import ml_dtypes
import numpy as np
import pytest
import xarray as xr
from store_world import OTHER, RUN, blocks, check_rows, checkpoint, rows, template

from stabviz.store import RunNotFound, Store, StoreError, default_url

DTYPES = ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "float16", "float32", "float64", "complex64", "complex128", "U5"]


def values(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values that are not kind: signed zeros, NaN, infinities, extremes, text that is not ASCII."""
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype).kind
    if kind == "U":
        return rng.choice(np.array(["", "a", "SGD", "größe", "η=½"]), shape)
    if kind in "iub":
        raw = rng.integers(0, 2, shape).astype(dtype)
        raw.flat[0] = 1 if kind == "b" else np.iinfo(dtype).max
        return raw
    raw = rng.standard_normal(shape).astype(dtype)
    if kind == "c":
        raw = raw + np.asarray(1j, dtype) * rng.standard_normal(shape).astype(np.finfo(dtype).dtype)
    raw.flat[:4] = [-0.0, np.nan, np.inf, -np.inf]
    return raw


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit, -0.0 and NaN included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_grows_stays_and_is_exported_to_the_bit(tmp_path, dtype):
    grown, whole, flat = values(dtype, (23, 3)), values(dtype, (7,)), values(dtype, (23,))
    fill = np.zeros((), dtype)
    ds = xr.Dataset(
        {
            "grown": (("step", "x"), np.broadcast_to(fill, (23, 3))), "flat": ("step", np.broadcast_to(fill, (23,))),
            "whole": ("y", whole), "end": ("y", np.broadcast_to(fill, (7,))), "point": ((), whole[0]),
        },
        coords={"step": np.arange(23), "label": ("y", whole)},
    )  # fmt: skip
    store = Store(tmp_path / "store")
    with store.writer(RUN, ds, ("step",)) as writer:
        for start, count in blocks(23, 1, 9):
            writer.commit({"step": {"grown": grown[start : start + count], "flat": flat[start : start + count]}})
        writer.commit(once={"end": whole})
    expected = {"grown": grown, "flat": flat, "whole": whole, "end": whole, "label": whole, "point": np.asarray(whole[0])}
    opened = store.open(RUN)
    store.export(RUN, tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as exported:
        for name, value in expected.items():
            assert same_bits(opened[name].values, value.astype(opened[name].dtype)), name
            np.testing.assert_array_equal(exported[name].values, value, err_msg=name)
    assert opened["flat"].dtype == np.dtype(dtype)


@pytest.mark.parametrize("seed", range(3))
def test_odd_blocks_equal_the_whole_over_chunk_borders_and_resumptions(tmp_path, seed):
    ds = template(2000)  # w is 2.4 MB: three chunks
    store = Store(tmp_path)
    for start, count in blocks(2000, seed, 500):
        with store.writer(RUN, ds, ("step",)) as writer:  # each block by a new writer: the tail is read again
            assert writer.rows == {"step": start}
            writer.commit({"step": rows(start, count)})
    assert check_rows(store.open(RUN)) == 2000
    plain = xr.open_zarr(tmp_path / RUN, consolidated=True, chunks=None)  # any xarray reads a finished run
    np.testing.assert_array_equal(plain["w"].values, store.open(RUN)["w"].values)
    assert "time" in plain.coords


def test_several_dimensions_grow_apart(tmp_path):
    ds = xr.Dataset(
        {
            "loss": ("step", np.broadcast_to(0.0, (10,))),
            "reward": (("step_rollout", "member"), np.broadcast_to(0.0, (4, 2))),
        },
        coords={"step": np.arange(10), "step_rollout": np.arange(4) * 3, "member": ["a", "b"]},
    )
    store = Store(tmp_path)
    with store.writer(RUN, ds, ("step", "step_rollout")) as writer:
        writer.commit({"step": {"loss": np.arange(5.0)}})
        assert dict(store.open(RUN).sizes) == {"step": 5, "step_rollout": 0, "member": 2}
        writer.commit({"step": {"loss": np.arange(5.0, 7)}, "step_rollout": {"reward": np.ones((2, 2))}})
        writer.commit({"step": {}, "step_rollout": {"reward": np.ones((0, 2))}})
        assert writer.rows == {"step": 7, "step_rollout": 2}
    opened = store.open(RUN)
    np.testing.assert_array_equal(opened["loss"], np.arange(7.0))
    np.testing.assert_array_equal(opened["step_rollout"], [0, 3])
    assert store.info(RUN).frames == 7
    assert store.info(RUN).rows == {"step": 7, "step_rollout": 2}


def test_cases_with_names_grow(tmp_path):
    ds = xr.Dataset({"loss": (("case", "step"), np.broadcast_to(np.nan, (3, 4)))}, coords={"case": ["SGD", "GD", "Adam"], "step": range(4)})
    store = Store(tmp_path)
    with store.writer(RUN, ds, ("case",)) as writer:
        writer.commit({"case": {"loss": np.ones((2, 4))}})
    opened = store.open(RUN)
    assert opened["case"].values.tolist() == ["SGD", "GD"]
    assert opened.sel(case="GD")["loss"].sum() == 4


def test_empty_sizes_and_no_steps(tmp_path):
    ds = xr.Dataset({"x": (("step", "none"), np.zeros((1, 0))), "y": ("step", np.broadcast_to(1.5, (1,)))}, coords={"step": [0]})
    store = Store(tmp_path)
    with store.writer(RUN, ds, ("step",)) as writer:
        assert store.open(RUN)["y"].values.shape == (0,)
        writer.commit({"step": {"x": np.zeros((1, 0)), "y": np.ones(1)}})
    assert store.open(RUN)["x"].values.shape == (1, 0)
    with store.writer(OTHER, xr.Dataset(attrs={"lab": "none"}), ()) as writer:
        writer.commit(attrs={"status": "finished"})
    assert store.open(OTHER).attrs == {"lab": "none", "status": "finished"}
    assert store.info(OTHER).frames == 0


def test_end_observables_are_placeholders_until_they_are_committed(tmp_path):
    store = Store(tmp_path)
    with store.writer(RUN, template(10, 4), ("step",)) as writer:
        np.testing.assert_array_equal(store.open(RUN)["end"].values, np.full(4, np.nan))
        assert np.isnan(store.open(RUN)["end"].isel(feature=[2, 0]).values).all()
        writer.commit(once={"end": np.arange(4)})
        np.testing.assert_array_equal(store.open(RUN)["end"], np.arange(4.0))
        writer.commit(once={"end": -np.arange(4)})  # a second time is allowed
    np.testing.assert_array_equal(store.open(RUN)["end"], -np.arange(4.0))
    np.testing.assert_array_equal(store.open(RUN)["truth"], np.linspace(0, 1, 4))


def test_reading_is_lazy_and_indexing_is_like_numpy(tmp_path):
    store = Store(tmp_path)
    with store.writer(RUN, template(50, 6), ("step",)) as writer:
        writer.commit({"step": rows(0, 40, 6)})
    w = rows(0, 40, 6)["w"]
    for key in [
        (3, slice(None)), (-1, 2), (slice(None, None, -1), slice(1, 5, 2)), ([4, 1, 39], slice(None)), (slice(5, 9), [0, 5]),
        ([1, 2], [3, 3]),
    ]:  # fmt: skip
        opened = store.open(RUN)["w"]
        assert not opened._in_memory
        expected = w[np.ix_(*key)] if all(isinstance(k, list) for k in key) else w[key]
        np.testing.assert_array_equal(opened.isel(step=key[0], feature=key[1]).values, expected)
    np.testing.assert_array_equal(store.open(RUN).sel(step=[100, 20])["loss"], np.sin([10, 2]))
    again = pickle.loads(pickle.dumps(store.open(RUN)))
    assert check_rows(again) == 40


def test_attributes_come_back_flat(tmp_path):
    class Word(str):
        pass

    store = Store(tmp_path)
    given = {
        "ok": True,
        "n": np.int64(3),
        "x": np.float32(0.5),
        "nan": float("nan"),
        "inf": np.inf,
        "low": -np.inf,
        "w": Word("a"),
        "é": "ü",
    }
    with store.writer(RUN, template(10).assign_attrs(given), ("step",)) as writer:
        writer.commit(attrs={"status": "finished", "ended_step": 90})
        assert writer.attrs["status"] == "finished"
    expected = {
        "lab": "test", "seed": 3, "ok": 1, "n": 3, "x": 0.5, "nan": "NaN", "inf": "Infinity", "low": "-Infinity", "w": "a", "é": "ü",
        "status": "finished", "ended_step": 90,
    }  # fmt: skip
    assert store.open(RUN).attrs == store.info(RUN).attrs == expected
    assert store.open(RUN)["loss"].attrs == {"long_name": "training loss", "units": "1"}
    json.loads((tmp_path / RUN / "zarr.json").read_text(), parse_constant=pytest.fail)  # readers that are strict about JSON


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, 1j, b"x", np.zeros(3)])
def test_attributes_that_would_not_travel_are_refused_with_a_sentence(tmp_path, value):
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=r"'odd'.*is a text, an integer or a number"):
        store.writer(RUN, template(10).assign_attrs(odd=value), ("step",))
    assert not store.exists(RUN)
    with store.writer(RUN, template(10), ("step",)) as writer:
        with pytest.raises(StoreError, match="'odd'"):
            writer.commit({"step": rows(0, 5)}, attrs={"odd": value})
        assert writer.rows == {"step": 0}


def test_checkpoint_leaves_come_back_to_the_bit(tmp_path):
    leaves = [
        np.float32(1.5), np.arange(6).reshape(2, 3)[:, ::-1], np.zeros((0, 3)), np.array([True, False]), np.array(3 + 1j, np.complex64),
        np.array([1.5, -0.0], ml_dtypes.bfloat16), np.array([7, 2**32 - 1], np.uint32),
    ]  # fmt: skip
    store = Store(tmp_path)
    with store.writer(RUN, template(10), ("step",)) as writer:
        assert store.load_checkpoint(RUN) is None
        writer.commit({"step": rows(0, 3)}, checkpoint=(leaves, {"k": 3, "best": [1.0, float("inf")], "none": None}))
        writer.commit({"step": rows(3, 2)})  # without one: the old stays and says which rows are its
        saved = store.load_checkpoint(RUN)
        assert saved.meta == {"k": 3, "best": [1.0, float("inf")], "none": None}
        assert saved.rows == {"step": 3}
        assert all(same_bits(np.asarray(a), b) for a, b in zip(leaves, saved.leaves, strict=True))
        writer.rewind()
        assert writer.rows == {"step": 3} and store.open(RUN).sizes["step"] == 3
        writer.commit({"step": rows(3, 7)}, checkpoint=([], {}))
        assert store.load_checkpoint(RUN).leaves == []
    assert check_rows(store.open(RUN)) == 10
    assert len(list((tmp_path / RUN).glob(".checkpoint*"))) == 1
    with store.writer(RUN, template(10), ("step",)) as writer, pytest.raises(StoreError, match="leaf"):
        writer.commit(checkpoint=([np.array([None])], {}))


def test_lists_are_newest_first_and_sizes_are_true(tmp_path):
    before = datetime.now(UTC)
    store = Store(tmp_path)
    ids = [f"{k:08x}" for k in range(5)]
    for run in ids:
        with store.writer(run, template(100), ("step",)) as writer:
            writer.commit({"step": rows(0, 60)}, checkpoint=checkpoint(60))
            writer.commit({"step": rows(60, 20)}, checkpoint=checkpoint(80))
    runs = store.runs()
    assert [info.id for info in runs] == ids[::-1]
    assert store.problems() == []
    for info in runs:
        assert info == store.info(info.id)
        assert info.size == pytest.approx(sum(f.stat().st_size for f in (tmp_path / info.id).rglob("*") if f.is_file()), abs=64)
        assert before <= info.created <= info.changed <= datetime.now(UTC)
    assert sorted(p.name for p in tmp_path.iterdir()) == ids  # no lock is left


def test_thousands_of_runs_are_listed_at_once(tmp_path):
    store = Store(tmp_path)
    store.writer(RUN, template(), ("step",)).close()
    root = (tmp_path / RUN / "zarr.json").read_bytes()
    for k in range(5000):
        (tmp_path / f"{k:08x}").mkdir()
        (tmp_path / f"{k:08x}" / "zarr.json").write_bytes(root)
    start = time.perf_counter()
    assert len(store.runs()) == 5001
    assert time.perf_counter() - start < 2


def test_deleted_runs_are_gone_and_their_readers_are_told(tmp_path):
    store = Store(tmp_path)
    with store.writer(RUN, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, 60)})
    opened = store.open(RUN)
    store.delete(RUN)
    assert not store.exists(RUN) and store.runs() == [] and list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="deleted or damaged"):  # not fill values
        opened["w"].values
    for act in (store.open, store.info, store.delete, store.load_checkpoint, lambda run: store.export(run, tmp_path / "x.nc")):
        with pytest.raises(RunNotFound, match=RUN):
            act(RUN)
    assert list(tmp_path.iterdir()) == []


def test_export_is_whole_or_not_at_all(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    with store.writer(RUN, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, 60)})
    path = tmp_path / "run.nc"
    path.write_text("what was there before")
    for chunk in (tmp_path / "store" / RUN / "w").glob("c.*"):
        chunk.rename(chunk.with_suffix(".away"))
    with pytest.raises(StoreError, match="w"):
        store.export(RUN, path)
    assert path.read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 2
    for chunk in (tmp_path / "store" / RUN / "w").glob("*.away"):
        chunk.rename(chunk.with_suffix(".0"))
    store.export(RUN, path)
    with xr.open_dataset(path, engine="h5netcdf") as exported:
        assert check_rows(exported) == 60
        assert exported.attrs["lab"] == "test" and exported["loss"].attrs["units"] == "1"
    with pytest.raises(StoreError, match="folder"):
        store.export(RUN, tmp_path)
    with pytest.raises(StoreError, match="folder"):
        store.export(RUN, tmp_path / "missing" / "run.nc")


def test_where_the_store_is(tmp_path, monkeypatch):
    monkeypatch.setenv("STABVIZ_STORE", str(tmp_path / "a"))
    assert Store().url == str(tmp_path / "a")
    monkeypatch.delenv("STABVIZ_STORE")
    assert default_url().endswith("runs")
    assert Store(f"file://{tmp_path}").runs() == [] and Store(tmp_path / "not there").runs() == []
    monkeypatch.setenv("STABVIZ_STORE_OPTIONS", "[1]")
    with pytest.raises(StoreError, match="STABVIZ_STORE_OPTIONS"):
        Store("memory://x")
