"""What several labs are asked of their text, their picture and their colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from stabviz.colors import COLORS

HEADINGS = ["What you see", "The system", "What the paper proves", "Try this", "When it goes wrong", "Limits", "Source"]


@pytest.fixture(scope="session")
def check_text():
    """`check_text(lab, more_than)`: the headings, and that more than so many formulas of text and claims become MathML."""
    from latex2mathml.converter import convert

    def check(lab, more_than: int) -> None:
        assert re.findall(r"^## (.+)$", lab.text, re.M) == HEADINGS
        formulas = re.findall(r"\$\$(.+?)\$\$", lab.text, re.S)
        formulas += re.findall(r"\$([^$]+)\$", re.sub(r"\$\$.+?\$\$", "", lab.text, flags=re.S))
        formulas += [m for c in lab.claims for m in re.findall(r"\$([^$]+)\$", c.statement)]
        assert len(formulas) > more_than
        for formula in formulas:
            ET.fromstring(convert(formula))

    return check


@pytest.fixture(scope="session")
def check_thumbnail():
    """`check_thumbnail(lab, size)`: its place in the card, and that it is shorter than so many characters."""

    def check(lab, size: int) -> None:
        assert ET.fromstring(lab.thumbnail).attrib["viewBox"] == "0 0 300 150" and len(lab.thumbnail) < size

    return check


@pytest.fixture(scope="session")
def check_colours():
    """`check_colours(view, dataset, *columns)`: every colour of the picture is one of the page's (or a column of such)."""
    import holoviews as hv

    def check(view, dataset, *columns: str) -> None:
        for part in view.draw(dataset):
            for name, value in hv.Store.lookup_options("bokeh", part, "style").kwargs.items():
                if name == "color" and value not in columns:
                    assert value in COLORS.values(), (view.slug, name, value)

    return check
