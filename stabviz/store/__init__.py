"""Where runs live: xarray Datasets on Zarr that can be read while they are still written.

A store is a folder (or an object store's prefix) with one Zarr group for each run. The arrays have their full size from the
start; how many of their rows are valid stands in the attributes of the root ``zarr.json``. Every commit ends with one atomic
replacement of that one file, so that rows, checkpoint, attributes and counts become visible together or not at all.

A killed process loses only what it had not committed. Nothing is flushed to the disk by force: after a power cut the last
commits may be gone or unreadable, as the file system decides.
"""

from .errors import RunNotFound, StoreBusy, StoreDamaged, StoreError, StoreFull, StoreReadOnly
from .layout import Checkpoint, RunInfo
from .store import Store, default_url, write_netcdf, write_zipped
from .writer import Writer

__all__ = [
    "Checkpoint", "RunInfo", "RunNotFound", "Store", "StoreBusy", "StoreDamaged", "StoreError", "StoreFull", "StoreReadOnly", "Writer",
    "default_url", "write_netcdf", "write_zipped",
]  # fmt: skip
