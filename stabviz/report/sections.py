"""The parts of a report's page as HTML. Every text that comes from a lab, a run or a file is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from stabviz.app.components.claims import KINDS, PATHS
from stabviz.app.text import inline, symbol, theory_html
from stabviz.citing import citations
from stabviz.lab import Judged
from stabviz.record import told
from stabviz.report.pictures import Picture
from stabviz.report.subject import Subject, differences
from stabviz.system import controls

WORDS = {"holds": "holds", "fails": "does not hold", "open": "open", "shown": "shown only"}


def section(slug: str, title: str, body: str, more: str = "") -> str:
    """A section with its heading."""
    return f'<section id="{slug}" class="part {more}" aria-labelledby="h-{slug}"><h2 id="h-{slug}">{escape(title)}</h2>{body}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table of cells that are HTML already."""
    heads = "".join(f'<th scope="col">{h}</th>' for h in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    inside = f"{said}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide-table" tabindex="0" role="region" aria-label="table"><table>{inside}</table></div>'


def claims(judged: Sequence[Judged]) -> str:
    """All claims with their verdicts."""
    decided = [j for j in judged if j.holds is not None]
    tally = f"{sum(bool(j.holds) for j in decided)} of {len(decided)} hold" if decided else ""
    head = f'<p class="cap" role="presentation"><span>The paper says, this run shows</span><span class="tally">{tally}</span></p>'
    return f'<div class="card claimlist" role="list">{head}{"".join(_claim(j) for j in judged)}</div>'


def _claim(judged: Judged) -> str:
    claim, verdict = judged
    mark = judged.mark
    drawn = f'<svg viewBox="0 0 12 12" aria-hidden="true"><path d="{PATHS[mark]}"/></svg>'
    icon = f'<span class="m {mark}" role="img" aria-label="{WORDS[mark]}">{drawn}</span>'
    kind = KINDS.get(claim.kind, "")
    about = f' <span class="kind">{kind}</span>' if kind else ""
    pairs = [("paper", claim.expected), ("here", verdict.measured)]
    said = "".join(f"<span>{word} <b>{inline(text)}</b></span>" for word, text in pairs if text)
    reason = f"open: {verdict.reason}" if mark == "open" and verdict.reason else verdict.reason
    said += "".join(f"<span>{inline(text)}</span>" for text in (claim.tolerance, reason, claim.source) if text)
    statement = f'<div class="q">{inline(claim.statement)}{about}</div>'
    return f'<div class="claim" role="listitem">{icon}{statement}<div class="d">{said}</div></div>'


def views(groups: Sequence[tuple[str, list[Picture | None]]], names: Sequence[str]) -> str:
    """The cards of the views: one figure for each run in each; `report.js` fills them."""
    cards = []
    for g, (slug, pictures) in enumerate(groups):
        shown = [(s, p) for s, p in enumerate(pictures) if p is not None]
        view = shown[0][1].view
        several = len(names) > 1
        wide = " wide" if view.wide or several else ""
        panels = "".join(
            f'<div class="panel">{f"<h4>{escape(names[s])}</h4>" if several else ""}<p class="sentence" id="say-{g}-{s}"></p>'
            f'<div class="slot" id="plot-{g}-{s}" style="height:{p.height}px" role="img" aria-labelledby="view-{g} say-{g}-{s}">'
            f"{problem(p)}</div></div>"
            for s, p in shown
        )
        cards.append(
            f'<section class="card view{wide}" data-view="{escape(slug)}" aria-labelledby="view-{g}">'
            f'<h3 id="view-{g}">{escape(view.title)}</h3>'
            f'<button class="word asdata" type="button" aria-expanded="false" data-group="{g}">Data</button>'
            f'<div class="panels">{panels}</div>'
            f'<div class="tablebox" hidden tabindex="0" role="region" aria-labelledby="view-{g}"></div></section>'
        )
    return f'<div class="views">{"".join(cards)}</div>'


def problem(picture: Picture) -> str:
    """What is shown instead of a picture that could not be drawn."""
    return f'<p class="empty">{escape(picture.error)}</p>' if picture.error else ""


def settings(subject: Subject) -> str:
    """Controls and interventions of a run."""
    specs, plan = controls(subject.plan.system), subject.plan
    rows = []
    for name, spec in specs.items():
        value = plan.controls[name]
        turned = value != spec.default
        shown = escape(spec.format(value))
        sign = f' <i class="sym">{symbol(spec.symbol)}</i>' if spec.symbol else ""
        unit = f" {escape(spec.unit)}" if spec.unit not in ("", "1") else ""
        label = f"{escape(spec.label or name)}{sign}"
        rows.append((f"<b>{label}</b>" if turned else label, f"<b>{shown}{unit}</b>" if turned else f"{shown}{unit}",
                     escape(spec.format(spec.default)), escape(spec.doc)))  # fmt: skip
    made = table(("control", "value", "default", "what it is"), rows)
    done = [(f"{i.step:,}", "turned" if i.kind == "set" else "kicked", escape(i.describe())) for i in plan.interventions]
    touched = table(("step", "what", "how"), done) if done else "<p>Nothing was done to the run while it went on.</p>"
    return f"{made}<h3>Interventions</h3>{touched}"


def compared(subjects: Sequence[Subject], names: Sequence[str]) -> str:
    """What differs between runs, and nothing else."""
    rows = [(escape(name), *(escape(v) for v in values)) for name, values in differences(list(subjects)).items()]
    rows += [("how it ended", *(escape(s.ending) for s in subjects)), ("run", *(f"<code>{s.id}</code>" for s in subjects))]
    heads = [escape(name.partition(":")[0]) for name in names]
    return table(("", *heads), rows) + "<p>All else is the same in all of them.</p>"


def compared_claims(subjects: Sequence[Subject], names: Sequence[str]) -> str:
    """The claims of runs of one lab, a column for each run."""
    heads = [escape(name.partition(":")[0]) for name in names]
    rows = []
    for judged in zip(*(s.claims for s in subjects), strict=True):
        claim = judged[0].claim
        cells = []
        for _, verdict in judged:
            word = {True: "holds", False: "fails", None: "open"}[verdict.holds]
            detail = verdict.measured or verdict.reason
            cells.append(f'<span class="verdict {word}">{word}</span> {inline(detail)}')
        rows.append((inline(claim.statement), inline(claim.expected), *cells))
    return table(("the paper says", "expected", *heads), rows)


def text(subjects: Sequence[Subject]) -> str:
    """The text of each lab."""
    return "".join(theory_html(lab) for lab in {s.lab.slug: s.lab for s in subjects}.values())


def reproduce(code: Sequence[tuple[str, str]]) -> str:
    """What a person would type to carry it out again."""
    if not code:
        return "<p>The system is one of your own: with the file that defines it, the plan below determines the run.</p>"
    return "".join(
        f'<h3>{escape(where)}</h3><div class="code"><button class="btn small" type="button" data-do="copy">Copy</button>'
        f"<pre><code>{escape(what)}</code></pre></div>"
        for where, what in code
    )


def provenance(subject: Subject) -> str:
    """Where the numbers come from."""
    attrs, plan = subject.attrs, subject.plan
    known = told(attrs, "versions", dict)
    rows = [
        ("run", f"<code>{escape(subject.id)}</code>, the hash of all that determines it"),
        ("lab and model", f"{escape(subject.lab.title)} (<code>{escape(plan.lab or subject.lab.slug)}</code>), {escape(plan.name)}"),
        ("seeds", ", ".join(f"{key} {plan.key_seed(key)}" for key in ("problem", "init", "noise"))),
        ("schedule", "; then ".join(f"{s.steps:,} steps, {s.frames:,} recorded moments, {s.spacing}" for s in plan.schedule.segments)),
        ("ended", escape(subject.ending)),
        ("precision", f"{escape(str(attrs.get('precision', '?')))} bits"),
        ("versions", escape(", ".join(f"{name} {version}" for name, version in known.items()))),
    ]
    if plan.start:
        rows.append(("starts from", f"<code>{escape(plan.start)}</code>"))
    rows += [("needs", f"{escape(name)}: <code>{escape(before.id)}</code>") for name, before in plan.needs.items()]
    listed = "".join(f"<dt>{name}</dt><dd>{what}</dd>" for name, what in rows)
    pretty = escape(json.dumps(plan.record(), indent=1, ensure_ascii=False))
    plan_text = f'<details><summary>The whole plan</summary><div class="code"><pre><code>{pretty}</code></pre></div></details>'
    return f'<dl class="facts">{listed}</dl>{plan_text}'


def cite(subjects: Sequence[Subject]) -> str:
    """What to cite, as BibTeX."""
    seen: dict[str, None] = {}
    for subject in subjects:
        seen |= dict.fromkeys(citations(subject.lab, subject.attrs).split("\n\n@"))
    entries = "\n\n".join(e if e.startswith("@") else f"@{e}" for e in seen)
    return reproduce([("BibTeX", entries)])


def facts(rows: Sequence[tuple[str, Any]]) -> str:
    """Names and values as a list."""
    return '<dl class="facts">' + "".join(f"<dt>{escape(n)}</dt><dd>{escape(str(v))}</dd>" for n, v in rows) + "</dl>"
