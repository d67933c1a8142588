"""Commands that tell what there is: `stabviz labs`, `show`."""

from __future__ import annotations

import argparse

from ..lab import lab
from ..lab import labs as all_labs
from .texts import OK, option, table


def labs(args: argparse.Namespace) -> int:
    """`stabviz labs`: one line for each."""
    table([("lab", "title", "wing", "paper"), *((slug, known.title, known.wing, known.paper.short) for slug, known in all_labs().items())])
    return OK


def show(args: argparse.Namespace) -> int:
    """`stabviz show`: all that is declared of one lab."""
    from ..control import greek_letters
    from ..system import controls

    shown = lab(args.lab)
    paper = shown.paper
    print(f"{shown.title}\n{shown.tagline}\n\n{paper.title}. {paper.authors}, {paper.venue} {paper.year}. {paper.url}\n")
    print(shown.text.strip())
    for name, cls in shown.systems.items():
        print(f"\nControls of {name}")
        rows = [("option", "symbol", "default", "takes", "unit", "what it is")]
        for spec in controls(cls).values():
            what = spec.doc or spec.label
            rows.append((option(spec.name), greek_letters(spec.symbol), spec.format(spec.default), spec.allowed, spec.unit, what))
        table(rows, "  ")
    if shown.presets:
        print("\nPresets")
        table([(slug, preset.title, preset.doc) for slug, preset in shown.presets.items()], "  ")
    if shown.claims:
        print("\nClaims")
    for claim in shown.claims:
        print(f"  {claim.slug}: {claim.statement}" + (f" ({claim.source})" if claim.source else ""))
        print(f"      expected {claim.expected}, tolerance {claim.tolerance}")
    return OK
