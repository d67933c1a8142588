"""Words with mathematics in them as HTML: everything is escaped, formulas become MathML."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape

from latex2mathml.converter import convert

_GREEK = dict(
    zip(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi varphi chi psi omega "
        "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell infty".split(),
        "α β γ δ ϵ ε ζ η θ ι κ λ μ ν ξ π ρ σ τ ϕ φ χ ψ ω Γ Δ Θ Λ Ξ Π Σ Φ Ψ Ω ℓ ∞".split(),
        strict=True,
    )
)
_WORD = re.compile(r"\\([A-Za-z]+)\s?")
_SUB = re.compile(r"_(?:\{([^{}]*)\}|(.))")
_SUP = re.compile(r"\^(?:\{([^{}]*)\}|(.))")
_MATH = re.compile(r"\$([^$]+)\$")


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
        return convert(tex, display="block" if block else "inline")
    except Exception:  # the converter raises many kinds; a formula that it does not know is still shown
        return f"<code>{escape(tex)}</code>"


@lru_cache(maxsize=4096)
def inline(text: str) -> str:
    """A sentence as HTML; what stands between dollar signs is mathematics."""
    parts = _MATH.split(text)
    return "".join(mathml(part) if i % 2 else escape(part, quote=False) for i, part in enumerate(parts))


def plain(text: str) -> str:
    """The sentence without dollar signs and backslashes, for searching and titles."""
    return _WORD.sub(lambda m: _GREEK.get(m[1], m[1]), text.replace("$", ""))
