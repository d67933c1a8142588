"""Words with mathematics in them as HTML: everything is escaped, formulas become MathML."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from stabviz.lab import Lab

_MATHML = "{http://www.w3.org/1998/Math/MathML}m"
_ATTRIBUTES = set(
    "accent accentunder align close columnalign columnlines columnspacing columnspan columnwidth depth display displaystyle fence form "
    "frame height largeop linethickness lspace mathcolor mathsize mathvariant maxsize minsize movablelimits notation open rowalign "
    "rowlines rowspacing rowspan rspace scriptlevel separator separators stretchy symmetric voffset width".split()
)

_GREEK = dict(
    zip(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi varphi chi psi omega "
        "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell infty".split(),
        "α β γ δ ϵ ε ζ η θ ι κ λ μ ν ξ π ρ σ τ ϕ φ χ ψ ω Γ Δ Θ Λ Ξ Π Σ Φ Ψ Ω ℓ ∞".split(),
        strict=True,
    )
)
_SIGNS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ll": "≪", "gg": "≫", "ne": "≠", "neq": "≠", "approx": "≈", "sim": "∼", "propto": "∝",
    "to": "→", "times": "×", "cdot": "·", "pm": "±", "odot": "⊙", "in": "∈", "infty": "∞", "partial": "∂", "nabla": "∇", "ell": "ℓ",
    "ldots": "…", "dots": "…", "lVert": "‖", "rVert": "‖", "|": "‖", "langle": "⟨", "rangle": "⟩", "circ": "∘", "prime": "′",
}  # fmt: skip
_UPRIGHT = "ln log exp max min sin cos tan tanh arg sup inf det dim tr Tr Pr".split()
_SPACED = "=<>≤≥≪≫≠≈∼∝→×±∈+−"
_TOKEN = re.compile(
    r"\\(?:mathrm|text|operatorname)\{([^{}\\]*)\}|\\([A-Za-z]+|\|)\s*|\\([,;:! ])"  # upright words, commands, spaces
    r"|([_^])(?:\{([^{}]*)\}|(\\[A-Za-z]+|.))|(\s+)|([^\\{}])"  # scripts, blanks, single characters
)
_WORD = re.compile(r"\\([A-Za-z]+)\s?")
_SUB = re.compile(r"_(?:\{([^{}]*)\}|(.))")
_SUP = re.compile(r"\^(?:\{([^{}]*)\}|(.))")
_MATH = re.compile(r"\$([^$]+)\$")
_BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"(?<![\\$])\$([^$\n]+?)\$(?!\d)")


@lru_cache(maxsize=1024)
def symbol(tex: str) -> str:
    r"""The HTML of a control's symbol: `\sigma_0` -> `σ<sub>0</sub>`, for an italic serif element."""
    text = escape(tex.strip("$"), quote=False)
    text = _WORD.sub(lambda m: _GREEK.get(m[1], "" if m[1] in ("mathrm", "mathbf", "text", "bar", "hat", "tilde") else m[1]), text)
    text = _SUB.sub(lambda m: f"<sub>{m[1] or m[2]}</sub>", text)
    text = _SUP.sub(lambda m: f"<sup>{m[1] or m[2]}</sup>", text)
    return text.replace("{", "").replace("}", "")


@lru_cache(maxsize=4096)
def mathml(tex: str, block: bool = False) -> str:
    """A formula as MathML, or as code where it cannot be read."""
    try:
        made = convert(tex, display="block" if block else "inline")
        for element in ElementTree.fromstring(made).iter():  # the converter lets markup in \text through
            if not element.tag.startswith(_MATHML) or not _ATTRIBUTES.issuperset(element.attrib):
                raise ValueError(element.tag)
        return made
    except Exception:  # the converter raises many kinds; a formula that it does not know is still shown
        return f"<code>{escape(tex)}</code>"


def _simple(tex: str) -> str | None:
    """A formula in a line as HTML: letters in italic serif, the rest as the text around. None where it needs two dimensions."""
    made, at = [], 0
    while at < len(tex):
        token = _TOKEN.match(tex, at)
        if token is None:
            return None
        at = token.end()
        upright, command, _space, script, group, single, _blank, char = token.groups()
        if upright is not None:
            made.append(escape(upright, quote=False) + "\u00a0")
        elif command in _UPRIGHT:
            made.append(command + "\u00a0")
        elif command in ("left", "right"):
            continue
        elif command is not None:
            if command not in _SIGNS and command not in _GREEK:
                return None
            sign = _SIGNS.get(command)
            made.append(_spaced(sign) if sign else f"<i>{_GREEK[command]}</i>")
        elif script is not None:
            inner = _simple(group if group is not None else single)
            if inner is None:
                return None
            made.append(f"<{'sub' if script == '_' else 'sup'}>{inner.strip()}</{'sub' if script == '_' else 'sup'}>")
        elif char is not None:
            char = "−" if char == "-" else char
            made.append(f"<i>{char}</i>" if char.isalpha() else _spaced(char, first=not "".join(made).strip()))
    return "".join(made).replace("\u00a0(", "(").strip()


def _spaced(sign: str, first: bool = False) -> str:
    text = escape(sign, quote=False)
    return text if first or sign not in _SPACED else f"\u00a0{text} "


@lru_cache(maxsize=4096)
def formula(tex: str) -> str:
    """A formula within a sentence: plain HTML where a line is enough, MathML otherwise."""
    simple = _simple(tex.strip())
    return mathml(tex) if simple is None else f'<span class="math">{simple}</span>'


@lru_cache(maxsize=4096)
def inline(text: str) -> str:
    """A sentence as HTML; what stands between dollar signs is mathematics."""
    parts = _MATH.split(text)
    return "".join(formula(part) if i % 2 else escape(part, quote=False) for i, part in enumerate(parts))


def plain(text: str) -> str:
    """The sentence without dollar signs and backslashes, for searching and titles."""
    return _WORD.sub(lambda m: _GREEK.get(m[1], m[1]), text.replace("$", ""))


def theory_html(lab: Lab) -> str:
    """A lab's text as HTML: Markdown without raw HTML, formulas as MathML, the paper at the end."""
    formulas: list[str] = []

    def keep(block: bool) -> Any:
        def one(match: re.Match[str]) -> str:
            formulas.append(mathml(match[1].strip(), block=block))
            return f"\u27e6{len(formulas) - 1}\u27e7"

        return one

    text = _INLINE.sub(keep(False), _BLOCK.sub(keep(True), lab.text))
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    html = re.sub("\u27e6(\\d+)\u27e7", lambda m: formulas[int(m[1])] if int(m[1]) < len(formulas) else m[0], html)
    paper = lab.paper
    shown = escape(paper.url)
    address = f' <a href="{shown}">{shown}</a>' if paper.url.startswith(("https://", "http://")) else f" {shown}"
    authors = paper.authors if isinstance(paper.authors, str) else ", ".join(paper.authors)
    words = f"{escape(authors)}. <em>{escape(paper.title)}</em>. {escape(paper.venue)} {paper.year}.{address}"
    source = f'<p class="source">{words}</p>' if paper.title else ""
    return f'<article class="prose">{html}{source}</article>'
