"""The store: runs by name, listed, opened, exported, deleted."""

import contextlib
import json
import os
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xarray as xr
from zarr.storage import ZipStore

from . import layout, reader
from .errors import RunNotFound, StoreDamaged, StoreError, StoreReadOnly, sentences
from .layout import ROOT, Checkpoint, RunInfo, checked_id
from .places import LocalPlace, Place, RemotePlace
from .quota import Quota
from .writer import Writer

KEPT_SECONDS = 86400.0
"""A discarded run can be brought back for so long."""


class Store:
    """Runs as xarray on Zarr, in a local folder or at any address that fsspec reaches.

    url: folder or address; by default $STABVIZ_STORE, else a folder for data of this user. storage_options: for fsspec (endpoint, keys);
    by default the JSON in $STABVIZ_STORE_OPTIONS. quota: bytes that it may take, with what was discarded; beyond it writing raises
    StoreFull, and nothing that is there is lost. Safe to use from several threads and processes at once. Local runs are locked against
    second writers by the kernel; elsewhere there is only a lease (see `stabviz.store.places.Lease`).
    """

    def __init__(
        self, url: str | os.PathLike | None = None, *, read_only: bool = False, storage_options: dict[str, Any] | None = None,
        quota: float | None = None,
    ) -> None:  # fmt: skip
        self.url = os.fspath(url) if url is not None else default_url()
        self.read_only = read_only
        self._options = storage_options
        self._place: Place = self._open_place()
        self.quota = None if quota is None else Quota(quota, self._place.used, self.url)

    def limited(self, read_only: bool = False, quota: float | None = None) -> "Store":
        """The same store, opened to be read only, or with a quota."""
        return Store(self.url, read_only=self.read_only or read_only, storage_options=self._options, quota=quota)

    def _open_place(self) -> Place:
        if "://" not in self.url or self.url.startswith("file://"):
            return LocalPlace(Path(self.url.removeprefix("file://")).expanduser().absolute())
        options = _options_from_environment() if self._options is None else self._options
        with sentences(self.url, "connecting"):
            return RemotePlace(self.url, options)

    def __repr__(self) -> str:
        return f"<Store {self.url}{', read only' if self.read_only else ''}>"

    def __reduce__(self) -> tuple:
        return _rebuilt, (self.url, self.read_only, self._options, self.quota and self.quota.most)

    def writer(self, run_id: str, template: xr.Dataset, grows: tuple[str, ...] = ("step",)) -> Writer:
        """Create a run, or go on where its last commit ended.

        template: the Dataset in full size, with `np.broadcast_to` of a fill value for each variable that grows or comes at the end;
        coordinates and constants are written at once. grows: dimensions that grow; a variable grows if its first dimension does (a
        coordinate only if it is such a broadcast).
        """
        self._writable()
        return Writer(self._place, checked_id(run_id), template, grows, self.quota)

    def open(self, run_id: str) -> xr.Dataset:
        """The committed rows, read lazily; also while the run is written, from any process. It does not grow: open it again for more."""
        return self._translated(run_id, "opening the run", self._dataset)

    def info(self, run_id: str) -> RunInfo:
        """What the root document says of one run."""
        return self._translated(run_id, "reading the run", lambda run: layout.run_info(run, self._place.read(run, ROOT)))

    def load_checkpoint(self, run_id: str) -> Checkpoint | None:
        """The state to go on from, or None. It belongs to `rows` of the Checkpoint: the last ones, if each commit had one."""
        return self._translated(run_id, "reading the checkpoint", self._checkpoint)

    def exists(self, run_id: str) -> bool:
        """Whether the store has the run, whole or damaged."""
        with sentences(self.url, "looking for a run"):
            return self._place.occupied(checked_id(run_id))

    def written(self, run_id: str) -> bool:
        """Whether somebody seems to write the run at this moment (nothing is locked to find out)."""
        with sentences(self.url, "looking for a run's writer"):
            return self._place.held(checked_id(run_id))

    def runs(self) -> list[RunInfo]:
        """All runs, newest first; what is damaged or not ours is left out (see `problems`)."""
        found = [what for _, what in self._survey() if isinstance(what, RunInfo)]
        return sorted(found, key=lambda info: (info.created, info.id), reverse=True)

    def survey(self, seen: dict[str, tuple[Any, RunInfo]]) -> list[RunInfo]:
        """All runs, as `runs`; those that have not changed are taken from `seen`, which is brought up to date: cheap to ask again."""
        with sentences(self.url, "listing the runs"):
            stamps = self._place.stamps()
        if stamps is None:
            return self.runs()
        for name in set(seen) - set(stamps):
            del seen[name]
        for name, stamp in stamps.items():
            if name not in seen or seen[name][0] != stamp:
                try:
                    seen[name] = stamp, self.info(name)
                except StoreError:  # gone meanwhile, or damaged
                    seen.pop(name, None)
        return sorted((info for _, info in seen.values()), key=lambda info: (info.created, info.id), reverse=True)

    def problems(self) -> list[tuple[str, str]]:
        """(name, one sentence why it is no run) of all else that lies in the store."""
        return sorted((name, what) for name, what in self._survey() if isinstance(what, str))

    def delete(self, run_id: str) -> None:
        """Remove a run for good, damaged ones too. A reader sees all of it or gets an error; a run that is being written is busy."""
        self._held(run_id, "deleting the run", self._place.delete)

    def discard(self, run_id: str) -> None:
        """Remove a run so that `restore` brings it back, for `KEPT_SECONDS` at least; its space is not free before.

        One rename (elsewhere than in a local folder: one object removed): a process that dies at any moment leaves it either a run
        or discarded. What is older is removed for good by the next `discard`.
        """
        self.purge(KEPT_SECONDS)
        self._held(run_id, "deleting the run", self._place.discard)

    def restore(self, run_id: str) -> None:
        """Bring a discarded run back, the one that was discarded last."""
        self._writable()
        run_id = checked_id(run_id)
        with sentences(self._place.where(run_id), "restoring the run"):
            found = [when for name, when in self._place.discarded() if name == run_id]
            if not found:
                raise RunNotFound(f"There is no deleted run {run_id} in {self.url} that could be brought back.")
            hold = self._place.hold(run_id)
            try:
                if self._place.occupied(run_id):
                    raise StoreError(f"There is a run {run_id} in {self.url} again: delete that one first.")
                self._place.restore(run_id, max(found))
            finally:
                hold.release()

    def discarded(self) -> list[tuple[str, datetime]]:
        """(run, when in UTC) of what can be brought back, the newest first."""
        with sentences(self.url, "looking for deleted runs"):
            found = sorted(self._place.discarded(), key=lambda pair: pair[::-1], reverse=True)
            return [(name, datetime.fromtimestamp(when, UTC)) for name, when in found]

    def purge(self, older: float = 0.0) -> int:
        """Remove for good what was discarded more than `older` seconds ago; returns how many runs."""
        self._writable()
        with sentences(self.url, "removing deleted runs"):
            old = [(name, when) for name, when in self._place.discarded() if time.time() - when >= older]
            for name, when in old:
                self._place.purge(name, when)
        return len(old)

    def _held(self, run_id: str, doing: str, do: Callable[[str], None]) -> None:
        """Do something to a run that nobody writes."""
        self._writable()
        run_id = checked_id(run_id)
        with sentences(self._place.where(run_id), doing):
            if not self._place.occupied(run_id):
                raise RunNotFound(f"There is no run {run_id} in {self.url}.")
            hold = self._place.hold(run_id)
            try:
                do(run_id)
            except FileNotFoundError:
                raise RunNotFound(f"There is no run {run_id} in {self.url}.") from None
            finally:
                hold.release()

    def export(self, run_id: str, path: str | os.PathLike) -> None:
        """Write the committed rows as one file, whole or not at all.

        path: `*.zip` becomes a zipped Zarr (`xr.open_zarr(zarr.storage.ZipStore(path, mode="r"))` reads it), all else netCDF-4
        (`xr.open_dataset(path, engine="h5netcdf")`).
        """
        dataset = self.open(run_id)
        path = Path(path).expanduser()
        with sentences(str(path), f"exporting the run {run_id}"):
            if path.is_dir() or not path.parent.is_dir():
                raise StoreError(f"{path} is a folder, or lies in none: give the name of a file in a folder that exists.")
            fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
            try:
                (write_zipped if path.suffix == ".zip" else write_netcdf)(dataset, fresh)
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)

    def _writable(self) -> None:
        if self.read_only:
            raise StoreReadOnly(f"The store {self.url} was opened to be read only.")

    def _translated(self, run_id: str, doing: str, get: Any) -> Any:
        run_id = checked_id(run_id)
        where = self._place.where(run_id)
        with sentences(where, doing):
            try:
                return get(run_id)
            except FileNotFoundError:
                if self._place.occupied(run_id):
                    raise StoreDamaged(f"{where} has lost files, so it is not a whole run.") from None
                raise RunNotFound(f"There is no run {run_id} in {self.url}.") from None

    def _dataset(self, run_id: str) -> xr.Dataset:
        return reader.dataset(self._place.read(run_id, ROOT), self._place.zarr(run_id, read_only=True))

    def _checkpoint(self, run_id: str) -> Checkpoint | None:
        while True:
            _, record = layout.parse_root(self._place.read(run_id, ROOT))
            if not record.checkpoint:
                return None
            try:
                return layout.unpack_checkpoint(self._place.read(run_id, record.checkpoint), record.checkpoint_rows)
            except FileNotFoundError:
                # the next commit has replaced it meanwhile: read again, unless it is simply lost
                if layout.parse_root(self._place.read(run_id, ROOT))[1].checkpoint == record.checkpoint:
                    raise

    def _survey(self) -> Iterator[tuple[str, RunInfo | str]]:
        with sentences(self.url, "listing the runs"):
            for name, root in self._place.roots():
                if isinstance(root, bytes):
                    try:
                        yield name, layout.run_info(name, root)
                    except StoreDamaged as error:
                        yield name, str(error)
                else:
                    yield name, root


