"""Live views without a browser: what goes over the wire is what HoloViews itself would draw."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest
import xarray as xr
from bokeh.document import Document
from bokeh.io.doc import patch_curdoc
from bokeh.models import ColorMapper, ColumnDataSource, Span
from panel.io.state import set_curdoc

from stabviz.app import figures
from stabviz.app.components import Browser, ViewFrame
from stabviz.app.drawn import AXES, Draughts, _local, data_only, flat, limits, narrow, parts
from stabviz.app.drawn import drawn as drawn_anew
from stabviz.app.live import Picture, Slot
from stabviz.app.shell import page
from stabviz.lab import View
from tests.app.outline import outline

hv.extension("bokeh")


def axes_of(element) -> dict:
    """What an element with options asks of the axes."""
    asked: dict = {}
    for part in [*flat(element), element]:
        options = hv.Store.lookup_options("bokeh", part, "plot").kwargs
        asked.update({name: options[name] for name in AXES if options.get(name) is not None})
    return asked


def data(n: int) -> xr.Dataset:
    """n frames of a decaying number and of five places."""
    step = np.arange(n)
    return xr.Dataset(
        {"x": ("step", 3.0 * 0.9**step), "w": (("step", "i"), np.outer(0.9**step, np.arange(-2.0, 3.0)))}, {"step": step}, {"steps": 20}
    )


def xy(ds):
    return ds["step"].values.astype(float), ds["x"].values


ELEMENTS = {
    "curve": lambda ds: hv.Curve(xy(ds), "step", "x"),
    "area": lambda ds: hv.Area((*xy(ds), 0 * ds["x"].values), "step", ["x", "floor"]),
    "points": lambda ds: hv.Points((np.arange(5.0), ds["w"].values[-1]), ["i", "w"]),
    "scatter": lambda ds: hv.Scatter((np.arange(5.0), ds["w"].values[-1]), "i", "w"),
    "spikes": lambda ds: hv.Spikes((np.arange(5.0), ds["w"].values[-1]), "i", "w"),
    "text": lambda ds: hv.Text(float(ds["step"][-1]), float(ds["x"][-1]), f"{float(ds['x'][-1]):.2f}"),
    "hline": lambda ds: hv.HLine(float(ds["x"][-1])),
    "vline": lambda ds: hv.VLine(float(ds["step"][-1])),
    "image": lambda ds: hv.Image(np.outer(ds["w"].values[-1], ds["w"].values[-1]), bounds=(0, 0, 1, 1)),
    "histogram": lambda ds: hv.Histogram(np.histogram(ds["w"].values[-1], 4, (-2, 2))),
    "errorbars": lambda ds: hv.ErrorBars((*xy(ds), 0.1 * ds["x"].values), "step", ["x", "e"]),
}
ELEMENTS["overlay"] = lambda ds: hv.Overlay([ELEMENTS[k](ds) for k in ("area", "curve", "text", "hline", "points")])
ELEMENTS["empty"] = lambda ds: hv.Curve(([np.nan], [np.nan]), "step", "x") * ELEMENTS["curve"](ds)


def drawn(element) -> list[dict]:
    """What HoloViews puts into the models of a full plot, part by part."""
    plot = hv.renderer("bokeh").get_plot(element)
    return [held(part) for part in parts(plot)]


def held(part) -> dict:
    source = part.handles.get("source")
    if isinstance(source, ColumnDataSource) and source.data:
        return dict(source.data)
    line = next((m for m in part.handles.values() if isinstance(m, Span)), None)
    return {} if line is None else {"location": line.location}


def equal(mine: dict, full: dict) -> None:
    for name, column in mine.items():
        theirs = full[name]
        a, b = (np.asarray(v[0] if isinstance(v, list) and name == "image" else v) for v in (column, theirs))
        if a.dtype.kind in "fi":
            np.testing.assert_allclose(a, b.astype(float), rtol=1e-6, err_msg=name)
        else:
            assert a.tolist() == b.tolist(), name


@pytest.mark.parametrize("kind", ELEMENTS)
def test_columns_are_those_of_a_full_plot(kind):
    picture = Picture(View(kind, kind, ELEMENTS[kind], lambda ds: ""))
    for n in (3, 8):
        frame = picture.draw(n, data(n))
        full = drawn(ELEMENTS[kind](data(n)))
        assert len(frame.columns) == len(full) == len(flat(frame.element))
        for mine, theirs in zip(frame.columns, full, strict=True):
            assert mine
            equal(mine, theirs)


def test_columns_are_narrow():
    """Numbers go over the wire in four bytes; what does not fit becomes a float."""
    for kind, draw in ELEMENTS.items():
        frame = Picture(View(kind, kind, draw, lambda ds: "")).draw(0, data(4))
        for columns in frame.columns:
            for column in columns.values():
                for array in column if isinstance(column, list) else [column]:
                    assert not isinstance(array, np.ndarray) or array.dtype.itemsize <= 4 or array.dtype.kind in "OU", kind
    assert narrow(np.array([1, 2**40])).dtype == np.float32
    assert narrow(np.array([1, 2])).dtype == np.int32
    assert np.isinf(narrow(np.array([1e300]))[0])


@pytest.mark.parametrize("options", [{}, {"logy": True}, {"xlim": (0, 7)}, {"xlim": (1, 9), "ylim": (0.1, 5), "logx": True, "logy": True}])
def test_the_axes_are_the_same_without_options(options):
    def view(ds):
        curve = ELEMENTS["curve"](ds).opts(color="red", line_width=3)
        return (curve * ELEMENTS["points"](ds).opts(size=4)).opts(**options)

    bare, asked = data_only(view, data(6))
    full = view(data(6))
    for axis in "xy":
        assert limits(bare, axis, asked) == limits(full, axis, axes_of(full))
    assert _local.said is None
    assert hv.Store.lookup_options("bokeh", flat(view(data(2)))[0], "style").kwargs["color"] == "red"  # options are applied again


@pytest.fixture
def slot():
    """A slot with its figure, and the picture that feeds it."""
    view = View("v", "V", lambda ds: ELEMENTS["area"](ds) * ELEMENTS["curve"](ds) * ELEMENTS["hline"](ds), lambda ds: "")
    picture, slot = Picture(view), Slot(view)
    first = picture.draw(0, data(3))
    slot.make(first)
    assert slot.show(first, True)
    return slot, picture


def test_a_document_knows_a_new_figure_as_it_would_after_a_look_at_all_its_models():
    """Also what replaces a figure: that goes."""
    views = [View(str(i), "V", lambda ds, kind=kind: ELEMENTS[kind](ds), lambda ds: "") for i, kind in enumerate(("overlay", "curve"))]
    slots = [Slot(view) for view in views]
    frames = [ViewFrame(slug=s.view.slug, title="A", pane=s.box) for s in slots]
    document = page("A", browser=Browser(), views=frames, tabs=[("live", "Live")]).server_doc()
    before = set(document.models)
    with set_curdoc(document):
        for slot, kind in ((slots[0], "overlay"), (slots[1], "curve"), (slots[1], "area")):
            slot.view = View("v", "V", ELEMENTS[kind], lambda ds: "")
            frame = Picture(slot.view).draw(0, data(3))
            slot.make(frame)
            assert slot.show(frame, True)
            there, fresh = set(document.models), set(document.models._new_models)
            named = {m for m in there if document.models.get_all_by_name(m.name or "")}
            document.models.recompute()
            assert there == set(document.models) > before and slot.figure.references() <= there
            assert all(m.document is document for m in there) and there - before <= fresh
            assert named == {m for m in there if document.models.get_all_by_name(m.name or "")}
            assert "recompute" not in vars(document.models)


def test_a_frame_is_assigned_without_a_drawing(slot, monkeypatch):
    slot, picture = slot
    figure, plot = slot.figure, slot.plot
    frame = picture.draw(1, data(9))
    monkeypatch.setattr("stabviz.app.drawn.drawn", lambda *args: pytest.fail("HoloViews drew"))
    assert slot.show(frame, True) and slot.figure is figure and slot.plot is plot
    for target, columns in zip(plot.targets, frame.columns, strict=True):
        equal(columns, {"location": target.location} if isinstance(target, Span) else dict(target.data))
    assert (figure.x_range.start, figure.x_range.end) == frame.x
    assert (figure.y_range.start, figure.y_range.end) == frame.y


@pytest.mark.parametrize("kind", ["curve", "spikes", "text", "hline", "errorbars", "overlay", "empty"])
def test_a_figure_is_drawn_once_and_made_anew_for_others(kind, monkeypatch):
    view = View(kind, kind, ELEMENTS[kind], lambda ds: "")
    draughts = Draughts(view)
    first = draughts.figure(draughts.frame(data(3)))
    frame = draughts.frame(data(9))
    whole = drawn_anew(view, frame.dataset)
    monkeypatch.setattr("stabviz.app.drawn.drawn", lambda *args: pytest.fail("HoloViews drew"))
    again = draughts.figure(frame)
    assert not {m.id for m in first.state.references()} & {m.id for m in again.state.references()}
    assert outline(again.state) == outline(whole.state)
    for target, columns, part in zip(again.targets, frame.columns, parts(whole), strict=True):
        shown = {"location": target.location} if isinstance(target, Span) else dict(target.data)
        equal(columns, shown)
        equal(columns, held(part))


def test_what_is_said_of_an_element_makes_another_figure():
    wide, draughts = [2], Draughts(View("v", "V", lambda ds: ELEMENTS["curve"](ds).opts(line_width=wide[0]), lambda ds: ""))
    for width in (2, 5, 2):
        wide[0] = width
        figure = draughts.figure(draughts.frame(data(4)))
        assert figure.state.renderers[0].glyph.line_width == width
    assert len(draughts._kept) == 2


def test_a_figure_whose_colours_hold_the_data_is_drawn_each_time():
    draughts = Draughts(View("v", "V", ELEMENTS["image"], lambda ds: ""))
    mappers = [draughts.figure(draughts.frame(data(n))).state.select_one(ColorMapper) for n in (3, 9)]
    assert not draughts._kept and mappers[0].low != mappers[1].low


def test_a_zoom_is_kept_until_it_is_freed(slot):
    slot, picture = slot
    slot.figure.x_range.update(start=1, end=2)
    frame = picture.draw(1, data(9))
    slot.show(frame, True)
    assert (slot.figure.x_range.start, slot.figure.x_range.end) == (1, 2)
    assert (slot.figure.y_range.start, slot.figure.y_range.end) == frame.y
    slot.free()
    frame = picture.draw(2, data(12))
    slot.show(frame, True)
    assert (slot.figure.x_range.start, slot.figure.x_range.end) == frame.x


def test_a_view_of_another_structure_gets_a_new_figure(slot):
    slot, _ = slot
    old = slot.figure
    other = Picture(View("v", "V", ELEMENTS["points"], lambda ds: "")).draw(0, data(3))
    slot.view = View("v", "V", ELEMENTS["points"], lambda ds: "")
    assert not slot.shows(other)
    slot.make(other)
    assert slot.show(other, True) and slot.figure is not old


@pytest.mark.parametrize("gone", [False, True])
def test_a_figure_has_nothing_to_do_with_the_document_at_work(slot, gone):
    """Bokeh's current document is one for all threads, and an error in a callback leaves it behind for ever. Nor with WebGL."""
    slot, picture = slot
    document = Document()
    theme = document.theme
    figures.begin_theme(document, "dark")
    if gone:
        del document._theme  # as Panel leaves one
    with patch_curdoc(document):
        plot = drawn_anew(slot.view, picture.draw(1, data(4)).dataset)
    assert plot.document is not document and plot.state.output_backend == "canvas"
    if not gone:
        assert document.theme is theme and not document.session_destroyed_callbacks


