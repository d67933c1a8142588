"""Draws `thumbnail.svg` from a real run: `python -m stabviz.labs.training.neural_collapse.thumbnail`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stabviz.carry_out import carry_out
from stabviz.colors import COLORS

from . import lab
from .drawing import camera, corners, hue

FRAMES = (0, 12, 110)
LEFT, GAP, MIDDLE, SIZE = 56.0, 94.0, 80.0, 31.0


def paint(name: str) -> str:
    """A colour of the theme, with its light value where there is no theme."""
    return f"var(--{name},{COLORS[name]})"


def draw() -> str:
    """Three moments of the flow: clouds contract, their means become a tetrahedron."""
    ds, _ = carry_out(lab.plan(preset="collapse"))
    view, ideal = camera(4), corners(4) @ camera(4)
    parts = []
    for i, frame in enumerate(FRAMES):
        x0 = LEFT + i * GAP
        scale = float(np.sqrt(ds["trace_between"][frame]))
        def place(p: np.ndarray, x0: float = x0) -> np.ndarray:
            return np.stack([x0 + SIZE * p[..., 0], MIDDLE - SIZE * p[..., 1]], -1)
        corner = place(ideal)
        lines = "".join(f"M{corner[a][0]:.1f} {corner[a][1]:.1f}L{corner[b][0]:.1f} {corner[b][1]:.1f}" for a in range(4) for b in range(a))
        parts.append(f'<path d="{lines}" stroke="{paint("line")}"/>')
        cloud, means = (place(ds[name].values[frame] @ view / scale) for name in ("cloud", "means"))
        for k in range(4):
            points = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.7"/>' for x, y in cloud[k])
            x, y = means[k]
            parts.append(f'<g fill="{paint(hue(k))}"><g opacity=".5">{points}</g><circle cx="{x:.1f}" cy="{y:.1f}" r="4"/></g>')
    title = "<title>Clouds of features contract onto the corners of a tetrahedron</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 150" role="img" fill="none">{title}{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    Path(__file__).with_name("thumbnail.svg").write_text(draw(), encoding="utf-8")
