"""What every plot looks like: transparent, horizontal rules only, small quiet axes, toolbar on hover, the moment as a thin line.

`element.opts(hooks=[figures.dress])` dresses the Bokeh figure that HoloViews makes; `set_theme` gives it the colours of a session.
The hook is a function of this module and holds nothing of a session (HoloViews keeps hooks for ever).
"""

from __future__ import annotations

import weakref
from typing import Any

from bokeh.core.properties import value
from bokeh.document import Document
from bokeh.models import (
    Axis,
    BasicTicker,
    CustomJSTicker,
    CustomJSTickFormatter,
    FixedTicker,
    GlyphRenderer,
    Grid,
    InlineStyleSheet,
    Label,
    LabelSet,
    LinearAxis,
    LogAxis,
    Plot,
    Span,
    Text,
    Title,
    Toolbar,
    WheelZoomTool,
)
from panel.io.document import unlocked

from stabviz.app.palette import LIGHT, Theme, swap

FONT = "Inter, system-ui, DejaVu Sans, sans-serif"
SIZE = "11px"

_TICKS = """
const sup = e => String(e).replace(/./g, c => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || (c == "-" ? "⁻" : c))
const text = (v, digits) => String(+v.toPrecision(digits)).replace("-", "−")
if (tick == 0) return "0"
const a = Math.abs(tick), all = ticks.filter(t => t != 0).map(Math.abs)
const least = Math.min(...all), most = Math.max(...all)
if (a < 1e-3 || a >= 1e9 || (log && most / least > 1e5 && (least < 1e-2 || most > 1e7))) {
  const e = Math.floor(Math.log10(a) + 1e-9), m = tick / 10 ** e
  const head = Math.abs(Math.abs(m) - 1) < 1e-6 ? (m < 0 ? "−" : "") : text(m, 3) + "·"
  return head + "10" + sup(e)
}
const steps = log ? all : all.filter(t => t % 100 != 0)
if (a >= 1e6 && (log || all.every(t => t % 1e5 == 0))) return text(tick / 1e6, 5) + "M"
if (a >= 1e3 && (log || steps.length == 0)) return text(tick / 1e3, 6) + "k"
return text(tick, 6)
"""

# Decades, every so many that at most six are shown; 1, 2, 5 where there are few of them.
_LOG_TICKS = """
const lo = Math.min(cb_data.range.start, cb_data.range.end), hi = Math.max(cb_data.range.start, cb_data.range.end)
if (!(lo > 0) || !isFinite(hi)) return []
const a = Math.log10(lo) - 1e-9, b = Math.log10(hi) + 1e-9, out = []
const heads = b - a < 0.7 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : b - a < 1.6 ? [1, 2, 5] : [1]
const every = heads.length > 1 ? 1 : Math.ceil((b - a) / most)
for (let e = Math.ceil(a - (heads.length > 1 ? 1 : 0)); e <= b; e++) {
  if (((e % every) + every) % every != 0) continue
  for (const m of heads) { const t = Math.log10(m) + e; if (t >= a && t <= b) out.push(m * 10 ** e) }
}
return out
"""

_TOOLBAR = """
:host { --button-width: 24px; --button-height: 24px; }
:host(.bk-inner) { background: none; opacity: 1; }
.bk-tool-icon, .bk-divider { background-color: var(--soft); }
"""

_themes: weakref.WeakKeyDictionary[Document, Theme] = weakref.WeakKeyDictionary()


def set_theme(document: Document | None, theme: Theme) -> None:
    """Give the document's figures the theme, now and whenever HoloViews draws again."""
    if document is None:
        return
    _themes[document] = theme
    with unlocked():  # in line behind figures that are on their way: the browser does not know them before
        for root in document.roots:
            swap(root.references(), theme)


def theme_of(document: Document | None) -> Theme:
    """The theme of a document; light where nobody said otherwise."""
    return _themes.get(document, "light") if document is not None else "light"


def begin_theme(document: Document | None, theme: Theme) -> None:
    """Say the theme before anything is drawn (from the visitor's cookie)."""
    if document is not None:
        _themes[document] = theme


def dress(plot: Any, element: Any) -> None:
    """For HoloViews: dresses the figure once, in light colours; asks no document, so that any thread may draw with it."""
    figure = plot.state
    if not isinstance(figure, Plot):
        return
    if "stabviz" not in figure.tags:
        style(figure)
        moment(figure, None)  # before the browser lays the figure out: BokehJS fails on a line that comes just after
    else:
        _grids(figure)  # HoloViews has just set these again
        _texts(figure)
        _labels(figure)


