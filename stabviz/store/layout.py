"""How a run lies in its folder: arrays, chunks, the root document with the commit record, checkpoints."""

import json
import math
import re
import zlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from .chunks import Stored, new_array
from .errors import StoreDamaged, StoreError

FORMAT = 1
ROOT = "zarr.json"
CHECKPOINT = ".checkpoint-"  # no variable's name starts with a dot
KINDS = "biufcU"

_HEAD = '{"attributes":'
_END = ',"node_type":"group","zarr_format":3}'
_RUN_ID = re.compile(r"[0-9a-f]{8,64}")
_NAME = re.compile(r"\w[\w .+\-]*")


@dataclass(frozen=True)
class Checkpoint:
    """A state to go on from.

    leaves: its arrays; meta: what was saved with them; rows: how many rows each growing dimension had when it was taken.
    """

    leaves: list[np.ndarray]
    meta: dict[str, Any]
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunInfo:
    """What the root document alone says about a run.

    frames: committed rows of the first growing dimension; size: bytes in the store; created, changed: in UTC; rows: committed rows
    of every growing dimension.
    """

    id: str
    attrs: dict[str, str | int | float]
    frames: int
    size: int
    created: datetime
    changed: datetime
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """The commit record: all that is true of a run at one moment besides its attributes."""

    rows: dict[str, int]  # in the order in which the growing dimensions were named
    written: tuple[str, ...]  # variables that do not grow and whose chunks are there; the others are all fill value
    coords: tuple[str, ...]
    growing: tuple[str, ...]
    created: float
    changed: float
    checkpoint: str = ""
    checkpoint_rows: dict[str, int] = field(default_factory=dict)
    commits: int = 0
    size: int = 0


def checked_id(run_id: object) -> str:
    """The id itself, if it can only name a folder of the store: 8 to 64 of 0-9 and a-f."""
    if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return run_id
    raise StoreError(f"{run_id!r:.100} is not the name of a run: that is 8 to 64 of the characters 0-9 and a-f.")


def is_id(name: str) -> bool:
    """Whether a folder of this name can be a run."""
    return _RUN_ID.fullmatch(name) is not None


def flat_attrs(attrs: dict[str, Any], where: str) -> dict[str, str | int | float]:
    """Attributes as every format carries them: str, int, finite float; bools become 0 or 1, NaN and infinities words."""
    return {str(name): _flat(name, value, where) for name, value in attrs.items()}


def _flat(name: object, value: Any, where: str) -> str | int | float:
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str | int | float):
        # subclasses (an Enum that is a str, for one) would not come back as what they were
        return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))
    raise StoreError(
        f"Attribute {name!r} of {where} is {value!r:.80} ({type(value).__name__}): an attribute is a text, an integer or a number; "
        "put anything else into one JSON text, and leave out what is None."
    )


def is_placeholder(array: np.ndarray) -> bool:
    """Whether an array of the template holds one value only, which then needs no chunk: it is the fill value."""
    return array.size <= 1 or not any(array.strides)


def template_arrays(template: xr.Dataset) -> dict[str, np.ndarray]:
    """The template's arrays under checked names and in dtypes that the store carries; broadcasts stay broadcasts."""
    arrays = {}
    for name, variable in template.variables.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == ROOT:
            raise StoreError(f"{name!r:.100} cannot name a variable in a store: use letters, digits, _ . + - and spaces.")
        array = np.asarray(variable.data if isinstance(variable.data, np.ndarray) else variable.values)
        if array.dtype.kind in "OT":
            array = array.astype(str)
        if array.dtype.kind not in KINDS or (array.dtype.itemsize > 16 and array.dtype.kind in "fc"):
            raise StoreError(f"Variable {name!r} has the type {array.dtype}: a store carries bool, integers, floats, complex and text.")
        if array.dtype == np.dtype("U0"):
            array = array.astype("U1")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        arrays[name] = array
    return arrays


