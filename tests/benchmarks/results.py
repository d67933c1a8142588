"""Runs the benchmarks and writes what came out: `python -m tests.benchmarks.results`, from the top of the checkout.

`RESULTS.md` gets a table for each file of this folder, `scaling.svg` the costs against size on log-log axes. What is given goes to
pytest (`-k sgd`, a file): then only those tables are made anew. Half an hour on two cores; nothing else should run beside it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from stabviz.colors import COLORS, CYCLE

HERE = Path(__file__).parent
LIBRARIES = ("jax", "numpy", "xarray", "zarr", "panel", "bokeh", "holoviews", "dysts", "gala", "galpy", "reservoirpy", "scikit-learn",
             "numba", "torch")  # fmt: skip


def measured(arguments: list[str]) -> list[dict[str, Any]]:
    """Run the benchmarks; what pytest-benchmark wrote of each."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "benchmarks.json"
        command = [sys.executable, "-m", "pytest", "-m", "benchmark", "-p", "no:xdist", "-q", f"--benchmark-json={out}"]
        targets = [] if any(a.endswith(".py") or "::" in a for a in arguments) else [str(HERE)]
        subprocess.run([*command, *targets, *arguments], check=False)
        return json.loads(out.read_text())["benchmarks"] if out.exists() and out.stat().st_size else []


def number(value: float) -> str:
    """Three digits, without an exponent where it can be."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def line(row: dict[str, Any]) -> str:
    """One row of a table."""
    spread = f"{number(row['low'])} to {number(row['high'])}" if row["n"] > 1 else ""
    value = f"**{number(row['value'])}** {row['unit']}".rstrip()
    cells = [row["what"], row["beside"], value, spread, str(row["n"]), row["aim"], row["limit"]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def section(file: str, benchmarks: list[dict[str, Any]]) -> str:
    """The table of one file of benchmarks, under the first sentence of its docstring."""
    heading = (ast.get_docstring(ast.parse((HERE / file).read_text(encoding="utf-8"))) or file).splitlines()[0]
    rows = [line(row) for one in benchmarks for row in one["extra_info"].get("rows", [])]
    head = "| What | Beside | Median | Spread | n | Aim | Limit |\n| --- | --- | --- | --- | --- | --- | --- |"
    picture = "\n\n![Time against size](scaling.svg)" if any("curve" in one["extra_info"] for one in benchmarks) else ""
    return f"## {heading}\n\n<!-- {file}, {datetime.now(UTC):%Y-%m-%d} -->\n\n{head}\n" + "\n".join(rows) + picture


def chart(curves: list[dict[str, Any]]) -> str:
    """Times against sizes on log-log axes, each with its exponent, as SVG."""
    left, right, top, bottom = 60.0, 520.0, 20.0, 280.0
    sizes, times = ([math.log10(v) for c in curves for v in c[k]] for k in ("sizes", "seconds"))
    low_x, high_x, low_y, high_y = math.floor(min(sizes)), math.ceil(max(sizes)), math.floor(min(times)), math.ceil(max(times))
    x = lambda v: left + (right - left) * (math.log10(v) - low_x) / (high_x - low_x)  # noqa: E731
    y = lambda v: bottom - (bottom - top) * (math.log10(v) - low_y) / (high_y - low_y)  # noqa: E731
    ink, rule = COLORS["ink"], COLORS["line"]
    power = lambda e: f"{10.0**e:g}" if -3 <= e <= 3 else f"1e{e}"  # noqa: E731
    parts = [f'<text x="{x(10.0**e):.0f}" y="{bottom + 18:.0f}" text-anchor="middle">{power(e)}</text>' for e in range(low_x, high_x + 1)]
    for e in range(low_y, high_y + 1):
        parts.append(f'<path d="M{left:.0f} {y(10.0**e):.1f}H{right:.0f}" stroke="{rule}"/>')
        parts.append(f'<text x="{left - 8:.0f}" y="{y(10.0**e) + 4:.1f}" text-anchor="end">{power(e)} s</text>')
    for curve, name in zip(curves, CYCLE, strict=False):
        points = [(x(n), y(t)) for n, t in zip(curve["sizes"], curve["seconds"], strict=True)]
        parts.append(f'<path d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in points)}" stroke="{COLORS[name]}" stroke-width="2" fill="none"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{COLORS[name]}"/>' for a, b in points]
        said = escape(f"{curve['size']}: p = {curve['exponent']:.2f}")
        parts.append(f'<text x="{points[-1][0] + 8:.1f}" y="{points[-1][1] + 4:.1f}" fill="{COLORS[name]}">{said}</text>')
    style = f'font-family="system-ui, sans-serif" font-size="12" fill="{ink}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 310" role="img" {style}>{"".join(parts)}</svg>\n'


def machine() -> str:
    """This machine and the versions, in a sentence."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    processor = found.group(1).strip() if found else platform.processor() or platform.machine()
    return f"{processor}, {cores} hardware threads, {platform.system()}, Python {platform.python_version()}; {', '.join(versions)}."


def main(arguments: list[str]) -> int:
    benchmarks = measured(arguments)
    if not benchmarks:
        return 1
    path = HERE / "RESULTS.md"
    old = re.split(r"(?m)^(?=## )", path.read_text(encoding="utf-8"))[1:] if path.exists() and arguments else []
    kept = {m.group(1): part.strip() for part in old if (m := re.search(r"<!-- (\S+\.py),", part))}
    by_file: dict[str, list[dict[str, Any]]] = {}
    for one in benchmarks:
        by_file.setdefault(one["fullname"].partition("::")[0].rpartition("/")[2], []).append(one)
    made = kept | {file: section(file, each) for file, each in by_file.items()}
    head = (
        f"# What was measured\n\nBy `python -m tests.benchmarks.results` on {datetime.now(UTC):%Y-%m-%d}: {machine()}\n\n"
        "A ratio (×) is our time by that of the other, both timed in turn in one process: below 1 we are faster. Medians; the spread "
        "is the least and the greatest of n. What is absent from this machine is left out."
    )
    path.write_text("\n\n".join([head, *(made[file] for file in sorted(made))]) + "\n", encoding="utf-8")
    if curves := [one["extra_info"]["curve"] for one in benchmarks if "curve" in one["extra_info"]]:
        (HERE / "scaling.svg").write_text(chart(curves), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
