"""The notebooks' code runs from top to bottom; what is committed reads without being run and holds no script."""

from __future__ import annotations

import ast
import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LABS = ("sgd_stability", "neural_collapse", "chaos_forecasting", "phase_spiral")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def run(cell: dict[str, Any], name: str, namespace: dict[str, Any]) -> Any:
    """A cell as IPython runs it (of its magics only %%writefile). Returns what it shows."""
    source = "".join(cell["source"])
    if source.startswith("%%writefile "):
        first, _, text = source.partition("\n")
        Path(first.split(maxsplit=1)[1].format(**namespace)).write_text(text, encoding="utf-8")
        return None
    place = f"{name}:{cell['id']}"
    tree = ast.parse(source, place)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, place, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), place, "eval"), namespace) if last else None


def drawn(thing: Any) -> bool:
    """Whether Jupyter shows it with a script."""
    return any(base.__name__ in ("LabelledData", "Viewable", "IFrame") for base in type(thing).__mro__)


@pytest.fixture
def alone(store_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A store, a scheduler and modules of its own."""
    import panel as pn

    from stabviz import scheduler

    monkeypatch.setattr(scheduler, "_default", [])
    monkeypatch.setattr(sys.modules["stabviz.lab"], "_offered", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(pn.config, "inline", pn.config.inline)
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield
    for made in scheduler._default:
        made.close()
    for name in set(sys.modules) - known:
        if name.split(".")[0] == "heavy_ball":
            del sys.modules[name]


@each
def test_runs_from_top_to_bottom(path: Path, alone: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Every cell, in one namespace. What is drawn is a picture in the committed notebook."""
    pytest.importorskip("IPython")
    namespace: dict[str, Any] = {}
    for cell in cells(path, "code"):
        shown = run(cell, path.name, namespace)
        kinds = {kind for output in cell["outputs"] for kind in output.get("data", {})}
        assert drawn(shown) == ("image/png" in kinds), f"{path.name}:{cell['id']}: render it anew (notebooks/render.py)"
        printed = capsys.readouterr().out
        assert bool(printed) == any(output["output_type"] == "stream" for output in cell["outputs"]), cell["id"]
        assert not (cell["metadata"] or "error" in {output["output_type"] for output in cell["outputs"]})


@each
def test_what_is_committed_holds_no_script(path: Path) -> None:
    """Live outputs are megabytes of JavaScript: a notebook has pictures and text."""
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            assert set(output.get("data", {})) <= {"image/png", "text/plain", "text/markdown", "text/latex"}, cell["id"]
            if picture := output.get("data", {}).get("image/png"):
                assert base64.b64decode("".join(picture)).startswith(b"\x89PNG\r\n\x1a\n")
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert len(text) < 1_500_000


def test_there_is_one_for_each_lab_and_each_teaches() -> None:
    """Steps with a check in code, a prediction to make, the live lab, three exercises with hidden solutions."""
    assert {path.stem for path in NOTEBOOKS} == {"quickstart", "instruments", "write_your_own_lab", *LABS}
    for path in NOTEBOOKS:
        code, text = ("\n".join("".join(cell["source"]) for cell in cells(path, kind)) for kind in ("code", "markdown"))
        assert "lab.panel(" in code, path.name
        if path.stem in LABS:
            assert code.count("assert ") >= 3, path.name
            assert "redict" in text and text.count("## Step") >= 3, path.name
        if path.stem != "quickstart":
            assert text.count("<details><summary>Solution</summary>") == text.count("</details>") >= 3, path.name


def test_a_kernel_runs_one_and_gets_its_cells_back_at_once(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real kernel, with IPython's own magics; a run that would take for ever does not hold up the next cell."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(FOLDER / "write_your_own_lab.ipynb", as_version=4)
    of_files = [cell for cell in notebook.cells if cell.source.startswith("%%writefile")]
    here = next(cell for cell in notebook.cells if "importlib.import_module" in cell.source)
    start = "import importlib, pathlib, sys\nimport stabviz as sv\nfolder = pathlib.Path('heavy_ball').resolve()\nfolder.mkdir()"
    more = (
        "run = lab.run(steps=10**9, frames=10**5)\nprint(run.ended)",
        "for number, frame in enumerate(run):\n    if number == 3:\n        break\nprint(int(frame['step']), run.ended)",
        "run.cancel()\nprint(run.wait().status)",
    )
    notebook.cells = [nbformat.v4.new_code_cell(start), *of_files, here, *map(nbformat.v4.new_code_cell, more)]
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    nbclient.NotebookClient(notebook, timeout=150, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = ["".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream") for cell in notebook.cells[-3:]]
    assert [words.strip() for words in printed] == ["False", "30000 False", "cancelled"]
