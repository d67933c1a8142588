"""`stabviz report`: runs or a sweep from the store as one HTML file."""

from __future__ import annotations

import argparse
import os
import pathlib

from .runs import full
from .texts import OK, Refused, whole


def report(args: argparse.Namespace) -> int:
    """Write the report; a folder as `-o` takes a name made from the lab and the run."""
    from ..store import Store

    frames = None if args.frames is None else whole(args.frames, "frames")
    store = Store(args.store, read_only=True)
    names = list(dict.fromkeys(full(store, text) for text in args.id))
    target = pathlib.Path(args.output or ".").expanduser()
    if args.output and not (target.parent.is_dir() and os.access(target.parent, os.W_OK)):
        raise Refused(f"There is no folder {str(target.parent)[:100]!r} to write into.")
    from ..report import stored, write

    subjects = [stored(store, name) for name in names]
    if target.is_dir():
        target /= f"{subjects[0].lab.slug}-{names[0][:8]}.html"
    written = write(subjects, target, frames)
    print(f"{written}  {written.stat().st_size / 1e6:.1f} MB")
    return OK
