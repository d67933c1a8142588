"""Commands on the store: `stabviz runs`, `export`, `delete`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, Any

from .texts import OK, Refused, printable, table

if TYPE_CHECKING:
    from ..store import RunInfo, Store


def full(store: Store, text: str) -> str:
    """The name of the one run that begins with `text`."""
    if not re.fullmatch(r"[0-9a-f]{4,15}", text):
        return text  # whole, or for the store to refuse
    found = [info.id for info in store.runs() if info.id.startswith(text)]
    if len(found) > 1:
        raise Refused(f"{text} may mean {', '.join(found[:4])}: give more of the name.")
    return found[0] if found else text


def _summary(info: RunInfo) -> dict[str, Any]:
    """What `runs` says of a run."""
    attrs = info.attrs
    said = {name: attrs.get(name) for name in ("lab", "system", "status", "ended_step", "steps", "seed")}
    kept = {"frames": info.frames, "bytes": info.size, "created": info.created.isoformat(timespec="seconds")}
    return {"id": info.id, **said, **kept, "controls": json.loads(str(attrs.get("controls", "{}")))}


def runs(args: argparse.Namespace) -> int:
    """`stabviz runs`: list what is in the store."""
    from ..store import Store

    store = Store(args.store, read_only=True)
    found = [_summary(info) for info in store.runs()]
    if args.json:
        print(json.dumps(found, indent=1))
    elif found:
        rows = [("id", "lab", "system", "status", "steps", "frames", "seed", "MB", "created")]
        for r in found:
            size, created = f"{r['bytes'] / 1e6:.1f}", r["created"].replace("T", " ")[:16]
            rows.append((r["id"], *(str(r[name]) for name in rows[0][1:7]), size, created))
        table(rows)
    else:
        print(f"No runs in {store.url} yet.")
    for name, why in store.problems():
        print(f"stabviz: {printable(name)}: {printable(why)}", file=sys.stderr)
    return OK


def export(args: argparse.Namespace) -> int:
    """`stabviz export`: one run as a netCDF file."""
    from ..store import Store

    store = Store(args.store, read_only=True)
    store.export(full(store, args.id), args.path)
    return OK


def delete(args: argparse.Namespace) -> int:
    """`stabviz delete`: remove runs, by name."""
    from ..store import Store

    store = Store(args.store)
    for run_id in [full(store, text) for text in args.id]:
        store.delete(run_id)
        print(f"deleted {run_id}")
    return OK
