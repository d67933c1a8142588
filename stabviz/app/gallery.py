"""The gallery: every lab as a card, in wings, with a search box. Plain HTML; nothing of a lab's mathematics is imported for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import quote

import panel as pn

from stabviz.app import scores, shell, theme
from stabviz.app.palette import TOKENS
from stabviz.app.text import inline, plain
from stabviz.lab import WINGS, labs

_ONES = (
    "No One Two Three Four Five Six Seven Eight Nine Ten Eleven Twelve Thirteen Fourteen Fifteen Sixteen Seventeen Eighteen Nineteen"
).split()
_TENS = "Twenty Thirty Forty Fifty Sixty Seventy Eighty Ninety".split()
_VARIABLES = {light: f"var(--{name})" for name, (light, _) in TOKENS.items()}


def gallery(found: Mapping[str, Any], scores: Mapping[str, tuple[int, int]] | None = None, search: str = "") -> pn.Template:
    """The gallery page. `found`: labs by slug, in order; `scores` are (claims that hold, claims) by slug, where they are known."""
    return shell.page(body=body(found, scores or {}), search=search, window_title="stabviz: is it stable?")


def page() -> pn.Template:
    """The gallery of the labs that are installed, with the search of this session's link."""
    search = (pn.state.session_args or {}).get("q", [b""])[0].decode("utf-8", "replace")
    return gallery(labs(), scores.current()[0].scores(), search=search)


def body(found: Mapping[str, Any], scores: Mapping[str, tuple[int, int]]) -> str:
    """The gallery as HTML."""
    wings: dict[str, int] = {}
    for lab in found.values():
        wings[lab.wing] = wings.get(lab.wing, 0) + 1
    chips = [_chip("", f"All {len(found)}")] + [_chip(wing, f"{WINGS.get(wing, wing.capitalize())} {n}") for wing, n in wings.items()]
    cards = [card(slug, lab, scores.get(slug)) for slug, lab in found.items()]
    many = f"{number(len(found))} {'paper as a running system' if len(found) == 1 else 'papers as running systems'}"
    return (
        f'<div class="gal"><h1>Is it stable?</h1><p class="lead">{many}. Turn a control, kick the state, watch what lasts, '
        "and see which of the paper’s statements hold.</p>"
        f'<nav class="chips" aria-label="Wings">{"".join(chips)}</nav><div class="grid">{"".join(cards)}</div>'
        '<p class="none" hidden>Nothing has these words. Try fewer, or another wing.</p></div>'
    )


def _chip(wing: str, text: str) -> str:
    href = f"?wing={quote(wing)}" if wing else "?"
    return f'<a class="chip" href="{href}" data-wing="{escape(wing)}" aria-current="{str(not wing).lower()}">{escape(text)}</a>'


def card(slug: str, lab: Any, score: tuple[int, int] | None = None) -> str:
    """One lab as a link: picture, title, what you will see, paper, and how many claims hold where that is known."""
    held = f"<b>{score[0]} of {score[1]}{'' if judged_whole(lab, score[1]) else ' judged'} hold</b>" if score else ""
    words = " ".join([slug, lab.wing, lab.title, lab.tagline, *paper_words(lab.paper), *claim_words(lab)])
    return (
        f'<a class="card lab" href="?lab={quote(slug)}" data-wing="{escape(lab.wing)}" data-search="{escape(plain(words).lower())}">'
        f'<div class="pic" aria-hidden="true">{picture(lab)}</div><div class="pad"><h2>{escape(lab.title)}</h2><p>{inline(lab.tagline)}</p>'
        f'<div class="f"><span>{escape(lab.paper.short)}</span>{held}</div></div></a>'
    )


def paper_words(paper: Any) -> list[str]:
    """What of a paper can be searched."""
    return [paper.title, paper.authors, paper.venue, str(paper.year)]


def claim_words(lab: Any) -> list[str]:
    """The statements of a lab's claims. A lab whose claims cannot be read is still in the gallery."""
    try:
        return [claim.statement for claim in lab.claims]
    except Exception:
        return []


def judged_whole(lab: Any, judged: int) -> bool:
    """Whether so many are all of a lab's claims that a verdict is asked of, as far as they can be read."""
    try:
        return judged >= sum(claim.kind != "shown" for claim in lab.claims)
    except Exception:
        return True


def picture(lab: Any) -> str:
    """The thumbnail with its colours tied to the theme, or the logo, faint."""
    return themed(lab.thumbnail) if lab.thumbnail else f'<div style="opacity:.16;height:100%;padding:28px">{theme.logo()}</div>'


@lru_cache(maxsize=256)
def themed(svg: str) -> str:
    """The SVG with each colour that is a light token replaced by the variable of the theme."""
    svg = re.sub(r"<\?xml[^>]*\?>|<!DOCTYPE[^>]*>|<!--.*?-->", "", svg, flags=re.DOTALL)
    return re.sub(r"#[0-9a-fA-F]{6}\b", lambda m: _VARIABLES.get(m[0].lower(), m[0]), svg).strip()


def number(n: int) -> str:
    """A whole number below a hundred as a word, as a sentence begins with it."""
    if not 0 <= n < 100:
        return str(n)
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10 - 2] + (f"-{_ONES[n % 10].lower()}" if n % 10 else "")
