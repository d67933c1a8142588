"""The colours: one table for style sheet, labs and figures, and the change of theme in figures that exist."""

from __future__ import annotations

import re

import pytest
from bokeh.models import ColumnDataSource, LinearColorMapper
from bokeh.plotting import figure

from stabviz.app import theme
from stabviz.app.palette import DARK, LIGHT, TOKENS, swap, tokens, translate
from stabviz.colors import mix, ramp


def declared(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))


def test_style_sheet_has_the_same_colours():
    light, dark = theme.css().split("}")[:2]
    assert declared(light) == LIGHT
    assert declared(dark) == DARK


def test_every_colour_can_be_told_from_the_others_in_its_theme():
    assert len(set(LIGHT.values())) == len(set(DARK.values())) == len(TOKENS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("#1F6F9E", DARK["stable"]),
        ("#1f6f9e80", DARK["stable"] + "80"),
        ("black", DARK["ink"]),
        ("#123456", "#123456"),
        (["#1f6f9e", "#c2472f"], [DARK["stable"], DARK["lost"]]),
        (ramp("diverging"), ramp("diverging", colors=DARK)),
        (ramp("sequential", 9)[::-1], ramp("sequential", 9, colors=DARK)[::-1]),
        (None, None),
        (3.0, 3.0),
    ],
)
def test_translate(value, expected):
    assert translate(value, "dark") == expected


def test_a_ramp_passes_through_its_tokens():
    colours = ramp("diverging", 11)
    assert (colours[0], colours[5], colours[-1]) == (LIGHT["stable"], LIGHT["rule"], LIGHT["lost"])
    assert mix(["#000000", "#ffffff"], 3) == ["#000000", "#808080", "#ffffff"]


def test_swap_there_and_back():
    f = figure()
    line = f.line([1, 2], [3, 4], line_color=LIGHT["stable"])
    dots = f.scatter("x", "y", color="c", source=ColumnDataSource({"x": [0], "y": [0], "c": [LIGHT["lost"]]}))
    image = f.image([[[0.0]]], x=0, y=0, dw=1, dh=1, color_mapper=LinearColorMapper(palette=ramp("diverging", 32)))
    f.xaxis.axis_label_text_color = LIGHT["soft"]
    before = {m: m.properties_with_values() for m in f.references()}
    assert swap(f.references(), "dark") > 5
    assert line.glyph.line_color == DARK["stable"]
    assert list(dots.data_source.data["c"]) == [DARK["lost"]]
    assert list(image.glyph.color_mapper.palette) == ramp("diverging", 32, DARK)
    assert f.xaxis[0].axis_label_text_color == tokens("dark")["soft"]
    assert swap(f.references(), "dark") == 0
    swap(f.references(), "light")
    assert line.glyph.line_color == LIGHT["stable"]
    assert list(image.glyph.color_mapper.palette) == ramp("diverging", 32)
    assert before[f]["background_fill_color"] == f.background_fill_color
