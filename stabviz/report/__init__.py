"""Reports: one HTML file of a run, of several compared, or of a sweep, that opens from disk without a network.

`run.report("x.html")` and `stabviz report RUN` end here. HoloViews draws, BokehJS (in the file) shows; `report.js` moves the
pictures through the moments that were kept.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stabviz.job import RunError
from stabviz.report import sweep
from stabviz.report.compose import MOST_RUNS, document
from stabviz.report.subject import Subject
from stabviz.report.sweep import Sweep
from stabviz.run import Run
from stabviz.store import Store
from stabviz.study_run import StudyRun

__all__ = ["MOST_RUNS", "Subject", "Sweep", "build", "stored", "write"]


def stored(store: Store, run_id: str, align: str = "step", event: str = "") -> Any:
    """What a report can be of, from a store by its whole name: a run or a sweep. Raises as `Subject.stored`.

    align, event: how runs that are compared are laid over each other (see `comparing.aligned`).
    """
    try:
        if store.info(run_id).attrs.get("kind") == "study":
            return Sweep.stored(store, run_id)
        return dataclasses.replace(Subject.stored(store, run_id), align=align, event=event)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RunError(f"what run {run_id} says of itself is not from this version, or not from stabviz: it can only be copied.") from error


def build(of: Sequence[Any], frames: int | None = None) -> str:
    """The report as HTML.

    Args:
        of: runs (`Run`, or from `stored`), one or up to `MOST_RUNS` to be compared; or one sweep.
        frames: moments of each run that are kept; by default so many that the file stays below 5 MB.

    Raises:
        RunError: there is nothing to report, or too much.
    """
    began = time.perf_counter()
    subjects: list[Any] = [Subject.of_run(x) if isinstance(x, Run) else Sweep.of_job(x) if isinstance(x, StudyRun) else x for x in of]
    if frames is not None and frames < 2:
        raise RunError(f"frames cannot be {frames}: a report keeps at least two moments of a run.")
    if not 1 <= len(subjects) <= MOST_RUNS:
        raise RunError(f"a report is of one run, or of up to {MOST_RUNS} compared; these are {len(subjects)}.")
    sweeps = [x for x in subjects if isinstance(x, Sweep)]
    if sweeps and len(subjects) > 1:
        raise RunError("a report is of runs or of one sweep: report each sweep by itself.")
    if sweeps:
        return sweep.document(sweeps[0], began)
    return document(subjects, frames, began)


def write(of: Sequence[Any], path: str | os.PathLike[str], frames: int | None = None) -> Path:
    """Build a report and write it to `path`, whole or not at all; returns the path. Arguments and errors as `build`.

    Raises:
        RunError: it cannot be written there.
    """
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise RunError(f"the report cannot be written to {target}: there is no folder {target.parent}.")
    html = build(of, frames)
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".report-", delete=False) as file:
            file.write(html)
        os.chmod(file.name, 0o644)
        os.replace(file.name, target)
    except OSError as error:
        raise RunError(f"the report cannot be written to {target}: {error.strerror or error}.") from None
    return target
