"""Commands on the store: `stabviz runs`, `compare`, `export`, `delete`, `undelete`."""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .texts import OK, Refused, near, printable, table, whole

if TYPE_CHECKING:
    from ..listing import Row
    from ..store import Store


def full(store: Store, text: str) -> str:
    """The name of the one run that begins with `text`."""
    if not re.fullmatch(r"[0-9a-f]{4,15}", text):
        return text  # whole, or for the store to refuse
    found = [info.id for info in store.runs() if info.id.startswith(text)]
    if len(found) > 1:
        raise Refused(f"{text} may mean {', '.join(found[:4])}: give more of the name.")
    return found[0] if found else text


def _summary(row: Row) -> dict[str, Any]:
    """What `runs --json` says of a run."""
    from ..record import told

    info, attrs = row.info, row.info.attrs
    said = {"lab": row.base.lab, "system": row.base.system, "preset": row.base.preset, "changes": dict(row.changes), "status": row.status,
            "ended_step": row.ended_step, "steps": row.steps, "seed": row.seed, "frames": info.frames, "bytes": info.size}  # fmt: skip
    more = {"cases": row.cases, "axes": dict(row.axes)} if row.cases else {}
    controls = told(attrs, "controls", dict)
    return {"id": info.id, **said, **more, "created": info.created.isoformat(timespec="seconds"), "controls": controls}


SORTS: dict[str, Callable[[Row], Any]] = {
    "age": lambda r: -r.info.created.timestamp(), "lab": lambda r: (r.base.lab, r.base.system), "status": lambda r: r.status,
    "steps": lambda r: r.steps, "seed": lambda r: r.seed, "size": lambda r: r.info.size, "frames": lambda r: r.info.frames,
}  # fmt: skip


def runs(args: argparse.Namespace) -> int:
    """`stabviz runs`: list what is in the store."""
    from ..listing import rows
    from ..store import Store

    if args.sort not in SORTS:
        raise near("column to sort by", args.sort, SORTS)
    limit = None if args.limit is None else whole(args.limit, "limit")
    wanted = [_condition(text) for text in args.where]
    store = Store(args.store, read_only=True)
    every = rows(store)
    known = {r.status for r in every}
    if args.status and args.status not in known and every:
        raise near("status", args.status, known)
    found = [
        r for r in every
        if args.lab in (None, r.base.lab) and args.status in (None, r.status) and all(r.says(*w) for w in wanted)
    ]  # fmt: skip
    found.sort(key=SORTS[args.sort], reverse=args.reverse)
    shown = found[:limit]
    if args.json:
        print(json.dumps([_summary(r) for r in shown], indent=1))
    elif shown:
        lines = [("id", "lab", "system", "status", "steps", "frames", "MB", "created", "differs")]
        for r in shown:
            length = str(r.steps) if r.ended_step in (-1, r.steps) or r.cases else f"{r.ended_step} of {r.steps}"
            frames = f"{r.cases} cases" if r.cases else str(r.info.frames)
            size, created = f"{r.info.size / 1e6:.1f}", f"{r.info.created:%Y-%m-%d %H:%M}"
            lines.append((r.info.id, r.base.lab or "none", r.base.system, r.status, length, frames, size, created, r.difference))
        table(lines)
        if len(shown) < len(found):
            print(f"{len(shown)} of {len(found)} runs; --limit shows more.")
    else:
        print(f"No runs in {store.url} yet." if not every else f"None of the {len(every)} runs in {store.url} is so.")
    for name, why in store.problems():
        print(f"stabviz: {printable(name)}: {printable(why)}", file=sys.stderr)
    return OK


def _condition(text: str) -> tuple[str, str, str]:
    """`NAME=VALUE`, `NAME<VALUE` or `NAME>VALUE` in its parts."""
    parts = re.fullmatch(r"([\w .-]+?)\s*(<=|>=|=|<|>)\s*(.*)", text)
    if parts is None:
        raise Refused(f"--where cannot be {text[:60]!r}: it takes NAME=VALUE, NAME<VALUE or NAME>VALUE, such as learning_rate=0.1.")
    name, relation, value = parts.groups()
    return name.replace("-", "_"), relation, value


