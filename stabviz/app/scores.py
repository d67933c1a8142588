"""The Scoreboard page: every claim with what was measured, from the file that `stabviz verify` wrote. Plain HTML, sorted and filtered in
the browser."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from html import escape
from typing import Any
from urllib.parse import urlencode

import panel as pn

from stabviz import scoreboard
from stabviz.app import shell, theme
from stabviz.app.components.claims import KINDS, PATHS
from stabviz.app.text import inline, plain
from stabviz.lab import WINGS, labs
from stabviz.scoreboard import ERROR, FAILS, HOLDS, MIXED, OPEN, SHOWN, VERDICTS, Board, Row

MARKS = {
    HOLDS: ("holds", PATHS["holds"]), MIXED: ("mixed", "M2 7.5c2.5-5 5.5 2 8-3"), FAILS: ("fails", PATHS["fails"]),
    OPEN: ("open", PATHS["open"]), ERROR: ("fails", "M6 2v5m0 3v.01"), SHOWN: ("open", PATHS["shown"]),
}  # fmt: skip
WORDS = {
    HOLDS: "holds", MIXED: "holds in part", FAILS: "does not hold", OPEN: "open", ERROR: "could not be judged", SHOWN: "shown only",
}  # fmt: skip
COLUMNS = (("claim", "Claim"), ("paper", "Paper"), ("here", "Measured here"), ("spread", "Median, spread"), ("score", "Holds"))


def current() -> tuple[Board, str]:
    """The board as the file has it now, and a sentence where the file cannot be read."""
    try:
        return scoreboard.load(), ""
    except scoreboard.ScoreboardError as error:
        return Board(), str(error)


def page() -> pn.Template:
    """The Scoreboard, with the words of this session's link in the search box."""
    search = (pn.state.session_args or {}).get("q", [b""])[0].decode("utf-8", "replace")
    board, problem = current()
    return shell.page(
        body=body(board, labs(), problem), here="scoreboard", search=search, window_title="Scoreboard - stabviz",
        description="What the papers say, and what was measured here.", script=theme.read("scoreboard.js"),
    )  # fmt: skip


def body(board: Board, found: Mapping[str, Any], problem: str = "") -> str:
    """The page as HTML. `found`: labs by slug, in order."""
    rows = board.rows
    if not rows:
        said = problem or "No claim has been judged yet. The command `stabviz verify` does it."
        return f'<div class="gal"><h1>Scoreboard</h1><p class="lead">{inline(said)}</p></div>'
    held, counted = (sum(numbers) for numbers in zip(*board.scores().values())) if board.scores() else (0, 0)
    columns = "".join(
        f'<th scope="col" class="c-{name}"><button class="word" type="button" data-sort="{i}">{text}</button></th>'
        for i, (name, text) in enumerate(COLUMNS)
    )
    lines = "".join(row(r, found.get(r.lab)) for r in rows)
    return (
        f'<div class="gal scores"><h1>Scoreboard</h1><p class="lead">{counted} statements of the papers, and ours, judged by simulation: '
        f"{held} {'holds' if held == 1 else 'hold'} with every seed. Each row opens its run.</p>"
        f'<p class="fine">{computed(board)}</p>{filters(rows, found)}'
        f'<table class="card board"><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table>'
        '<p class="none" hidden>No claim is so. Try fewer words, or take a filter away.</p></div>'
    )


def computed(board: Board) -> str:
    """When, where and with what it was computed, as HTML."""
    days = sorted({r.date for r in board.rows})
    when = day(days[0]) if len(days) == 1 else f"from {day(days[0])} to {day(days[-1])}"
    places = "; ".join(
        f"{p['cpu']}, {p['cores']} cores, {p['system']}: {', '.join(f'{name} {version}' for name, version in p['versions'].items())}"
        for p in board.places
    )
    return f"Computed by <code>stabviz verify</code> {'on ' if len(days) == 1 else ''}{when}, on {escape(places)}."


def day(date: str) -> str:
    """`2026-11-25` as `25 November 2026`."""
    try:
        return f"{datetime.date.fromisoformat(date):%-d %B %Y}"
    except ValueError:
        return escape(date)