def test_the_moment_is_a_line_that_moves(slot):
    slot, picture = slot
    slot.show(picture.draw(1, data(4)), True)
    slot.moment(2.0)
    line = next(m for m in slot.figure.center if isinstance(m, Span) and m.name == "moment")
    assert line.visible and line.location == 2.0
    slot.moment(None)
    assert not line.visible


CLOCK = {"role": "time", "units": "epochs"}
OVER = {
    "steps": (lambda ds: ds["step"].values, lambda ds: ds["step"].values),
    "own time": (lambda ds: ds["epoch"].values, lambda ds: ds["epoch"].values),
    "own time, its start moved": (lambda ds: np.maximum(ds["epoch"].values, 0.05), lambda ds: np.maximum(ds["epoch"].values, 0.05)),
    "steps without the first": (lambda ds: ds["step"].values[1:], lambda ds: ds["step"].values),
    "something else": (lambda ds: ds["x"].values, lambda ds: None),
}


@pytest.mark.parametrize("over", OVER)
def test_the_moment_stands_where_the_picture_has_it(over):
    ds = data(12)
    ds = ds.assign(epoch=("step", ds["step"].values / 10, CLOCK))
    x, places = (f(ds) for f in OVER[over])
    view = View("v", "V", lambda ds: hv.Curve((x.astype(float), ds["x"].values[-len(x) :]), "t", "x"), lambda ds: "A.")
    found = Draughts(view).frame(ds).places
    assert found is None if places is None else np.allclose(found, places)


def test_the_data_behind_a_picture_is_a_table(slot):
    slot, picture = slot
    slot.show(picture.draw(1, data(19)), True)
    table = slot.table(most=10)
    assert table["columns"][:2] == ["step", "x"] and 5 <= len(table["rows"]) <= 10