def compare(args: argparse.Namespace) -> int:
    """`stabviz compare`: only what differs between runs; with `-o` as a report, or their Datasets as one."""
    from ..comparing import ALIGN, aligned, event_step, only_different, together
    from ..store import Store, StoreError, write_netcdf

    if args.align not in ALIGN:
        raise near("way to align", args.align, ALIGN)
    if (args.align == "event") != bool(args.event):
        raise Refused("--align event needs --event, such as touched, end, diverged or loss<0.1; and --event is for --align event.")
    store = Store(args.store, read_only=True)
    names = list(dict.fromkeys(full(store, text) for text in args.id))
    if len(names) < 2:
        raise Refused("Name two runs or more to compare; `stabviz runs` lists them.")
    rows = [_row(store, name) for name in names]
    if any(r.cases for r in rows):
        raise Refused("A sweep is compared within itself: `stabviz report` shows its map.")
    said = [r.said for r in rows]
    if len({r.base.lab for r in rows}) > 1:
        said = [{"lab": r.base.lab, **s} for r, s in zip(rows, said, strict=True)]
    datasets = [store.open(name) for name in names] if args.align != "step" or args.output else []
    if args.align == "event":
        said = [{**s, f"step of {args.event}": f"{event_step(ds, args.event):g}"} for s, ds in zip(said, datasets, strict=True)]
    elif args.align == "time":
        said = [{**s, "last time": f"{float(aligned(ds, 'time')['step'][-1]):g}"} for s, ds in zip(said, datasets, strict=True)]
    different = only_different(said)
    table([("", *(name[:8] for name in names)), *((rows[0].base.label(name), *values) for name, values in different.items())])
    print("All else is the same in all of them.")
    if not args.output:
        return OK
    target = pathlib.Path(args.output).expanduser()
    if target.suffix == ".nc":
        try:
            write_netcdf(together(datasets, names, args.align, args.event or ""), target)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror or error}.") from None
    else:
        from ..report import stored, write

        target = write([stored(store, name, args.align, args.event or "") for name in names], target)
    print(f"{target}  {target.stat().st_size / 1e6:.1f} MB")
    return OK


def _row(store: Store, name: str) -> Row:
    from ..lab import labs
    from ..listing import row

    return row(store.info(name), labs(), store.written(name))


def export(args: argparse.Namespace) -> int:
    """`stabviz export`: one run as a netCDF file or a zipped Zarr."""
    from ..store import Store

    store = Store(args.store, read_only=True)
    store.export(full(store, args.id), args.path)
    return OK


def delete(args: argparse.Namespace) -> int:
    """`stabviz delete`: remove runs, by name, so that they can be brought back for a day (`--undo`), or for good (`--now`)."""
    from ..store import Store

    store = Store(args.store)
    if args.undo:
        return undelete(args)
    for run_id in [full(store, text) for text in args.id]:
        (store.delete if args.now else store.discard)(run_id)
        print(f"deleted {run_id}")
    if not args.now:
        print("Bring them back within a day with `stabviz undelete`, or free their space with --now.", file=sys.stderr)
    return OK


def undelete(args: argparse.Namespace) -> int:
    """`stabviz undelete`: bring deleted runs back; without a name, list those that can be."""
    from ..store import Store

    store = Store(args.store)
    there = store.discarded()
    if not args.id:
        for name, when in there:
            print(f"{name}  deleted {when:%Y-%m-%d %H:%M}")
        if not there:
            print(f"No deleted runs in {store.url}.")
    for text in args.id:
        found = [name for name, _ in there if len(text) >= 4 and name.startswith(text)]
        if len(set(found)) > 1:
            raise Refused(f"{text} may mean {', '.join(found[:4])}: give more of the name.")
        store.restore(found[0] if found else text)
        print(f"brought back {found[0]}")
    return OK
