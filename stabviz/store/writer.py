"""Writing one run: rows, checkpoint, attributes and counts become visible together, by one atomic replacement."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import xarray as xr

from . import layout
from .chunks import Tail
from .errors import StoreDamaged, StoreError, sentences
from .layout import CHECKPOINT, ROOT
from .places import Place
from .quota import Quota


class Writer:
    """Appends to one run. A context manager; one thread at a time.

    `rows` says how many rows of each growing dimension are committed: where to go on.
    """

    def __init__(self, place: Place, run_id: str, template: xr.Dataset, grows: tuple[str, ...], quota: Quota | None = None) -> None:
        self._quota = quota
        self.run_id, self.where, self._place = run_id, place.where(run_id), place
        self._closed = False
        with sentences(self.where, "opening the run for writing"):
            self._hold = place.hold(run_id)
            try:
                fresh = layout.new_run(template, tuple(grows), time.time())
                if not place.occupied(run_id):
                    with self._room(sum(map(len, fresh.values()))):
                        place.create(run_id, fresh)
                self._resume(fresh)
            except BaseException:
                self._hold.release()
                raise

    def _resume(self, fresh: dict[str, bytes]) -> None:
        """Read where the last commit ended, and clear away what came after it."""
        try:
            root = self._place.read(self.run_id, ROOT)
            self._attrs, self._record = layout.parse_root(root)
        except FileNotFoundError:
            raise StoreDamaged(f"{self.where} has no zarr.json, so it is not a run: delete it or choose another store.") from None
        self._stored = layout.arrays_of(root)
        wanted = layout.parse_root(fresh[ROOT])[1]
        if tell := layout.difference(self._stored, layout.arrays_of(fresh[ROOT]), self._record, wanted):
            raise StoreError(f"The run at {self.where} was begun with another template: {tell}.")
        self._hold.check()
        self._tail = layout.root_tail(self._stored)
        self._place.sweep(self.run_id, self._record.checkpoint)
        self._sizes = {key: size for key, size in self._place.sizes(self.run_id).items() if key != ROOT}
        self._tails: dict[str, Tail] = {}

    @property
    def rows(self) -> dict[str, int]:
        """Committed rows of each growing dimension."""
        return dict(self._record.rows)

    @property
    def attrs(self) -> dict[str, str | int | float]:
        """Committed attributes of the run."""
        return dict(self._attrs)

    def commit(
        self,
        rows: dict[str, dict[str, np.ndarray]] | None = None,
        *,
        once: dict[str, np.ndarray] | None = None,
        checkpoint: tuple[list[np.ndarray], dict[str, Any]] | None = None,
        attrs: dict[str, str | int | float] | None = None,
    ) -> None:
        """Append rows and change the rest, all at once.

        rows: {growing dimension: {variable: (n, ...)}}, every variable of that dimension with the same n; once: whole variables that do
        not grow; checkpoint: (leaves of the state after the last row, anything that JSON can hold); attrs: attributes to add or change.
        If it raises, nothing of it is committed, and what was committed before is intact; it may be tried again.
        """
        with sentences(self.where, "committing"):
            self._check()
            blocks = self._appended(rows or {})
            whole = {name: self._fitting(name, value, None) for name, value in (once or {}).items()}
            attributes = {**self._attrs, **layout.flat_attrs(attrs or {}, f"the run {self.run_id}")}
            packed = None if checkpoint is None else layout.pack_checkpoint(*checkpoint)
            counts = self.rows
            for dim, group in (rows or {}).items():
                counts[dim] += len(next(iter(group.values()), ()))
            self._forget(whole)
            self._write(blocks, whole, attributes, counts, packed)

    def rewind(self) -> None:
        """Go back to the rows that the checkpoint belongs to (none without one), when it is older than the last rows."""
        with sentences(self.where, "going back to the checkpoint"):
            self._check()
            rows = self._record.checkpoint_rows if self._record.checkpoint else dict.fromkeys(self._record.rows, 0)
            self._tails.clear()
            if rows != self._record.rows:
                self._publish(self._attrs, replace(self._record, rows=dict(rows)))

    def close(self) -> None:
        """Give the run free for other writers. Twice does no harm."""
        if not self._closed:
            self._closed = True
            with sentences(self.where, "closing the run"):
                self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Writer of {self.where}, rows {self.rows}{', closed' if self._closed else ''}>"

    def _check(self) -> None:
        if self._closed:
            raise StoreError(f"The writer of {self.where} is closed.")
        self._hold.check()

    def _appended(self, rows: dict[str, dict[str, np.ndarray]]) -> list[tuple[str, int, np.ndarray]]:
        """(variable, first row, block) of each variable, all checked against the run before anything is written."""
        blocks = []
        for dim, group in rows.items():
            if dim not in self._record.rows:
                raise StoreError(f"{dim!r} does not grow in the run at {self.where}: {', '.join(self._record.rows) or 'nothing'} does.")
            if not group:
                continue
            expected = {name for name in self._record.growing if self._stored[name].dims[0] == dim}
            if expected != set(group):
                odd = ", ".join(sorted(expected ^ set(group)))
                raise StoreError(f"Rows of {dim!r} for {self.where} need all its growing variables; missing or unknown: {odd}.")
            lengths = {name: np.shape(block)[0] if np.ndim(block) else -1 for name, block in group.items()}
            if len(set(lengths.values())) > 1:
                raise StoreError(f"Blocks of {dim!r} for {self.where} have different numbers of rows: {lengths}.")
            start = self._record.rows[dim]
            blocks += [(name, start, self._fitting(name, block, start)) for name, block in group.items()]
        return blocks

    def _fitting(self, name: str, value: np.ndarray, start: int | None) -> np.ndarray:
        """The value in the variable's type, or a sentence why it does not fit; start: its first row, None for a whole variable."""
        if name not in self._stored or (start is None and name in self._record.growing):
            raise StoreError(f"{name!r} is not a variable of {self.where} that can be written {'whole' if start is None else 'by rows'}.")
        shape, dtype, value = self._stored[name].shape, self._stored[name].dtype, np.asarray(value)
        fits = value.shape == shape if start is None else value.shape[1:] == shape[1:] and start + len(value) <= shape[0]
        if not fits:
            there = "" if start is None else f" after {start} rows"
            raise StoreError(f"{name!r} has the shape {shape} in {self.where}: a block of shape {value.shape} does not fit{there}.")
        cast = value.astype(dtype, copy=False) if np.can_cast(value.dtype, dtype, "same_kind") else None
        # floats are rounded, but integers must not wrap and texts not be cut
        if cast is None or (dtype.kind in "iuU" and cast.dtype != value.dtype and not np.array_equal(cast, value)):
            raise StoreError(f"{name!r} has the type {dtype} in {self.where}: values of type {value.dtype} do not fit.")
        return cast

    def _forget(self, whole: dict[str, np.ndarray]) -> None:
        """Take variables that are written a second time out of the record first: a kill then leaves none of them half new."""
        again = set(whole) & set(self._record.written)
        if again:
            self._publish(self._attrs, replace(self._record, written=tuple(n for n in self._record.written if n not in again)))

    def _write(
        self, blocks: list[tuple[str, int, np.ndarray]], whole: dict[str, np.ndarray], attrs: dict[str, Any], rows: dict[str, int],
        packed: bytes | None,
    ) -> None:  # fmt: skip
        old = self._record
        new = replace(old, rows=rows, commits=old.commits + 1, written=(*old.written, *(n for n in whole if n not in old.written)))
        files: dict[str, bytes] = {}
        if packed is not None:
            new = replace(new, checkpoint=f"{CHECKPOINT}{new.commits:09d}", checkpoint_rows=rows)
            files[new.checkpoint] = packed
        try:
            for name, start, block in blocks:
                tail = self._tails.setdefault(name, Tail(self._stored[name]))
                files |= tail.append(start, block, lambda key: self._place.read(self.run_id, key))
            for name, value in whole.items():
                files |= self._stored[name].whole(value)
            with self._room(sum(len(data) - self._sizes.get(key, 0) for key, data in files.items())):
                self._place.write_all(self.run_id, files)
            self._sizes |= {key: len(data) for key, data in files.items()}
            self._hold.check()
            self._publish(attrs, new)
        except BaseException:
            if self._record is old:
                self._tails.clear()  # they hold rows that are not committed
                self._drop(new.checkpoint if packed is not None else "")
            raise
        if old.checkpoint != new.checkpoint:
            self._drop(old.checkpoint)

    def _publish(self, attrs: dict[str, Any], record: layout.Record) -> None:
        """The commit itself."""
        # the checkpoint before is still there, but goes next
        size = sum(n for key, n in self._sizes.items() if key == record.checkpoint or not key.startswith(CHECKPOINT))
        record = replace(record, changed=time.time(), size=size)
        self._place.write(self.run_id, ROOT, layout.document(attrs, record, self._tail))
        self._attrs, self._record = attrs, record

    @contextlib.contextmanager
    def _room(self, more: int) -> Iterator[None]:
        """For writing so many bytes more, if there is room."""
        if self._quota is not None:
            self._quota.check(more)
        yield
        if self._quota is not None:
            self._quota.add(more)

    def _drop(self, checkpoint: str) -> None:
        gone = self._sizes.pop(checkpoint, None)
        if self._quota is not None and gone:
            self._quota.add(-gone)
        with contextlib.suppress(Exception):  # rubbish that the next writer sweeps; the commit itself is decided
            if checkpoint:
                self._place.remove(self.run_id, checkpoint)
