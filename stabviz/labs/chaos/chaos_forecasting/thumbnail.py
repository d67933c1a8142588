"""Draws `thumbnail.svg` from a real run: `python -m stabviz.labs.chaos.chaos_forecasting.thumbnail`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stabviz.carry_out import carry_out
from stabviz.colors import COLORS

from . import lab
from .drawing import METHOD_COLORS

LEFT, RIGHT, TOP, BOTTOM = 10.0, 290.0, 16.0, 134.0
SHOWN = ("AR", "analog", "ESN", "NVAR")


def path(x: np.ndarray, y: np.ndarray) -> str:
    """Path data through points, to a tenth of a pixel, without points that say nothing."""
    keep = [0]
    for i in range(1, len(x)):
        if abs(x[i] - x[keep[-1]]) + abs(y[i] - y[keep[-1]]) > 1.0 or i == len(x) - 1:
            keep.append(i)
    return "M" + "L".join(f"{x[i]:.1f} {y[i]:.1f}" for i in keep)


def paint(name: str) -> str:
    """A colour of the theme, with its light value where there is no theme."""
    return f"var(--{name},{COLORS[name]})"


def draw() -> str:
    """The first channel of Lorenz and its forecasts, each until a little after it has left."""
    ds = carry_out(lab.plan(horizon=14.0, frames=700))[0]
    start = int(np.argsort(ds["vpt_nrmse"].sel({"method": "NVAR"}).values[-1])[ds.sizes["start"] // 3])
    time, truth = ds["lyapunov_time"].values, ds["truth"].values[:, start, 0]
    size = np.abs(truth).max() * 1.15
    x = LEFT + (RIGHT - LEFT) * time / time[-1]
    y = lambda v: (TOP + BOTTOM) / 2 - (BOTTOM - TOP) / 2 * np.clip(v / size, -1, 1)  # noqa: E731
    parts = [f'<path d="{path(x, y(truth))}" stroke="{paint("faint")}" stroke-width="4.5" opacity=".4"/>']
    for name in SHOWN:
        left = float(ds["vpt_nrmse"].sel({"method": name}).values[-1, start])
        use = time <= left + 0.3
        colour = paint(METHOD_COLORS[name])
        curve = path(x[use], y(ds["forecast"].sel({"method": name}).values[use, start, 0]))
        parts.append(f'<path d="{curve}" stroke="{colour}" stroke-width="1.7"/>')
        at = LEFT + (RIGHT - LEFT) * left / time[-1]
        parts.append(f'<path d="M{at:.1f} {TOP - 6:.0f}V{BOTTOM + 6:.0f}" stroke="{colour}" stroke-dasharray="3 3" opacity=".7"/>')
    title = "<title>The Lorenz flow and four forecasts of it, which leave it one after the other</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 150" role="img" fill="none">{title}{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    Path(__file__).with_name("thumbnail.svg").write_text(draw(), encoding="utf-8")
