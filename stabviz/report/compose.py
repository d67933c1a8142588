"""Composes the report of one run or of several: which moments, which views, which sections."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from stabviz.app.along import along
from stabviz.app.text import inline
from stabviz.comparing import frames_at
from stabviz.report import sections
from stabviz.report.page import DOCK, built, page
from stabviz.report.pictures import MOMENTS, Drawing, Picture, thinned
from stabviz.report.subject import Subject, names

MOST_RUNS = 6
MOST_BYTES = 4_800_000
"""A report of the default number of moments is thinned until it is below this."""
FEWEST = 12


def document(subjects: Sequence[Subject], frames: int | None, began: float) -> str:
    """The report of runs; with `frames` None as many moments as fit."""
    drawings = _drawings(subjects)
    most = frames or max(FEWEST, MOMENTS // len(subjects))
    while True:
        html = _page(subjects, drawings, most, began)
        if frames is not None or len(html.encode()) <= MOST_BYTES or most <= FEWEST:
            return html
        most = max(FEWEST, int(most * 0.6))


def _drawings(subjects: Sequence[Subject]) -> dict[str, list[Drawing | None]]:
    """By view: its drawing of each run, None where it does not suit the run."""
    slugs = dict.fromkeys((s.lab.slug, v.slug) for s in subjects for v in s.lab.all_views)
    found: dict[str, list[Drawing | None]] = {}
    for lab_slug, slug in slugs:
        row: list[Drawing | None] = []
        for s in subjects:
            view = next((v for v in s.lab.all_views if v.slug == slug and s.lab.slug == lab_slug), None)
            suits = view is not None and view.suits(s.plan.name, s.dataset)
            row.append(Drawing(along(view, s.dataset), s.shown) if view is not None and suits else None)
        if any(row):
            found[f"{lab_slug}/{slug}"] = row
    return found


def _page(subjects: Sequence[Subject], drawings: dict[str, list[Drawing | None]], most: int, began: float) -> str:
    marks = sorted({int(m["step"]) for s in subjects for m in s.marks})
    kept = [thinned(s.dataset, most, marks) for s in subjects]
    groups = [(name, [None if d is None else d.picture(kept[i]) for i, d in enumerate(row)]) for name, row in drawings.items()]
    for _, pictures in groups:
        _share_ranges(pictures)
    called = names(list(subjects)) if len(subjects) > 1 else [""]
    data = {**axis(subjects, kept), "panels": []}
    for g, (_, pictures) in enumerate(groups):
        for s, picture in enumerate(pictures):
            if picture is not None:
                data["panels"].append({
                    "group": g, "subject": s, "figures": picture.figures, "block": picture.block, "at": picture.at,
                    "ranges": picture.ranges, "moments": picture.moments, "sentences": [inline(x) for x in picture.sentences],
                })  # fmt: skip
    first = subjects[0]
    title = first.lab.title if len({s.lab.slug for s in subjects}) == 1 else " and ".join({s.lab.title: None for s in subjects})
    return page(
        title=title if len(subjects) == 1 else f"{title}: {len(subjects)} runs compared",
        lead=inline(first.lab.tagline), about=_about(subjects), parts=_parts(subjects, called, groups, kept, began), data=data,
    )  # fmt: skip


def _about(subjects: Sequence[Subject]) -> str:
    if len(subjects) > 1:
        how = {"time": ", aligned by their own time", "event": f", aligned by an event: {escape(subjects[0].event)}"}
        return "Runs " + ", ".join(f"<code>{s.id}</code>" for s in subjects) + how.get(subjects[0].align, "") + "."
    s = subjects[0]
    return f"Run <code>{s.id}</code>, {escape(s.plan.name)}, seed {s.plan.seed}. {escape(s.ending)}"


def _parts(
    subjects: Sequence[Subject], called: list[str], groups: list[tuple[str, list[Picture | None]]], kept: list[list[int]], began: float
) -> list[tuple[str, str, str]]:
    several = len(subjects) > 1
    same_lab = len({s.lab.slug for s in subjects}) == 1
    views = sections.views(groups, called) + DOCK
    if several:
        claims = sections.compared_claims(subjects, called) if same_lab else "".join(sections.claims(s.claims) for s in subjects)
        setting = sections.compared(subjects, called)
        rest = [(f"{name}, run {s.id}", s) for name, s in zip(called, subjects, strict=True)]
    else:
        claims, setting = sections.claims(subjects[0].claims), sections.settings(subjects[0])
        rest = [("", subjects[0])]
    each = lambda make: "".join((f"<h3>{escape(name)}</h3>" if name else "") + make(s) for name, s in rest)  # noqa: E731
    whole = [
        ("differences" if several else "", "What differs", setting if several else ""),
        ("views", "Views", views),
        ("claims", "Claims", claims if any(s.lab.claims for s in subjects) else ""),
        ("controls", "Controls", "" if several else setting),
        ("theory", "Theory", sections.text(subjects)),
        ("reproduce", "Reproduce", each(lambda s: sections.reproduce(s.code))),
        ("provenance", "Provenance", each(sections.provenance)),
        ("cite", "Cite", sections.cite(subjects)),
        ("made", "How this page was made", _made(subjects, kept, began)),
    ]
    return [(slug, title, sections.section(slug, title, body) if body else "") for slug, title, body in whole]


def _made(subjects: Sequence[Subject], kept: list[list[int]], began: float) -> str:
    """How it was thinned and rounded, in words."""
    said = []
    for s, frames in zip(subjects, kept, strict=True):
        count = s.dataset.sizes["step"]
        who = f"Run {s.id}: " if len(subjects) > 1 else ""
        if len(frames) == count:
            said.append(f"{who}all {count:,} recorded moments are here.")
        else:
            said.append(
                f"{who}of {count:,} recorded moments {len(frames):,} are here, evenly spaced among the recorded ones, with the first, the "
                "last and those around each intervention. Views over the whole run show every recorded moment."
            )
    sentences = " ".join(x[:1].upper() + x[1:] for x in said)
    return (
        f"<p>{escape(sentences)}</p><p>In pictures that move, numbers are rounded to one part in 16,384 of their span (of themselves on "
        "logarithmic axes), those of images to one part in 512. Verdicts, sentences and all else come from the full data.</p>"
        f"<p>Everything is in this file: it asks nothing of a network. {escape(built(time.perf_counter() - began))}</p>"
    )


def axis(subjects: Sequence[Subject], kept: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The moments of the scrubber, as the runs are aligned: by step where they are equally long, else by the share of their length.

    `at`: places of the moments; `frames`: for each run, which of its kept moments is shown at each; `words`, `marks`.
    """
    align = subjects[0].align
    length = [max(s.plan.schedule.steps, 1) for s in subjects]
    by_step = len(set(length)) == 1
    steps = [s.dataset["step"].values[list(k)].astype(float) for s, k in zip(subjects, kept, strict=True)]
    if align == "step":
        places = [x if by_step else x / n for x, n in zip(steps, length, strict=True)]
        at = max(places, key=lambda x: (x[-1], len(x)))
    else:
        places = [s.shown["step"].values[list(k)] for s, k in zip(subjects, kept, strict=True)]
        every = np.unique(np.concatenate(places))
        at = every[np.unique(np.linspace(0, len(every) - 1, min(max(map(len, places)), len(every))).round().astype(int))]
    shown = [frames_at(x, at) for x in places]
    words = []
    for i, place in enumerate(at):
        now = [int(x[j[i]]) for x, j in zip(steps, shown, strict=True)]
        if align != "step":
            words.append(f"{place:,.4g} steps after: {subjects[0].event}" if align == "event" else f"time {place:.4g}")
        elif len(set(now)) == 1:
            words.append(f"step {now[0]:,}")
        else:
            each = ", ".join(f"{chr(ord('A') + k)} step {n:,}" for k, n in enumerate(now))
            words.append(each if by_step else f"{place:.0%}: {each}")
    marks = []
    for k, s in enumerate(subjects):
        who = f"{chr(ord('A') + k)}: " if len(subjects) > 1 else ""
        for m in s.marks:
            place = np.interp(m["step"], steps[k], places[k]) if align != "step" else m["step"] / (1 if by_step else length[k])
            where = float(np.interp(place, at, np.arange(len(at))))
            marks.append({"at": where, "label": who + m["label"], "kind": m["kind"], "title": f"{who}{m['label']} at step {m['step']:,}"})
    return {"at": at.tolist(), "frames": [x.tolist() for x in shown], "words": words, "marks": sorted(marks, key=lambda m: m["at"])}


def _share_ranges(pictures: list[Picture | None]) -> None:
    """One range for the same view of several runs: what spans all of them, at all moments."""
    shown = [p for p in pictures if p is not None and p.figures]
    if len(shown) < 2 or len({p.figures[0]["log"] for p in shown}) > 1:
        return
    for side in "xy":
        every = [r for p in shown for r in p.ranges[side] if r is not None]
        if every:
            common = [min(r[0] for r in every), max(r[1] for r in every)]
            for p in shown:
                p.ranges[side][:] = [common]
