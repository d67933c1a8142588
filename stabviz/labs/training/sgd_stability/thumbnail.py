"""Draws `thumbnail.svg` from real runs: `python -m stabviz.labs.training.sgd_stability.thumbnail`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stabviz.carry_out import carry_out
from stabviz.colors import COLORS

from . import lab

RATES = (0.00398, 0.008, 0.0158, 0.0316, 0.0631)
LEFT, RIGHT, TOP, BOTTOM = 14.0, 286.0, 14.0, 136.0


def path(x: np.ndarray, y: np.ndarray) -> str:
    """Path data through points, to a tenth of a pixel, without points that say nothing."""
    keep = [0]
    for i in range(1, len(x)):
        if abs(x[i] - x[keep[-1]]) + abs(y[i] - y[keep[-1]]) > 1.5 or i == len(x) - 1:
            keep.append(i)
    return "M" + "L".join(f"{x[i]:.1f} {y[i]:.1f}" for i in keep)


def paint(name: str) -> str:
    """A colour of the theme, with its light value where there is no theme."""
    return f"var(--{name},{COLORS[name]})"


def draw() -> str:
    """SGD at five rates: each trace slides under its own 2/eta."""
    runs = [carry_out(lab.plan(learning_rate=rate, steps=40_000, frames=120))[0] for rate in RATES]
    low, high = np.log(2.0), np.log(1.2 * max(float(ds["trace"][0]) for ds in runs))
    def place_x(step):
        return LEFT + (RIGHT - LEFT) * np.log(np.maximum(step, 10) / 10) / np.log(4000)
    def place_y(value):
        return BOTTOM - (BOTTOM - TOP) * (np.log(value) - low) / (high - low)
    parts = []
    for ds in runs:
        y = float(place_y(ds["bound"].values[-1]))
        parts.append(f'<path d="M{LEFT:.0f} {y:.1f}H{RIGHT:.0f}" stroke="{paint("lost")}" stroke-dasharray="3 4" opacity=".55"/>')
    for ds in runs:
        x, y = place_x(ds["step"].values[1:].astype(float)), place_y(ds["trace"].values[1:])
        parts.append(f'<path d="{path(x, y)}" stroke="{paint("stable")}" stroke-width="1.8"/>')
        parts.append(f'<circle cx="{x[-1]:.1f}" cy="{y[-1]:.1f}" r="3" fill="{paint("stable")}"/>')
    ground = f'<path d="M{LEFT:.0f} {BOTTOM + 4:.0f}H{RIGHT:.0f}" stroke="{paint("line")}"/>'
    title = "<title>SGD at five learning rates: the trace of the Hessian ends under 2/η</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 150" role="img" fill="none">{title}{ground}{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    Path(__file__).with_name("thumbnail.svg").write_text(draw(), encoding="utf-8")
