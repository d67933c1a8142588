"""Colours by meaning, and colour maps made of them. Views use these; a page in the dark theme exchanges each for its dark one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

COLORS = {
    "ground": "#f7f7f4", "sheet": "#ffffff", "ink": "#16202b", "soft": "#5a6672", "faint": "#8b95a0", "line": "#e2e3de",
    "rule": "#ecede8", "stable": "#1f6f9e", "edge": "#b7791f", "lost": "#c2472f", "second": "#5c7f3a", "third": "#7a5aa6",
    "fourth": "#1d8a80", "fifth": "#a8507e", "tint": "#e8f0f5",
}  # fmt: skip
"""Light theme: `stable` contracts and holds, `lost` grows and fails, `edge` is on the border, `faint` is undecided; `second` to
`fifth` tell further things apart."""

CYCLE = ("stable", "lost", "edge", "second", "third", "fourth", "fifth", "soft")
"""For several things of one kind, one after the other."""

RAMPS = {
    "diverging": ("stable", "rule", "lost"),  # contracts, neither, grows
    "sequential": ("rule", "stable"),
    "heat": ("rule", "edge", "lost"),
}


def mix(stops: Sequence[str], n: int) -> list[str]:
    """`n` colours that pass through the given ones, evenly, in sRGB."""
    rgb = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in stops]
    made = []
    for j in range(n):
        at = j / max(n - 1, 1) * (len(stops) - 1)
        low = min(int(at), len(stops) - 2)
        made.append("#" + "".join(f"{round(a + (at - low) * (b - a)):02x}" for a, b in zip(rgb[low], rgb[low + 1], strict=True)))
    return made


@lru_cache(maxsize=64)
def _ramp(name: str, n: int, stops: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(mix(stops, n))


def ramp(name: str, n: int = 256, colors: Mapping[str, str] = COLORS) -> list[str]:
    """A colour map: "diverging" (blue, neutral, vermilion), "sequential" or "heat"; for `cmap=` of an image."""
    return list(_ramp(name, n, tuple(colors[stop] for stop in RAMPS[name])))
