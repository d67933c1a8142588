"""Arrays as chunk files: what the writer encodes itself, since Zarr would read, decode and merge each chunk anew at every append."""

import functools
import json
import math
from typing import Any

import numpy as np
import zarr
from numcodecs.abc import Codec
from numcodecs.blosc import Blosc
from numcodecs.zstd import Zstd
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.storage import MemoryStore

from .errors import StoreDamaged

ROW_CHUNK = 2**20  # bytes of one chunk of a variable that grows: chosen for the finished run, which then has few files
WHOLE_CHUNK = 2**28  # bytes up to which a variable that does not grow is one chunk


def chunk_shape(shape: tuple[int, ...], itemsize: int, target: int) -> tuple[int, ...]:
    """Chunk shape of about `target` bytes, split along the first dimension only."""
    if not shape:
        return ()
    inner = tuple(max(1, n) for n in shape[1:])
    rows = target // max(1, itemsize * math.prod(inner))
    return (min(max(1, rows), max(1, shape[0])), *inner)


class Stored:
    """One array of a run: its metadata as in the root document, and its chunks as bytes (little endian, blosc lz4 or zstd for texts)."""

    def __init__(self, name: str, about: dict[str, Any]) -> None:
        self.name, self.about = name, about
        try:
            self.dims: tuple[str, ...] = tuple(about.get("dimension_names") or ())  # without dimensions there are no names
            self.shape: tuple[int, ...] = tuple(about["shape"])
            self.dtype = _dtype(about["data_type"])
            self.chunk: tuple[int, ...] = tuple(about["chunk_grid"]["configuration"]["chunk_shape"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreDamaged(f"The metadata of its variable {name!r} cannot be read ({type(error).__name__}: {error}).") from error

    @property
    def fill(self) -> np.ndarray:
        """The fill value, as an array without dimensions."""
        value = self.about["fill_value"]
        if self.dtype.kind == "c":
            value = complex(*map(float, value))
        return np.array(float(value) if self.dtype.kind == "f" else value, self.dtype)

    def key(self, index: int) -> str:
        """The file of one chunk. Dots, not slashes: no folder has to be made while a run grows, so a deleted one stays deleted."""
        return f"{self.name}/" + ".".join(["c", *map(str, (index, *[0] * (len(self.shape) - 1))[: len(self.shape)])])

    @property
    def _codec(self) -> Codec:
        # lz4 with byte shuffle: as cheap as Zarr's default and better on fields with noise
        return Zstd(level=1) if self.dtype.kind == "U" else Blosc("lz4", clevel=5, shuffle=Blosc.SHUFFLE)

    def encode(self, chunk: np.ndarray) -> bytes:
        """One whole chunk as its file's bytes."""
        return bytes(self._codec.encode(np.ascontiguousarray(chunk, self.dtype.newbyteorder("<"))))

    @property
    def sized(self) -> bool:
        """Whether its chunks say how long they are."""
        return any(isinstance(codec, dict) and codec.get("name") == "blosc" for codec in self.about.get("codecs", ()))

    def check(self, head: bytes, size: int) -> None:
        """Raise StoreDamaged where a chunk is not as long as its head says, packed or unpacked: the decoder would take what lies behind
        it in memory, or ask for any amount of it."""
        whole = math.prod(self.chunk) * self.dtype.itemsize
        said = int.from_bytes(head[12:16], "little"), int.from_bytes(head[4:8], "little")
        if self.sized and (len(head) < 16 or said != (size, whole)):
            raise StoreDamaged(f"A chunk of its variable {self.name!r} cannot be read (it is cut off, or is none).")

    def decode(self, data: bytes) -> np.ndarray:
        """The reverse of `encode`."""
        self.check(data[:16], len(data))
        try:
            return np.frombuffer(self._codec.decode(data), self.dtype.newbyteorder("<")).reshape(self.chunk).astype(self.dtype)
        except (ValueError, RuntimeError) as error:
            raise StoreDamaged(f"A chunk of its variable {self.name!r} cannot be read ({error}).") from error

    def whole(self, value: np.ndarray) -> dict[str, bytes]:
        """All chunk files of a whole array."""
        if not self.shape:
            return {self.key(0): self.encode(value)}
        files = {}
        for index in range(-(-self.shape[0] // self.chunk[0]) if value.size else 0):
            part = value[index * self.chunk[0] : (index + 1) * self.chunk[0]]
            chunk = np.full(self.chunk, self.fill)
            chunk[: len(part)] = part
            files[self.key(index)] = self.encode(chunk)
        return files

    def document(self) -> bytes:
        """The array's own ``zarr.json``."""
        return json.dumps(self.about).encode()


def new_array(name: str, array: np.ndarray, dims: tuple[str, ...], attrs: dict[str, Any], fill: Any, grows: bool) -> Stored:
    """Metadata for an array like this one, made by Zarr."""
    fills = np.asarray(fill, array.dtype).tobytes()  # NaN is not like itself, its bytes are
    return Stored(name, json.loads(_metadata(name, array.shape, array.dtype.str, dims, json.dumps(attrs), fills, grows)))


@functools.lru_cache(maxsize=4096)
def _metadata(name: str, shape: tuple[int, ...], dtype: str, dims: tuple[str, ...], attrs: str, fills: bytes, grows: bool) -> str:
    """As JSON. Zarr takes a millisecond for each array, and the runs of a lab have the same ones."""
    files: dict[str, Any] = {}
    kind = np.dtype(dtype)
    fill, text = np.frombuffer(fills, kind)[0], kind.kind == "U"
    zarr.create_array(
        MemoryStore(files), name=name, shape=shape, dtype="u4" if text else kind, dimension_names=dims, zarr_format=3,
        fill_value=0 if text else fill, chunks=chunk_shape(shape, kind.itemsize, ROW_CHUNK if grows else WHOLE_CHUNK),
        compressors=ZstdCodec(level=1) if text else BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
        chunk_key_encoding={"name": "default", "separator": "."}, attributes=json.loads(attrs),
    )  # fmt: skip
    about = json.loads(files[f"{name}/zarr.json"].to_bytes())
    if text:
        # texts of fixed length are not in the Zarr 3 standard yet: Zarr reads them, but warns whenever it writes their metadata
        about |= {
            "data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": kind.itemsize}},
            "fill_value": str(fill),
        }
    return json.dumps(about)


def _dtype(data_type: str | dict[str, Any]) -> np.dtype:
    if isinstance(data_type, dict):
        return np.dtype(f"U{data_type['configuration']['length_bytes'] // 4}")
    return np.dtype(data_type)


class Tail:
    """The last chunk of a variable that grows, kept decoded while its run is written."""

    def __init__(self, stored: Stored) -> None:
        self.stored, self.index, self.chunk = stored, -1, np.empty(0)

    def append(self, start: int, block: np.ndarray, read: Any) -> dict[str, bytes]:
        """Files of the chunks that change when `block` becomes the rows from `start` on; read(key) gives the bytes of a chunk."""
        files, rows = {}, self.stored.chunk[0]
        while block.size:
            index, at = divmod(start, rows)
            if index != self.index:
                self.chunk = np.full(self.stored.chunk, self.stored.fill)
                self.index = index
                if at:
                    self.chunk[:at] = self.stored.decode(read(self.stored.key(index)))[:at]
            n = min(len(block), rows - at)
            self.chunk[at : at + n] = block[:n]
            files[self.stored.key(index)] = self.stored.encode(self.chunk)
            start, block = start + n, block[n:]
        return files
