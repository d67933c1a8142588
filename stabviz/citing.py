"""What to cite: the paper that a lab repeats, stabviz, and the libraries that a run was carried out with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .record import told, versions

if TYPE_CHECKING:
    from .lab import Lab, Paper


class _Library(NamedTuple):
    """A library as a BibTeX entry; `fields` beside title and author."""

    kind: str
    title: str
    author: str
    year: int
    fields: Mapping[str, str]


LIBRARIES = {
    "stabviz": _Library("software", "stabviz: a laboratory for dynamical stability", "{The stabviz developers}", 2026, {}),
    "jax": _Library(
        "software", "{JAX}: composable transformations of {Python}+{NumPy} programs",
        "Bradbury, James and Frostig, Roy and Hawkins, Peter and Johnson, Matthew James and Leary, Chris and Maclaurin, Dougal and "
        "Necula, George and Paszke, Adam and VanderPlas, Jake and Wanderman-Milne, Skye and Zhang, Qiao",
        2018, {"url": "https://github.com/jax-ml/jax"},
    ),
    "equinox": _Library(
        "article", "{Equinox}: neural networks in {JAX} via callable {PyTrees} and filtered transformations",
        "Kidger, Patrick and Garcia, Cristian",
        2021, {"journal": "Differentiable Programming workshop at Neural Information Processing Systems"},
    ),
    "diffrax": _Library(
        "phdthesis", "On neural differential equations", "Kidger, Patrick", 2021, {"school": "University of Oxford"}
    ),
    "numpy": _Library(
        "article", "Array programming with {NumPy}",
        "Harris, Charles R. and Millman, K. Jarrod and van der Walt, St{\\'e}fan J. and others",
        2020, {"journal": "Nature", "volume": "585", "pages": "357--362", "doi": "10.1038/s41586-020-2649-2"},
    ),
    "xarray": _Library(
        "article", "xarray: {N-D} labeled arrays and datasets in {Python}", "Hoyer, Stephan and Hamman, Joseph", 2017,
        {"journal": "Journal of Open Research Software", "volume": "5", "number": "1", "doi": "10.5334/jors.148"},
    ),
    "holoviews": _Library(
        "inproceedings", "{HoloViews}: building complex visualizations easily for reproducible science",
        "Stevens, Jean-Luc R. and Rudiger, Philipp and Bednar, James A.", 2015,
        {"booktitle": "Proceedings of the 14th Python in Science Conference", "pages": "59--66"},
    ),
    "bokeh": _Library("software", "{Bokeh}: {Python} library for interactive visualization", "{Bokeh Development Team}", 2018, {"url": "https://bokeh.org"}),
    "panel": _Library("software", "{Panel}: a high-level app and dashboarding solution for {Python}", "{HoloViz}", 2019, {"url": "https://panel.holoviz.org"}),
}  # fmt: skip
"""In the order in which they are listed: what computed first, what drew last."""


def citations(lab: Lab | None = None, attrs: Mapping[str, Any] | None = None) -> str:
    """BibTeX of a lab's paper and of the libraries.

    Args:
        lab: whose paper is cited first; None for a system of one's own.
        attrs: a Dataset's; the versions in them are those that its numbers came from. Other libraries are given as installed here.
    """
    entries = [paper_entry(lab.paper, lab.slug)] if lab is not None and lab.paper.title else []
    recorded = told(attrs or {}, "versions", dict)
    known = {**_installed(), **{str(name): str(version) for name, version in recorded.items()}}
    for name, library in LIBRARIES.items():
        if name in known:
            entries.append(entry(library.kind, name, title=library.title, author=library.author, year=str(library.year),
                                 **library.fields, note=f"version {known[name]}"))  # fmt: skip
    return "\n\n".join(entries)


def paper_entry(paper: Paper, key: str) -> str:
    """A paper's own BibTeX, or an entry made from what is known of it."""
    if paper.bibtex.strip():
        return paper.bibtex.strip()
    authors = " and ".join(a.strip() for a in paper.authors.split(",") if a.strip())
    return entry("misc", key, title=paper.title, author=authors, year=str(paper.year), howpublished=paper.venue, url=paper.url)


def entry(kind: str, key: str, **fields: str) -> str:
    """One BibTeX entry; fields that are empty are left out."""
    inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@{kind}{{{key},\n{inside}\n}}"


def _installed() -> dict[str, str]:
    """Versions of what computes, and of what draws and integrates where it is installed."""
    import importlib.metadata

    found = dict(versions())
    for name in ("diffrax", "holoviews", "bokeh", "panel"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
