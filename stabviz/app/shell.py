"""The shell of every page: top bar, head with tabs, the three columns, theme, keys. Components go into named areas.

template = page("SGD stability", tagline=..., browser=Browser(), left=[controls], middle=[run_bar], views=frames,
                dock=[scrubber], right=[claims, try_this], tabs=[("live", "Live"), ("theory", "Theory")], panes={"theory": [column]})
template.servable()
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

import panel as pn
from bokeh.document import Document
from panel.io.resources import LOCAL_DIST, parse_template, use_cdn
from panel.template import base

from stabviz.app import figures, theme
from stabviz.app.components import Browser, Tabs
from stabviz.app.early import OWN
from stabviz.app.palette import Theme

NAV = (("labs", "Labs", "?"), ("runs", "Runs", "?page=runs"), ("scoreboard", "Scoreboard", "?page=scoreboard"))
KEYS = (
    ("r", "run, pause, resume"),
    ("s", "one frame"),
    ("0", "reset"),
    ("k", "kick"),
    ("f", "follow"),
    ("p", "only the views, full screen; Esc goes back"),
    ("/", "search"),
    ("?", "this list"),
)
GAP = 12


def visitor_theme() -> Theme:
    """The theme that the visitor's cookie asks for; the browser corrects it where there is none."""
    return "dark" if (pn.state.cookies or {}).get(theme.COOKIE) == "dark" else "light"


def page(
    title: str = "",
    *,
    tagline: str = "",
    description: str = "Is it stable? Papers as running systems.",
    window_title: str = "",
    here: str = "labs",
    search: str = "",
    body: str = "",
    script: str = "",
    browser: Browser | None = None,
    tabs: Sequence[tuple[str, str]] = (),
    tab: str = "live",
    left: Iterable[Any] = (),
    middle: Iterable[Any] = (),
    views: Iterable[Any] = (),
    dock: Iterable[Any] = (),
    right: Iterable[Any] = (),
    share: Iterable[Any] = (),
    layout: str = "",
    panes: Mapping[str, Iterable[Any]] | None = None,
) -> pn.Template:
    """A whole page. `tagline` and `body` are HTML; the areas take Panel objects; `tabs` are (slug, title), the first one is the live page.

    `layout` is "" for the whole page, "compact" for one in a frame of another page, "wall" for the views alone.

    `script` is what this page's browser side has beyond that of every page.

    The returned template has the attribute `sv_tabs`, the `Tabs` component (or None).
    """
    areas = {"left": list(left), "middle": list(middle), "views": list(views), "dock": list(dock), "right": list(right)}
    parts = {name: list(objects) for name, objects in (panes or {}).items()}
    chosen = visitor_theme()
    figures.begin_theme(pn.state.curdoc, chosen)
    _serve_here(pn.state.curdoc)
    known = {slug for slug, _ in tabs}
    tab = tab if tab in known or not known else tabs[0][0]
    context = {
        "title": title,
        "tagline": tagline,
        "description": description,
        "css": theme.css(),
        "font_css": theme.font_css(),
        "script": theme.read("shell.js"),
        "own": OWN,
        "own_script": script,
        "logo": theme.logo(),
        "favicon": theme.favicon(),
        "nav": [{"title": text, "href": href, "here": name == here} for name, text, href in NAV],
        "search": search,
        "body": body,
        "lab": any(areas.values()),
        "tabs": bool(tabs),
        "tab": tab,
        "panes": list(parts),
        "shortcuts": KEYS,
        "reserve": {name: _height(objects, grid=name == "views") for name, objects in areas.items()},
    }
    template = Shell(_shell())
    template.add_variable("sv", context)
    template.add_variable("html_attrs", f'data-theme="{chosen}" data-layout="{escape(layout)}"')
    for name, objects in {**areas, "share": list(share), **{f"pane-{name}": objects for name, objects in parts.items()}}.items():
        for i, obj in enumerate(objects):
            template.add_panel(f"{name.replace('-', '_')}_{i}", obj, tags=[name])
    bar = Tabs(tabs=[{"slug": slug, "title": text} for slug, text in tabs], value=tab) if tabs else None
    if bar is not None:
        template.add_panel("tabs_0", bar, tags=["tabs"])
    if browser is not None:
        browser.theme = chosen
        browser.on("theme", _change_theme)
        template.add_panel("hidden_0", browser, tags=["hidden"])
    template.sv_tabs = bar  # type: ignore[attr-defined]
    template.window_title = window_title or (f"{title} - stabviz" if title else "stabviz")
    return template


@cache
def _shell() -> Any:
    """The page's template, compiled once."""
    return parse_template(theme.read("shell.html"))


class Shell(pn.Template):
    """Panel's template without what it does again for each part: of a page of thirty that was more than half."""

    window_title = "stabviz"
    """What the browser's tab says; Panel would give all pages of a server one title."""

    def __repr__(self) -> str:
        return "Shell"  # Panel writes all parts out again whenever one is added

    def _init_doc(self, doc: Any = None, *args: Any, **options: Any) -> Any:
        document = doc or pn.state.curdoc
        options["title"] = self.window_title
        if document is None:
            return super()._init_doc(doc, *args, **options)
        with document.models.freeze(), _configured(self.design):  # else the document counts all its models anew for each part
            return super()._init_doc(doc, *args, **options)


class _Configured:
    """Panel's settings, with all of them read and written back once a page instead of once a part."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pn.config, name)

    def set(self, **values: Any) -> Any:
        return contextlib.nullcontext()


@contextlib.contextmanager
def _configured(design: Any) -> Iterator[None]:
    """Panel's setting of the design, said once for all parts of a page."""
    known = base.config
    with pn.config.set(design=design):
        base.config = _Configured()  # type: ignore[assignment]
        try:
            yield
        finally:
            base.config = known


def _serve_here(document: Document | None) -> None:
    """Panel's style sheets come from this server, also in a session that begins at the socket.

    Panel takes them from its CDN until it has rendered the page's HTML; where a slow visitor's first session has
    expired, the second one is never rendered as HTML, and would ask another host.
    """
    if document is not None and not use_cdn():
        document._template_variables.setdefault("dist_url", f"{pn.state.rel_path}/{LOCAL_DIST}" if pn.state.rel_path else LOCAL_DIST)


def _change_theme(name: str) -> None:
    figures.set_theme(pn.state.curdoc, "dark" if name == "dark" else "light")


def _height(objects: Iterable[Any], grid: bool = False) -> int:
    """The height that a column needs on a wide screen, so that nothing jumps when its components arrive."""
    total, half = 0, 0
    for obj in objects:
        if not getattr(obj, "visible", True):
            continue
        height = int(getattr(obj, "reserve", 0) or 0)
        if grid and not getattr(obj, "wide", False) and not half:
            total, half = total + height + GAP, 1
        elif grid and not getattr(obj, "wide", False):
            half = 0
        else:
            total, half = total + height + GAP, 0
    return max(0, total - GAP)
