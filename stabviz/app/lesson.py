"""A teacher's link: which parts of a lab's page are left out, what cannot be turned, and how the page is laid out.

    ?lab=sgd_stability&hide=sweep,data,presets&lock=batch_size        some parts left out, one control fixed
    ?lab=sgd_stability&lock=all&layout=compact                        in a frame of another page
    ?lab=sgd_stability&layout=wall                                    only the views, for a projector
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

WORDS = ("hide", "lock", "layout")
"""Words of the link."""

PARTS = {
    "presets": "presets", "controls": "controls", "seed": "seed", "touch": "touch the run", "claims": "claims", "questions": "questions",
}  # fmt: skip
"""Parts of the live tab that can be left out, and how they are called in the dialog that makes such a link."""

LAYOUTS = {"": "whole page", "compact": "compact, for a frame", "wall": "views only, for a projector"}
ALL = "all"


@dataclasses.dataclass(frozen=True)
class Lesson:
    """`hide`: parts, tabs and controls left out; `lock`: controls that cannot be turned, or "all"; `layout`: one of LAYOUTS."""

    hide: tuple[str, ...] = ()
    lock: tuple[str, ...] = ()
    layout: str = ""

    def words(self) -> list[tuple[str, str]]:
        """The link's words."""
        items = [("hide", ",".join(self.hide)), ("lock", ",".join(self.lock)), ("layout", self.layout)]
        return [(word, text) for word, text in items if text]

    def locks(self, name: str) -> bool:
        """Whether a control (or "preset", "seed") cannot be turned."""
        return ALL in self.lock or name in self.lock

    def shown(self, names: Collection[str]) -> list[str]:
        """Those of `names` that are not left out."""
        return [] if "controls" in self.hide else [name for name in names if name not in self.hide]

    def tabs(self, tabs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """The tabs that are not left out; the live one always stays."""
        return [(slug, title) for slug, title in tabs if slug == "live" or slug not in self.hide]


def read(given: dict[str, str], controls: Collection[str], tabs: Collection[str], problems: list[str]) -> Lesson:
    """What a link says. Words that name nothing are left out, each told by a sentence in `problems`."""
    hide = _names(given.get("hide", ""), {*PARTS, *tabs, *controls} - {"live"}, "hide", problems)
    lock = _names(given.get("lock", ""), {ALL, "preset", "seed", *controls}, "lock", problems)
    layout = given.get("layout", "")
    if layout not in LAYOUTS:
        problems.append(f"layout cannot be {layout[:40]!r}: it is {' or '.join(filter(None, LAYOUTS))}.")
        layout = ""
    return Lesson(hide, lock, layout)


def _names(text: str, known: Collection[str], word: str, problems: list[str]) -> tuple[str, ...]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            problems.append(f"There is nothing called {name[:40]!r} to {word} here.")
    return tuple(dict.fromkeys(name for name in names if name in known))
