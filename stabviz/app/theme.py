"""The look as text: one style sheet, the font inlined, the logo. Read once; nothing is fetched from anywhere."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
COOKIE = "stabviz_theme"
_RANGES = {"latin": "U+0000-00FF,U+0131,U+0152-0153,U+02BB-02BC,U+02C6,U+02DA,U+02DC,U+2000-206F,U+20AC,U+2122,U+2191,U+2193,U+2212,U+2215",
           "greek": "U+0370-0377,U+037A-037F,U+0384-038A,U+038C,U+038E-03A1,U+03A3-03FF"}  # fmt: skip


@cache
def read(name: str) -> str:
    """A text file that lies beside this module."""
    return (HERE / name).read_text(encoding="utf-8")


def css() -> str:
    """The style sheet, without the font."""
    return read("theme.css")


@cache
def font_css() -> str:
    """Inter (variable weight, Latin and Greek) as data in the style sheet: about 90 kB, and no request."""
    faces = []
    for name, characters in _RANGES.items():
        data = base64.b64encode((HERE / "assets" / f"inter-{name}.woff2").read_bytes()).decode()
        faces.append(
            "@font-face{font-family:Inter;font-style:normal;font-weight:100 900;font-display:block;"
            f"src:url(data:font/woff2;base64,{data}) format('woff2');unicode-range:{characters}}}"
        )
    return "\n".join(faces)


def logo() -> str:
    """The logo as inline SVG; it takes its colours from the theme."""
    return read("assets/logo.svg")


@cache
def favicon() -> str:
    """The favicon as a data address."""
    return "data:image/svg+xml;base64," + base64.b64encode(read("assets/favicon.svg").encode()).decode()