def growing_names(template: xr.Dataset, arrays: dict[str, np.ndarray], grows: tuple[str, ...]) -> tuple[str, ...]:
    """Variables that are appended to: first dimension grows; of coordinates only placeholders that are not the dimension's own."""
    names: list[str] = []
    for dim in grows:
        if dim not in template.sizes:
            raise StoreError(f"The template has no dimension {dim!r} that could grow: it has {', '.join(map(str, template.sizes))}.")
    for name, variable in template.variables.items():
        if any(dim in grows for dim in variable.dims[1:]) and name not in template.coords:
            raise StoreError(f"Variable {name!r} has the dimensions {variable.dims}: a growing dimension must be the first.")
        if variable.ndim and variable.dims[0] in grows:
            given = name in template.coords and (name in template.dims or any(arrays[str(name)].strides))
            names += [] if given else [str(name)]
    return tuple(names)


def new_run(template: xr.Dataset, grows: tuple[str, ...], now: float) -> dict[str, bytes]:
    """All files of a run without rows yet, the root document last."""
    arrays = template_arrays(template)
    growing = growing_names(template, arrays, grows)
    stored: dict[str, Stored] = {}
    files: dict[str, bytes] = {}
    for name, array in arrays.items():
        variable, empty = template.variables[name], name in growing or is_placeholder(array)
        fill = array.flat[0] if array.size and empty else array.dtype.type()
        attrs = flat_attrs(variable.attrs, f"variable {name!r}")
        stored[name] = new_array(name, array, tuple(map(str, variable.dims)), attrs, fill, name in growing)
        files |= {f"{name}/{ROOT}": stored[name].document()} | ({} if empty else stored[name].whole(array))
    record = Record(
        rows=dict.fromkeys(grows, 0), coords=tuple(map(str, template.coords)), growing=growing, created=now, changed=now,
        written=tuple(name for name, array in arrays.items() if name not in growing and not is_placeholder(array)),
        size=sum(map(len, files.values())),
    )  # fmt: skip
    files[ROOT] = document(flat_attrs(template.attrs, "the run"), record, root_tail(stored))
    return files


def root_tail(stored: dict[str, Stored]) -> str:
    """The part of the root document that stays the same for the whole run: the consolidated metadata of the arrays."""
    block = {"kind": "inline", "must_understand": False, "metadata": {name: array.about for name, array in stored.items()}}
    return ',"consolidated_metadata":' + json.dumps(block, allow_nan=False, separators=(",", ":")) + _END


def document(attrs: dict[str, Any], record: Record, tail: str) -> bytes:
    """The root ``zarr.json``: a Zarr group's metadata whose attributes hold the run's own and the commit record."""
    taken = [name for name in attrs if name.startswith("store_") or name == "coordinates"]
    if taken:
        raise StoreError(f"The attribute {taken[0]!r} is the store's own: choose another name.")
    state = asdict(record)
    own = {"store_format": FORMAT, "store_rows": json.dumps(state.pop("rows")), "store_record": json.dumps(state)}
    loose = " ".join(name for name in record.coords if name not in record.rows)
    named = {"coordinates": loose} if loose else {}  # how plain xarray learns which variables are coordinates
    return (_HEAD + json.dumps({**attrs, **named, **own}, allow_nan=False, separators=(",", ":")) + tail).encode()


