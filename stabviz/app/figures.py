"""What every plot looks like: transparent, horizontal rules only, small quiet axes, toolbar on hover, the moment as a thin line.

`element.opts(hooks=[figures.hook])` dresses the Bokeh figure that HoloViews makes, and keeps it in the session's theme.
The hook is a function of this module and holds nothing of a session (HoloViews keeps hooks for ever).
"""

from __future__ import annotations

import weakref
from typing import Any

import panel as pn
from bokeh.document import Document
from bokeh.models import Axis, CustomJSTickFormatter, Grid, LegendItem, LinearAxis, LogAxis, Plot, Span, Toolbar, WheelZoomTool

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

_themes: weakref.WeakKeyDictionary[Document, Theme] = weakref.WeakKeyDictionary()


def set_theme(document: Document | None, theme: Theme) -> None:
    """Give the document's figures the theme, now and whenever HoloViews draws again."""
    if document is None:
        return
    _themes[document] = theme
    for root in document.roots:
        swap(root.references(), theme)


def theme_of(document: Document | None) -> Theme:
    """The theme of a document; light where nobody said otherwise."""
    return _themes.get(document, "light") if document is not None else "light"


def begin_theme(document: Document | None, theme: Theme) -> None:
    """Say the theme before anything is drawn (from the visitor's cookie)."""
    if document is not None:
        _themes[document] = theme


def hook(plot: Any, element: Any) -> None:
    """For HoloViews: dresses the figure once, and keeps colours in the session's theme at each later drawing."""
    figure = plot.state
    if not isinstance(figure, Plot):
        return
    if "stabviz" not in figure.tags:
        style(figure)
    document = figure.document or getattr(plot, "document", None) or pn.state.curdoc
    if theme_of(document) == "dark":
        swap(figure.references(), "dark")


def style(figure: Plot) -> Plot:
    """Dress a Bokeh figure (in light colours)."""
    figure.tags = [*figure.tags, "stabviz"]
    figure.update(background_fill_color=None, border_fill_color=None, outline_line_color=None)
    figure.update(min_border_left=44, min_border_right=12, min_border_top=10, min_border_bottom=34)
    if figure.title is not None:
        figure.title.visible = False
    _toolbar(figure.toolbar)
    for axis in figure.select({"type": Axis}):
        _axis(axis, horizontal=axis in figure.below or axis in figure.above)
    for grid in figure.select({"type": Grid}):
        rule = LIGHT["rule"] if grid.dimension == 1 else None
        grid.update(grid_line_color=rule, minor_grid_line_color=None, grid_line_width=1, level="underlay")
    for legend in figure.legend or []:
        legend.update(background_fill_color=None, border_line_color=None, label_text_color=LIGHT["soft"], label_text_font=FONT)
        legend.update(label_text_font_size=SIZE, padding=0, spacing=2, glyph_width=16, margin=0)
        assert all(isinstance(item, LegendItem) for item in legend.items)
    return figure


def _toolbar(toolbar: Toolbar) -> None:
    toolbar.autohide = True
    toolbar.logo = None
    for tool in toolbar.tools:
        if isinstance(tool, WheelZoomTool):  # the page scrolls; zoom by wheel is asked for in the toolbar
            toolbar.active_scroll = None


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
    if horizontal:
        axis.axis_label_align = "end"
    if isinstance(axis, (LinearAxis, LogAxis)) and not axis.major_label_overrides:
        axis.formatter = CustomJSTickFormatter(code=_TICKS, args={"log": isinstance(axis, LogAxis)})
    if isinstance(axis, LogAxis):
        axis.ticker.num_minor_ticks = 0


def moment(figure: Plot, at: float | None) -> Span:
    """The recorded moment as a thin vertical line; `at` in the units of the x axis, None hides it. Call it again to move it."""
    line = figure.select_one({"name": "moment", "type": Span})
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


def hide_title(element: Any) -> Any:
    """The element without a title of its own: the card has one."""
    return element.opts(title="")
