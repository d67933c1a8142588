"""The columns of all moments of a view as one compressed block, from which the page takes them back one at a time.

A *track* is what one column of one part of a picture is at each moment. What does not change is kept once, what only grows
is kept once whole; numbers are rounded to what the eye can see and laid out so that they compress well. `report.js` has the
other half (`unpack`).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

LEVELS = 1 << 14
"""Into so many steps the span of a column is divided."""
IMAGE_LEVELS = 1 << 9
"""The same for the values of an image, whose colour map has 256."""


def rounded(values: np.ndarray, levels: int = LEVELS, relative: bool = False) -> np.ndarray:
    """Numbers as float32, rounded to a power of two: to one part in `levels` of their span, or of each number (`relative`)."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = np.asarray(values, np.float32)
        finite = values[np.isfinite(values)]
        if not len(finite):
            return values
        if relative:
            mantissa, exponent = np.frexp(values)
            near = np.ldexp(np.round(mantissa * levels) / levels, exponent).astype(np.float32)
        else:
            span = float(finite.max()) - float(finite.min())
            if not span > 0:
                return values
            quantum = 2.0 ** np.floor(np.log2(span / levels))
            near = (np.round(values.astype(np.float64) / quantum) * quantum).astype(np.float32)
        return np.where(np.isfinite(values), near, values)


class Packer:
    """Collects the tracks of one view."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def track(self, values: Sequence[Any], relative: bool = False) -> dict[str, Any]:
        """One column at each moment, as what the page needs to find it again.

        Args:
            values: an array, a list of arrays (images, ragged lines) or a list of anything else, for each moment.
            relative: small and large numbers are to be told apart (a logarithmic axis).
        """
        first = values[0]
        if isinstance(first, list) and first and isinstance(first[0], np.ndarray):
            inner = [self.track([v[i] for v in values], relative) for i in range(len(first))] if _same_length(values) else None
            if inner is not None:
                return {"list": inner}
        arrays = [_numbers(v) for v in values]
        if all(a is not None for a in arrays):
            return self._arrays([a for a in arrays if a is not None], relative)
        found: list[Any] = []
        return {"at": [_place(found, _plain(v)) for v in values], "json": found}

    def _arrays(self, arrays: list[np.ndarray], relative: bool) -> dict[str, Any]:
        longest = max(arrays, key=len)
        if longest.ndim == 1 and all(np.array_equal(a, longest[: len(a)], equal_nan=True) for a in arrays):
            lengths = {len(a) for a in arrays}
            return self._put(longest, relative) | ({} if len(lengths) == 1 else {"n": [len(a) for a in arrays]})
        kept: dict[tuple[tuple[int, ...], bytes], int] = {}
        at = [kept.setdefault((a.shape, a.tobytes()), len(kept)) for a in arrays]
        unique: list[np.ndarray] = [arrays[at.index(i)] for i in range(len(kept))]
        whole = np.concatenate([a.ravel() for a in unique])
        sizes = {a.size for a in unique}
        found = self._put(whole, relative, IMAGE_LEVELS if longest.ndim == 2 else LEVELS) | {"at": at}
        found["sizes"] = [int(a.size) for a in unique] if len(sizes) > 1 else unique[0].size
        return found | ({"shape": [list(a.shape) for a in unique]} if longest.ndim == 2 else {})

    def _put(self, values: np.ndarray, relative: bool, levels: int = LEVELS) -> dict[str, Any]:
        """Append numbers, byte by byte of each: the first bytes of all, the second bytes of all, ..."""
        kind = "i4" if values.dtype.kind in "iub" else "f4"
        data = values.astype("<i4") if kind == "i4" else rounded(values, levels, relative).astype("<f4")
        start = self._size
        self._pieces.append(np.ascontiguousarray(data.view(np.uint8).reshape(-1, 4).T).tobytes())
        self._size += data.nbytes
        return {"kind": kind, "start": start, "count": int(data.size)}

    def block(self) -> str:
        """All of it, compressed, as base64."""
        return base64.b64encode(zlib.compress(b"".join(self._pieces), 9)).decode()


def _numbers(value: Any) -> np.ndarray | None:
    """A column as an array of numbers, if it is one."""
    if isinstance(value, np.ndarray):
        array = value
    elif isinstance(value, list) and value and all(isinstance(v, int | float | np.number) for v in value):
        array = np.asarray(value)
    else:
        return None
    if array.dtype.kind == "M":  # Bokeh's time: milliseconds
        return array.astype("datetime64[ms]").astype(float)
    fits = array.dtype.kind in "fiub" and (array.dtype.kind == "f" or not array.size or np.abs(array.astype(float)).max() < 2**31)
    return array if fits else array.astype(float) if array.dtype.kind in "iu" else None


def _same_length(values: Sequence[Any]) -> bool:
    return len({len(v) for v in values}) == 1 and all(isinstance(x, np.ndarray) and x.dtype.kind in "fiub" for v in values for x in v)


def _plain(value: Any) -> Any:
    """Anything as JSON."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)


def _place(found: list[Any], value: Any) -> int:
    if value not in found:
        found.append(value)
    return found.index(value)