def split_attrs(attributes: dict[str, Any]) -> tuple[dict[str, Any], Record]:
    """The run's own attributes, and the commit record."""
    if not isinstance(attributes, dict) or "store_format" not in attributes:
        raise StoreDamaged("It is a Zarr group, but not a run of stabviz.")
    if attributes["store_format"] != FORMAT:
        raise StoreDamaged(f"It has the store format {attributes['store_format']!r:.20}; this version of stabviz reads {FORMAT}.")
    try:
        state: dict[str, Any] = json.loads(attributes["store_record"])
        rows = {str(dim): int(n) for dim, n in json.loads(attributes["store_rows"]).items()}
        for name in ("written", "coords", "growing"):
            state[name] = tuple(state[name])
        record = Record(rows=rows, **state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreDamaged(f"Its commit record cannot be read ({type(error).__name__}: {error}).") from error
    own = {name: value for name, value in attributes.items() if not name.startswith("store_") and name != "coordinates"}
    return own, record


def parse_root(data: bytes) -> tuple[dict[str, Any], Record]:
    """What a root document says; only its first part is parsed, since lists of thousands of runs need no more."""
    try:
        text = data.decode()
        if text.startswith(_HEAD) and text.endswith(_END):
            attributes, end = json.JSONDecoder().raw_decode(text, len(_HEAD))
            whole = text.startswith(',"consolidated_metadata":', end)
        else:
            root = json.loads(text)
            attributes, whole = root["attributes"], root.get("consolidated_metadata") is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged("Its zarr.json is cut off or is not a Zarr group.") from error
    own, record = split_attrs(attributes)
    if not whole:
        raise StoreDamaged("Its zarr.json has lost the metadata of the arrays.")
    return own, record


def run_info(run_id: str, data: bytes) -> RunInfo:
    """RunInfo from the root document."""
    attrs, record = parse_root(data)
    try:
        created, changed = (datetime.fromtimestamp(t, UTC) for t in (record.created, record.changed))
        return RunInfo(run_id, attrs, next(iter(record.rows.values()), 0), int(record.size) + len(data), created, changed, record.rows)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise StoreDamaged(f"Its commit record has impossible values ({error}).") from error


def pack_checkpoint(leaves: list[np.ndarray], meta: dict[str, Any]) -> bytes:
    """A checkpoint as one block: a line of JSON, then the arrays' bytes. No pickle; a checksum tells damage."""
    arrays = [np.asarray(leaf) for leaf in leaves]
    for array in arrays:
        if array.dtype.hasobject or array.dtype.names:
            raise StoreError(f"A checkpoint's leaf has the type {array.dtype}: only plain arrays can be kept.")
    try:
        kinds = [array.dtype.name if array.dtype.kind == "V" else array.dtype.str for array in arrays]
        head = {"leaves": [[kind, array.shape] for kind, array in zip(kinds, arrays, strict=True)], "meta": meta}
        body = b"".join(array.tobytes() for array in arrays)
        return json.dumps({**head, "crc": zlib.crc32(body)}).encode() + b"\n" + body
    except (TypeError, ValueError) as error:
        raise StoreError(f"A checkpoint's meta must be JSON ({error}).") from error


def unpack_checkpoint(data: bytes, rows: dict[str, int]) -> Checkpoint:
    """The reverse of `pack_checkpoint`."""
    try:
        line, body = data.split(b"\n", 1)
        head = json.loads(line)
        if zlib.crc32(body) != head["crc"]:
            raise ValueError("the checksum differs")
        leaves, at = [], 0
        for kind, shape in head["leaves"]:
            dtype = _dtype(kind)
            count = math.prod(shape)
            leaves.append(np.ndarray(shape, dtype, body, at).copy())
            at += count * dtype.itemsize
        return Checkpoint(leaves, head["meta"], rows)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"Its checkpoint cannot be read ({error}).") from error


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # bfloat16 and its like are named by the package that JAX brings

        return np.dtype(getattr(ml_dtypes, name))


def arrays_of(root: bytes) -> dict[str, Stored]:
    """The arrays of a run, as the root document has them; `parse_root` must have passed it."""
    try:
        metadata = json.loads(root)["consolidated_metadata"]["metadata"]
        return {name: Stored(name, about) for name, about in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged("Its zarr.json is damaged where the arrays are described.") from error


def difference(there: dict[str, Stored], asked: dict[str, Stored], record: Record, wanted: Record) -> str:
    """What of a template does not fit a run that is there, in words; empty if it fits."""
    if set(there) != set(asked):
        return f"the variables {', '.join(sorted(set(there) ^ set(asked)))} are in one of them only"
    if (set(record.rows), set(record.growing)) != (set(wanted.rows), set(wanted.growing)):
        return f"{', '.join(record.rows) or 'nothing'} grows there, {', '.join(wanted.rows) or 'nothing'} in the template"
    for name, array in there.items():
        for what in ("dims", "shape", "dtype"):
            if getattr(array, what) != getattr(asked[name], what):
                return f"{what} of {name!r} is {getattr(array, what)} there, {getattr(asked[name], what)} in the template"
        if any(array.about.get(key) != asked[name].about[key] for key in ("codecs", "chunk_key_encoding")):
            return f"the chunks of {name!r} were encoded by another version or program"
    return ""