def filters(rows: tuple[Row, ...], found: Mapping[str, Any]) -> str:
    """Chips for wings and verdicts, a menu of labs; each with how many claims it leaves."""
    wings = _counted(rows, lambda r: found[r.lab].wing if r.lab in found else "own", list(WINGS))
    verdicts = _counted(rows, lambda r: r.verdict, list(VERDICTS))
    each = _counted(rows, lambda r: r.lab, [*found, *(r.lab for r in rows)])
    title = lambda slug: found[slug].title if slug in found else slug  # noqa: E731
    options = "".join(f'<option value="{escape(slug)}">{escape(title(slug))} ({n})</option>' for slug, n in each.items())
    return (
        '<div class="filters">'
        + _chips("wing", "Wings", "All wings", {wing: WINGS.get(wing, wing.capitalize()) for wing in wings}, wings)
        + _chips("verdict", "Verdicts", "All verdicts", WORDS, verdicts)
        + f'<select class="pick" data-filter="lab" aria-label="Lab"><option value="">All labs</option>{options}</select>'
        '<span class="fine" role="status" data-count></span></div>'
    )


def _counted(rows: tuple[Row, ...], key: Callable[[Row], str], order: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for r in rows:
        counts[key(r)] = counts.get(key(r), 0) + 1
    return {name: counts[name] for name in dict.fromkeys(order) if name in counts}


def _chips(name: str, label: str, everything: str, titles: Mapping[str, str], counts: Mapping[str, int]) -> str:
    chip = '<button class="chip" type="button" data-filter="{}" value="{}" aria-pressed="{}">{}</button>'
    made = [chip.format(name, "", "true", everything)]
    made += [chip.format(name, escape(value), "false", f"{escape(titles[value])} {n}") for value, n in counts.items()]
    return f'<div class="chips" role="group" aria-label="{label}">{"".join(made)}</div>'


def row(r: Row, lab: Any) -> str:
    """One claim as a row; its statement is a link to what decided it, where the lab is installed."""
    title, wing = (lab.title, lab.wing) if lab is not None else (r.lab, "own")
    mark, path = MARKS[r.verdict]
    words = " ".join([r.lab, r.claim, title, wing, r.statement, r.paper, r.source, r.measured, r.reason, WORDS[r.verdict]])
    kind = f' <span class="kind">{KINDS[r.kind]}</span>' if KINDS.get(r.kind) else ""
    statement = inline(r.statement)
    if lab is not None:
        statement = f'<a href="?{escape(urlencode({"lab": r.lab, "claim": r.claim}))}">{statement}</a>'
    others = [t for t in r.trials if t.holds is not True and (t.seed or not t.measured)] if r.verdict != SHOWN else []
    said = "".join(fine(f"seed {t.seed}: {inline(t.error or t.reason or t.measured)}") for t in others)
    middle, _, ends = r.spread.partition(" (")
    took = "" if r.seconds is None else f" Its runs took {_duration(r.seconds)}."
    cells = (
        ("claim", title + plain(r.statement), f'{statement}{kind}{fine(escape(title) + " · " + inline(r.source))}'),
        ("paper", "", inline(r.paper) + fine(inline(r.tolerance))),
        ("here", "", inline(r.measured) + said),
        ("spread", "" if r.median is None else repr(r.median), escape(middle) + fine(escape(ends.rstrip(")")))),
        ("score", repr(_rank(r)), f'<span class="m {mark}" role="img" aria-label="{WORDS[r.verdict]}"><svg viewBox="0 0 12 12" '
         f'aria-hidden="true"><path d="{path}"/></svg></span>{escape(r.score)}'),
    )  # fmt: skip
    labels = dict(COLUMNS)
    made = "".join(
        f'<td class="c-{name}" data-name="{labels[name]}"{f" data-by={chr(34)}{escape(by)}{chr(34)}" if by else ""}>{html}</td>'
        for name, by, html in cells
    )
    return (
        f'<tr data-lab="{escape(r.lab)}" data-wing="{escape(wing)}" data-verdict="{escape(r.verdict)}" '
        f'data-search="{escape(plain(words).lower())}" title="{WORDS[r.verdict].capitalize()}.{took}">{made}</tr>'
    )


def fine(html: str) -> str:
    """A line in small letters, or nothing."""
    return f'<p class="fine">{html}</p>' if html else ""


def _rank(r: Row) -> float:
    """Where a row stands when sorted by verdict: what does not hold comes last, or first."""
    share = r.held / len(r.trials) if r.trials else 0.0
    return {SHOWN: 3.0, OPEN: 2.5, ERROR: 2.0}.get(r.verdict, 1.0 - share)


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds / 60:.0f} min"
