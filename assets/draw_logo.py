"""Draws the logo and the favicon: a spiral into a fixed point, in a few lines. Run it to write them anew."""

from math import cos, exp, pi, sin
from pathlib import Path

HERE = Path(__file__).parent.parent / "stabviz" / "app" / "assets"


def spiral(turns: float = 2.15, radius: float = 11.0, shrink: float = 7.2, points: int = 120) -> str:
    """The path of a logarithmic spiral, in a box of 24 units around the origin."""
    angles = [i / points * turns * 2 * pi for i in range(points + 1)]
    steps = [(radius * exp(-t / shrink) * cos(t), -0.9 * radius * exp(-t / shrink) * sin(t)) for t in angles]
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in steps)


def draw(stroke: str, dot: str, style: str = "") -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 24 24" aria-hidden="true">'
        + style
        + f'<path d="{spiral()}" fill="none" {stroke} stroke-width="1.8" stroke-linecap="round"/><circle r="1.9" {dot}/></svg>\n'
    )


DARK = "@media(prefers-color-scheme:dark){.s{stroke:#5bb0e0}.d{fill:#ef7a5f}}"
TABS = f"<style>.s{{stroke:#1f6f9e}}.d{{fill:#c2472f}}{DARK}</style>"

if __name__ == "__main__":
    (HERE / "logo.svg").write_text(draw('stroke="var(--stable, #1f6f9e)"', 'fill="var(--lost, #c2472f)"'))
    (HERE / "favicon.svg").write_text(draw('class="s"', 'class="d"', TABS))