def style(figure: Plot) -> Plot:
    """Dress a Bokeh figure (in light colours)."""
    figure.tags = [*figure.tags, "stabviz"]
    figure.update(background_fill_color=None, border_fill_color=None, outline_line_color=None)
    figure.update(min_border_left=36, min_border_right=10, min_border_top=6, min_border_bottom=20)
    if figure.title is not None:
        figure.title.visible = False
    _toolbar(figure)
    for axis in _around(figure, Axis):
        _axis(axis, horizontal=axis in figure.below or axis in figure.above)
    _grids(figure)
    _texts(figure)
    for legend in figure.legend or []:
        legend.update(background_fill_color=None, border_line_color=None, label_text_color=LIGHT["soft"], label_text_font=FONT)
        legend.update(label_text_font_size=SIZE, padding=0, spacing=2, glyph_width=16, margin=0)
    _labels(figure)
    return figure


def _around(figure: Plot, kind: type) -> list[Any]:
    """Axes, grids and lines of a figure, without a walk through all its models."""
    places = (figure.below, figure.left, figure.above, figure.right, figure.center)
    return [model for place in places for model in place if isinstance(model, kind)]


def _grids(figure: Plot) -> None:
    for grid in _around(figure, Grid):
        rule = LIGHT["rule"] if grid.dimension == 1 else None
        grid.update(grid_line_color=rule, minor_grid_line_color=None, grid_line_width=1, level="underlay")
        grid.ticker = next((axis.ticker for axis in (figure.left if grid.dimension == 1 else figure.below)), grid.ticker)


def _texts(figure: Plot) -> None:
    """Words inside the plot in the type of the page."""
    glyphs = [r.glyph for r in figure.renderers if isinstance(r, GlyphRenderer) and isinstance(r.glyph, Text)]
    for words in [*glyphs, *figure.select({"type": LabelSet})]:
        words.update(text_font=value(FONT), text_font_size=value(SIZE))
    for label in figure.select({"type": Label}):
        label.update(text_font=FONT, text_font_size=SIZE)


def _labels(figure: Plot) -> None:
    """The names of the axes as quiet lines: x below at the right end, y above at the left (never turned on its side)."""
    for place, axes, align in (("below", figure.below, "right"), ("above", figure.left, "left")):
        axis = next((a for a in axes if isinstance(a, Axis)), None)
        if axis is None or not axis.axis_label:
            continue
        name = f"label-{place}"
        line = next((title for title in _around(figure, Title) if title.name == name), None)
        if line is None:
            line = Title(name=name, align=align, text_color=LIGHT["soft"], text_font=FONT, text_font_size=SIZE, text_font_style="normal")
            line.update(standoff=2, text_line_height=1.0)
            figure.add_layout(line, place)
        line.text = str(axis.axis_label)
        axis.axis_label = None


def _toolbar(figure: Plot) -> None:
    toolbar = figure.toolbar
    if isinstance(toolbar, Toolbar):
        toolbar.update(autohide=True, logo=None, stylesheets=[*toolbar.stylesheets, InlineStyleSheet(css=_TOOLBAR)])
        for tool in toolbar.tools:
            if isinstance(tool, WheelZoomTool):  # without the key the wheel scrolls the page
                tool.modifiers = "ctrl"
    figure.update(toolbar_inner=True, toolbar_location="above")


def _axis(axis: Axis, horizontal: bool) -> None:
    axis.update(
        axis_line_color=LIGHT["line"] if horizontal else None,
        major_tick_line_color=None,
        minor_tick_line_color=None,
        major_label_text_color=LIGHT["soft"],
        major_label_text_font=FONT,
        major_label_text_font_size=SIZE,
        axis_label_text_color=LIGHT["soft"],
        axis_label_text_font=FONT,
        axis_label_text_font_size=SIZE,
        axis_label_text_font_style="normal",
        axis_label_standoff=2,
        major_label_standoff=4,
    )
    if not isinstance(axis, (LinearAxis, LogAxis)) or axis.major_label_overrides:
        return
    log = isinstance(axis, LogAxis)
    axis.formatter = CustomJSTickFormatter(code=_TICKS, args={"log": log})
    if isinstance(axis.ticker, FixedTicker):
        return
    if log:
        axis.ticker = CustomJSTicker(major_code=_LOG_TICKS, minor_code="return []", args={"most": 6 if horizontal else 5})
    elif isinstance(axis.ticker, BasicTicker):
        axis.ticker.update(desired_num_ticks=6 if horizontal else 4, num_minor_ticks=0)


def moment(figure: Plot, at: float | None) -> Span:
    """The recorded moment as a thin vertical line; `at` in the units of the x axis, None hides it. Call it again to move it."""
    line = next((span for span in _around(figure, Span) if span.name == "moment"), None)
    if line is None:
        line = Span(dimension="height", name="moment", line_color=LIGHT["ink"], line_alpha=0.25, line_width=1.2, visible=False)
        if theme_of(figure.document) == "dark":
            swap([line], "dark")
        figure.add_layout(line)
    if at is None:
        line.visible = False
    else:
        line.update(location=float(at), visible=True)
    return line
