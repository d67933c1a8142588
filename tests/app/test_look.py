"""Words, figures, gallery and shell, without a browser."""

from __future__ import annotations

import gc
import re
import weakref
from types import SimpleNamespace

import holoviews as hv
import panel as pn
import pytest
from bokeh.models import CustomJSTicker, LogAxis, Span, Title

from stabviz.app import figures, gallery, theme
from stabviz.app.components import Browser, Controls, RunBar, Scrubber, ViewFrame, card
from stabviz.app.palette import DARK, LIGHT
from stabviz.app.shell import page
from stabviz.app.text import inline, plain, symbol
from stabviz.control import Control
from stabviz.lab import Paper

hv.extension("bokeh")


@pytest.mark.parametrize(
    ("tex", "html"),
    [
        (r"\eta", "η"),
        (r"\sigma_0", "σ<sub>0</sub>"),
        (r"W^{in}", "W<sup>in</sup>"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_symbol(tex, html):
    assert symbol(tex) == html


def test_formulas_in_a_sentence():
    assert inline(r"$\mathrm{tr} H \le 2/\eta$ holds") == '<span class="math">tr\xa0<i>H</i>\xa0≤ 2/<i>η</i></span> holds'
    assert inline("a < b & c") == "a &lt; b &amp; c"
    assert "<mfrac>" in inline(r"$\frac{1}{2}$")
    assert "<script" not in inline("<script>$x$</script>")
    assert plain(r"below $2/\eta$") == "below 2/η"


def test_type_sizes_are_those_of_the_scale():
    sizes = set(re.findall(r"font(?:-size)?:[^;]*?([\d.]+)px", theme.css()))
    assert sizes <= {"11", "12.5", "14", "16", "22", "34"}


def test_nothing_is_fetched_from_another_host():
    for text in (theme.css(), theme.font_css(), theme.read("shell.js"), theme.read("shell.html"), theme.logo()):
        assert not re.findall(r"https?://(?!www\.w3\.org)", text)


def test_a_figure_is_dressed_and_stays_so():
    pipe = hv.streams.Pipe(data=[1.0, 10.0])
    view = hv.DynamicMap(lambda data: hv.Curve(data, "step", "loss").opts(logy=True), streams=[pipe]).opts(hooks=[figures.dress])
    plot = hv.renderer("bokeh").get_plot(view)
    for _ in range(2):
        figure = plot.state
        assert figure.background_fill_color is None
        assert [g.grid_line_color for g in figure.grid] == [None, LIGHT["rule"]]
        assert isinstance(figure.select_one({"type": LogAxis}).ticker, CustomJSTicker)
        assert {t.name: t.text for t in figure.select({"type": Title}) if t.name} == {"label-below": "step", "label-above": "loss"}
        assert not any(axis.axis_label for axis in figure.axis)
        pipe.send([2.0, 20.0])
    line = figures.moment(figure, 1.0)
    assert (line.location, line.visible) == (1.0, True)
    assert figures.moment(figure, None) is line
    assert not line.visible
    assert len(list(figure.select({"type": Span}))) == 1


def control(name="rate", kind="float", default=0.1, bounds=(0.01, 1.0), **more):
    return Control(name=name, kind=kind, default=default, bounds=bounds, **more)


def test_controls_take_and_refuse():
    panel = Controls({"rate": control(scale="log"), "n": control("n", "int", 4, (1, 9))}, primary=["rate"])
    told = []
    panel.on("settled", lambda name, value: told.append((name, value)))
    panel._handle_msg({"event": "settled", "n": 1, "name": "rate", "value": "0.5"})
    panel._handle_msg({"event": "settled", "n": 2, "name": "rate", "value": "7"})
    assert told == [("rate", 0.5)]
    assert panel.seen == 2
    assert "rate" in panel.errors["rate"]
    panel.set(rate=0.2)
    assert (panel.values, panel.errors) == ({"rate": 0.2, "n": 4}, {})
    assert [row["primary"] for row in panel.rows] == [True, False]


def test_scrubber_follows_until_it_is_moved():
    scrub = Scrubber(at=[0, 1, 2, 3], n=3)
    assert scrub.shown == 2
    scrub._handle_msg({"event": "scrub", "frame": 1, "n": 1})
    scrub.n = 4
    assert scrub.shown == 1
    scrub._handle_msg({"event": "follow", "on": True, "n": 2})
    assert scrub.shown == 3


def test_run_bar_sends_only_what_changed():
    bar, seen = RunBar(), []
    bar.param.watch(lambda *events: seen.extend(e.name for e in events), ["status", "progress", "sentence"])
    bar.show("running", 1, 10, 5.0, 2.0)
    bar.show("running", 2, 10, 5.0, 2.0)
    assert seen == ["status", "progress", "progress"]


def lab(title="SGD stability", wing="training", thumbnail="", claims=()):
    paper = Paper("On the loss", "Lei Wu, Weijie J. Su", 2023, "ICML")
    return SimpleNamespace(title=title, wing=wing, tagline="stops under $2/\\eta$", paper=paper, thumbnail=thumbnail, claims=claims)


def test_gallery_cards_are_links_and_can_be_searched():
    svg = '<?xml version="1.0"?><svg><path stroke="#1f6f9e"/></svg>'
    html = gallery.body(
        {"a": lab(thumbnail=svg, claims=[SimpleNamespace(statement="obeys the Bound")]), "b": lab("Other", "pde")}, {"a": (3, 4)}
    )
    assert 'href="?lab=a"' in html
    assert "obeys the bound" in html
    assert 'stroke="var(--stable)"' in html
    assert "<?xml" not in html
    assert "3 of 4 hold" in html
    assert html.count("hold</b>") == 1
    assert "PDE 1" in html
    assert "Two papers as running systems" in html


def test_gallery_survives_a_broken_lab():
    class Broken(SimpleNamespace):
        @property
        def claims(self):
            raise ImportError("no")

    broken = Broken(**{k: v for k, v in vars(lab()).items() if k != "claims"})
    assert "SGD stability" in gallery.body({"a": broken}, {})


@pytest.mark.parametrize(("n", "word"), [(1, "One"), (19, "Nineteen"), (20, "Twenty"), (42, "Forty-two"), (50, "Fifty"), (123, "123")])
def test_number(n, word):
    assert gallery.number(n) == word


def test_a_claim_card_escapes():
    assert card("x", "<i>", "open", measured="<b>")["measured"] == "&lt;b&gt;"


def test_nothing_of_a_session_outlives_it():
    """Everything that a page holds can be collected once the page is dropped (hooks and themes are process-wide)."""
    refs = []
    for _ in range(3):
        pipe = hv.streams.Pipe(data=[1, 2])
        view = hv.DynamicMap(lambda data: hv.Curve(data), streams=[pipe]).opts(hooks=[figures.dress], responsive=True)
        frame = ViewFrame(slug="a", title="A", pane=pn.pane.HoloViews(view, sizing_mode="stretch_both"))
        browser = Browser()
        template = page("A", browser=browser, views=[frame], tabs=[("live", "Live")])
        document = template.server_doc()
        pipe.send([3, 4])
        figures.set_theme(document, "dark")
        plot = next(iter(frame.pane._plots.values()))[0]
        assert plot.state.axis[0].major_label_text_color == DARK["soft"]
        refs += [weakref.ref(x) for x in (frame, browser, template, document)]
        for callback in list(document.session_destroyed_callbacks):
            callback(SimpleNamespace(_document=document, id=None))
        document.clear()
        del pipe, view, frame, browser, template, document, plot, callback
    for _ in range(3):
        gc.collect()
    assert [r() for r in refs if r() is not None] == []
