"""The notebooks' code runs from top to bottom; what is committed holds no script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_top_to_bottom(path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, in one namespace, with a store and a scheduler of its own."""
    from stabviz import scheduler

    monkeypatch.setattr(scheduler, "_default", [])
    namespace: dict[str, object] = {}
    try:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{path.name}:{cell['id']}", "exec"), namespace)
    finally:
        for made in scheduler._default:
            made.close()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_outputs_hold_no_script(path: Path) -> None:
    """Live outputs are megabytes of JavaScript: they are stripped before a commit."""
    text = path.read_text(encoding="utf-8")
    assert "application/javascript" not in text and "<script" not in text and len(text) < 1_000_000
