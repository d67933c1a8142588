"""A system of one's own has the whole page, and a file of one's own is loaded again when it is saved."""

from __future__ import annotations

import socket
import textwrap
from pathlib import Path

import jax.numpy as jnp
import pytest
from playwright.sync_api import Page, expect

import stabviz as sv
from stabviz.app import serve
from stabviz.own import OwnError, OwnFile, lab_of

LORENZ = '''
    import jax.numpy as jnp
    import stabviz as sv

    lorenz = sv.Flow(
        lambda t, x, p: jnp.stack([10 * (x[1] - x[0]), x[0] * (p.rho - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]),
        [1.0, 1.0, 20.0], dt=0.01, steps=STEPS, frames=100, rho=(28.0, 0, 100),
    )
'''


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "my_lab.py"
    write(path)
    return path


def write(path: Path, text: str = LORENZ, steps: int = 500) -> None:
    path.write_text(textwrap.dedent(text).replace("STEPS", str(steps)))


def test_a_system_has_views_of_its_observables():
    flow = sv.Flow(lambda t, x, p: -p.k * x, [1.0, 2.0, 3.0], k=1.0)
    lab = lab_of(flow)
    assert [v.slug for v in lab.views] == ["x", "portrait"]
    ds = sv.simulate(lab.system(), steps=20, frames=5)
    for view in lab.views:
        assert view.suits(lab.system_name(), ds)
        view.draw(ds)
        assert view.sentence(ds).endswith(".")


def test_numbers_and_grids_have_theirs_and_an_instance_keeps_its_controls():
    class Heat(sv.System):
        """Heat on a plate, $u' = D \\Delta u$."""

        d: float = sv.control(0.1, bounds=(0.0, 0.24))
        observables = {"u": sv.Observable("temperature", dims=("row", "column")), "total": sv.Observable("heat")}

        def init(self, problem, key):
            return jnp.zeros((8, 9)).at[3, 4].set(1.0)

        def step(self, problem, u, key, k):
            return u + self.d * (sum(jnp.roll(u, s, a) for s in (1, -1) for a in (0, 1)) - 4 * u)

        def observe(self, problem, u):
            return {"u": u, "total": u.sum()}

    lab = lab_of(Heat(d=0.2))
    assert [v.slug for v in lab.views] == ["u", "total"] and lab.presets["given"].controls == {"d": 0.2}
    assert "$u' = D" in lab.text and lab.paper.short == ""
    ds = sv.simulate(lab.system(preset="given"), steps=9, frames=3)
    assert [type(v.draw(ds)).__name__ for v in lab.views] == ["Image", "Overlay"]
    assert all(v.sentence(ds).endswith(".") for v in lab.views)


def test_what_is_no_system_is_told():
    with pytest.raises(OwnError, match="neither a lab nor a System"):
        lab_of(3)


def test_a_file_is_loaded_again_when_it_is_saved(file):
    own = OwnFile(file)
    assert list(own.labs) == ["lorenz"] == [s for s in sv.labs() if s == "lorenz"] and not own.error
    first = sv.lab("lorenz").plan()
    own.refresh()
    assert own.version == 1
    write(file, steps=700)
    own.refresh()
    assert own.version == 2 and sv.lab("lorenz").plan().schedule.steps == 700 and sv.lab("lorenz").plan().id != first.id


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\nlorenz = (\n", "my_lab.py, line 2: '(' was never closed."),
        ("import stabviz as sv\n\n\nx = 1 / 0\n", "my_lab.py, line 4: ZeroDivisionError: division by zero"),
        ("x = 1\n", "my_lab.py has no System"),
    ],
)
def test_an_error_names_its_line_and_the_last_good_labs_stay(file, text, says):
    own = OwnFile(file)
    file.write_text(text)
    own.refresh()
    assert says in own.error and list(own.labs) == ["lorenz"]


def test_a_class_in_a_file_is_another_system_when_its_code_changes(file):
    text = '''
        import stabviz as sv
        import jax.numpy as jnp

        class Halving(sv.System):
            observables = {"x": sv.Observable("x")}
            def init(self, problem, key): return jnp.ones(())
            def step(self, problem, x, key, k): return x / STEPS
            def observe(self, problem, x): return {"x": x}
    '''
    write(file, text, 2)
    own = OwnFile(file)
    one = sv.lab("halving").plan().id
    write(file, text, 3)
    own.refresh()
    assert not own.error and sv.lab("halving").plan().id != one


@pytest.mark.browser
def test_the_page_of_a_file(page: Page, file, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(file, port=port, store=str(tmp_path / "store"), threaded=True, websocket_origin=f"127.0.0.1:{port}")
    try:
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("link", name="Lorenz").first.click()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_text("at step 500").first).to_be_visible(timeout=60_000)
        write(file, "lorenz = (", 1)
        expect(page.get_by_text("my_lab.py, line 1")).to_be_visible(timeout=30_000)
        write(file, steps=300)
        page.get_by_role("button", name="Run", exact=True).click(timeout=30_000)
        expect(page.get_by_text("at step 300").first).to_be_visible(timeout=60_000)
    finally:
        server.stop()
