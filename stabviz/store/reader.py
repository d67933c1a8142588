"""A run as a Dataset whose values are read when they are asked for."""

from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import StorePath, WrapperStore

from . import layout
from .chunks import Stored
from .errors import StoreDamaged
from .layout import ROOT


class _Complete(WrapperStore):
    """Raises where a chunk is missing or cut off: Zarr alone would give fill values, or whatever lies behind it in memory."""

    arrays: dict[str, Stored] = {}

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        value = await super().get(key, prototype, byte_range)
        if value is None and not key.endswith(ROOT):
            raise StoreDamaged(f"{self._store}: {key} is missing; the run was deleted or damaged after it was opened.")
        stored = self.arrays.get(key.partition("/")[0])
        if value is not None and stored is not None and byte_range is None and not key.endswith(ROOT):
            try:
                stored.check(value.as_numpy_array()[:16].tobytes(), len(value))
            except StoreDamaged as error:
                raise StoreDamaged(f"{self._store}: {error}") from None
        return value


class _Lazy(BackendArray):
    """An array of a run for xarray; made from the root document alone, so that opening a run reads nothing else of it."""

    def __init__(self, stored: Stored, store: ZarrStore, written: bool) -> None:
        self.stored, self.store, self.written = stored, store, written
        self.shape, self.dtype = stored.shape, stored.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        if not self.written:
            value = np.broadcast_to(self.stored.fill, self.shape)
            for axis in reversed(range(value.ndim)):  # one axis after the other, since arrays in a key mean their product
                value = value[(slice(None),) * axis + (key[axis],)]
            return np.array(value)
        about: Any = self.stored.about
        basic = all(isinstance(k, slice | int | np.integer) for k in key)
        try:
            array = zarr.Array(zarr.AsyncArray(about, StorePath(self.store, self.stored.name)))
            return np.asarray(array[key] if basic else array.oindex[key], self.dtype)
        except (ValueError, RuntimeError, TypeError, LookupError) as error:  # of a chunk that is none, or of such a description
            raise StoreDamaged(f"{self.store}: its variable {self.stored.name!r} cannot be read ({error}).") from error


def dataset(root: bytes, store: ZarrStore) -> xr.Dataset:
    """The committed rows of a run, from its root document: counts and arrays of one commit."""
    attrs, record = layout.parse_root(root)
    store = _Complete(store)
    store.arrays = layout.arrays_of(root)
    variables = {}
    for name, stored in store.arrays.items():
        lazy = indexing.LazilyIndexedArray(_Lazy(stored, store, name in record.growing or name in record.written))
        counted = {dim: slice(0, record.rows[dim]) for dim in stored.dims if dim in record.rows}
        variable = xr.Variable(stored.dims, lazy, stored.about.get("attributes"), fastpath=True).isel(counted)
        # as xarray does for its own backends: values are read once, and writing to them does not reach others
        variable.data = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(variable._data))
        variables[name] = variable
    return xr.Dataset({k: v for k, v in variables.items() if k not in record.coords}, {k: variables[k] for k in record.coords}, attrs)
