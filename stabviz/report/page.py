"""The page of a report: one HTML file with all that it needs, that asks nobody for anything."""

from __future__ import annotations

import datetime
import functools
import string
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from bokeh.resources import Resources

import stabviz
from stabviz.app import theme
from stabviz.app.palette import TOKENS
from stabviz.report.pictures import in_page

HERE = Path(__file__).parent
DOCK = (
    '<div class="dock" role="group" aria-label="The moment shown"><div class="card scrub"><button class="btn small" type="button" '
    'data-do="play" aria-pressed="false" title="go through the moments (key p)">Play</button><div class="track"><div class="marks"></div>'
    '<input type="range" min="0" value="0" step="1" aria-label="moment shown"></div><span class="now"></span></div></div>'
)


def page(*, title: str, lead: str, about: str, parts: Sequence[tuple[str, str, str]], data: dict[str, Any]) -> str:
    """The whole file.

    Args:
        title: of the page, plain text. lead, about: two lines below it, as HTML.
        parts: (slug, heading, HTML) of each section; those without HTML are left out.
        data: what `report.js` draws from; see `stabviz.report.build`.
    """
    shown = [(slug, heading, body) for slug, heading, body in parts if body]
    colours = dict(TOKENS.values())
    return string.Template(_read("page.html")).substitute(
        title=escape(f"{title} - stabviz report"), heading=escape(title), lead=lead, about=about,
        nav="".join(f'<a href="#{slug}">{escape(heading)}</a>' for slug, heading, _ in shown),
        body="".join(body for _, _, body in shown), version=escape(stabviz.__version__),
        favicon=theme.favicon(), logo=theme.logo(), font=theme.font_css(), css=theme.css() + _read("report.css"),
        bokeh=_bokeh(), script=_read("report.js"),
        data=in_page({**data, "dark": colours, "light": {dark: light for light, dark in colours.items()}}),
    )  # fmt: skip


@functools.cache
def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@functools.cache
def _bokeh() -> str:
    """BokehJS, without the bundles for widgets, tables and WebGL, which no figure of ours needs."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw).replace("</script", "<\\/script")


def built(seconds: float) -> str:
    """When and with what the file was made."""
    when = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return f"Built {when} by stabviz {stabviz.__version__} in {seconds:.1f} s."
