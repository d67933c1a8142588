"""Files of runs by address: `runs/ID.nc`, `runs/ID.zarr.zip`, and `runs/ID+ID.html`, a report. Made in a thread, sent piece by piece.

`panel serve app.py` has no such addresses; there a file goes through the page's own connection (`whole`).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from panel.io.server import RequestHandler  # Tornado's, which Panel brings

from stabviz.job import RunError
from stabviz.lab import MissingPackage
from stabviz.scheduler import Scheduler
from stabviz.store import Store, StoreError

TYPES = {"nc": "application/x-netcdf", "zarr.zip": "application/zip", "html": "text/html; charset=utf-8"}
PIECE = 2**20
REFUSED = (StoreError, RunError, LookupError, MissingPackage)
"""Why a file cannot be: each says it in a sentence."""
MOST_BYTES = 64e6
"""What a page's own connection carries: it is in memory three times meanwhile."""
serving: list[str] = []
"""Not empty where the server of this process has the routes."""


def patterns(scheduler: Scheduler) -> list[tuple[Any, ...]]:
    """Routes for the server: names of runs are hexadecimal, so nothing else of the disk can be asked for."""
    serving[:] = ["runs"]
    one = "[0-9a-f]{8,64}"
    return [(rf"/runs/({one}(?:(?:\+|%2B){one}){{0,7}})\.(nc|zarr\.zip|html)", Download, {"scheduler": scheduler})]


class Download(RequestHandler):
    """One file of one run, or the report of several."""

    def initialize(self, scheduler: Scheduler) -> None:
        """What the route was made with."""
        self.scheduler = scheduler

    async def get(self, names: str, kind: str) -> None:
        """Make the file and send it; what cannot be is one sentence."""
        if not self.scheduler.limits.knows(self.request.host):
            self.send_error(421)  # misdirected
            return
        ids = names.replace("%2B", "+").split("+")
        with tempfile.TemporaryDirectory(prefix="stabviz-") as folder:
            path = Path(folder) / f"stabviz-{ids[0][:8]}.{kind}"
            try:
                how = (self.get_query_argument("align", "step"), self.get_query_argument("event", ""))
                await asyncio.to_thread(make, self.scheduler.store, ids, path, *how)
            except REFUSED as error:
                self.set_status(404 if isinstance(error, LookupError) else 422)
                self.set_header("Content-Type", "text/plain; charset=utf-8")
                self.finish(str(error))
                return
            self.set_header("Content-Type", TYPES[kind])
            self.set_header("Content-Length", str(path.stat().st_size))
            self.set_header("Content-Disposition", f'attachment; filename="{path.name}"')
            self.set_header("X-Content-Type-Options", "nosniff")
            with path.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, PIECE):
                    self.write(piece)
                    await self.flush()


def make(store: Store | None, ids: Sequence[str], path: Path, align: str = "step", event: str = "") -> None:
    """Write the file of a run, or the report of some, aligned so; the suffix says which.

    Raises:
        RunError, StoreError, LookupError, MissingPackage: it cannot be made, with the reason.
    """
    if store is None:
        raise RunError("there is no store here: runs are kept in memory only.")
    if path.suffix == ".html":
        from stabviz.report import stored, write

        write([stored(store, name, align, event) for name in ids], path)
    elif len(ids) > 1:
        raise RunError("one run at a time is a file: name one.")
    else:
        store.export(ids[0], path)


def whole(store: Store | None, ids: Sequence[str], kind: str, align: str = "step", event: str = "") -> tuple[str, bytes]:
    """(name, content) of a file. Raises as `make`, and where it is too large for the connection of a page."""
    with tempfile.TemporaryDirectory(prefix="stabviz-") as folder:
        path = Path(folder) / f"stabviz-{ids[0][:8]}.{kind}"
        make(store, ids, path, align, event)
        if path.stat().st_size > MOST_BYTES:
            size = f"{path.stat().st_size / 1e6:,.0f} MB"
            raise RunError(f"this file has {size}, too much for a page: `stabviz export {ids[0]}` writes it, and `stabviz serve` sends it.")
        return path.name, path.read_bytes()