def default_url() -> str:
    """$STABVIZ_STORE, else the folder "stabviz/runs" where this system keeps a user's data."""
    if url := os.environ.get("STABVIZ_STORE"):
        return url
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return str(base / "stabviz" / "runs")


def _options_from_environment() -> dict[str, Any]:
    text = os.environ.get("STABVIZ_STORE_OPTIONS", "{}")
    with contextlib.suppress(ValueError):
        options = json.loads(text)
        if isinstance(options, dict):
            return options
    raise StoreError('STABVIZ_STORE_OPTIONS must be one JSON object, such as {"endpoint_url": "https://..."}.')


def _rebuilt(url: str, read_only: bool, options: dict[str, Any] | None, quota: float | None) -> Store:
    return Store(url, read_only=read_only, storage_options=options, quota=quota)


def write_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """A run's Dataset as a netCDF-4 file; complex numbers and bools travel too."""
    dataset = dataset.drop_encoding()
    for variable in dataset.variables.values():
        if variable.dtype.kind in "fc":
            variable.encoding["_FillValue"] = None  # NaN is a value here, not a gap
    beyond = any(variable.dtype.kind in "bc" or variable.dtype == "float16" for variable in dataset.variables.values())
    dataset.to_netcdf(path, engine="h5netcdf", invalid_netcdf=beyond)  # plain where it can be: other tools read it then


def write_zipped(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """A run's Dataset as a zipped Zarr, which `xr.open_zarr` opens as a `zarr.storage.ZipStore`."""
    with warnings.catch_warnings(), ZipStore(os.fspath(path), mode="w") as store:
        # texts are no Zarr 3 standard yet, and a zip keeps the root's metadata each time that it is written
        warnings.filterwarnings("ignore", message=".*(Zarr V3|Zarr format 3|Duplicate name).*")
        dataset.load().drop_encoding().to_zarr(store, zarr_format=3, consolidated=True)
