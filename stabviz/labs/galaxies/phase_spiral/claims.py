r"""The claims.

For each: what must make it fail. `arms`: the other push. `amplitude`: a pulse, whose amplitudes are smaller. `clock`: a clock read
with another potential (`wrong_age`). `suppression`, `too_slow`: the fast pulses of the same study. `slow_bends`: equal durations.
`satellite`: the other distance. `clouds`: an exponential in t instead of t^3. `winding`: the places exchanged. `no_kick`,
`harmonic`: a kick, the slab.
"""

from __future__ import annotations

from stabviz.lab import Claim

from . import decisions, evidence
from .experiments import EXPERIMENTS

__all__ = ["CLAIMS", "EXPERIMENTS"]

PAPERS = "Banik et al. 2022 and 2023, abstracts"
DERIVED = "linear theory of the vertical response, derived from the papers' formalism"

CLAIMS = (
    Claim(
        "arms", "A bending push makes a one-armed spiral, a breathing push a two-armed one",
        "C₁ ≫ C₂, C₂ ≫ C₁", "a factor of 5", decisions.arms, study=evidence.PUSHES, on_run=True, source=PAPERS,
    ),
    Claim(
        "amplitude", "The strength over the action follows linear theory: $a_1 = 2 I_1(x)/I_0(x)$, $x = \\Delta v V_1/\\sigma^2$",
        "0.10 … 0.58 in ten bins", "3 standard errors or 5 %", decisions.amplitude, kind="derived", study=evidence.PUSHES, on_run=True,
        source=DERIVED,
    ),
    Claim(
        "clock", "The winding tells the time since the push",
        "t", "2 %", decisions.clock_run, kind="derived", study={"slab": evidence.PUSHES, "disc": evidence.CLOCK}, on_run=True,
        source=DERIVED,
    ),
    Claim(
        "suppression", "A slow pulse leaves $e^{-\\Omega^2 \\tau^2/2}$ of the response to its impulse",
        "0.114, 0.055, 0.016 at 10, 20, 30 Myr", "10 % down to 0.01", decisions.suppression, study=evidence.PULSES, source=PAPERS,
    ),
    Claim(
        "slow_bends", "The slower the push, the more it bends and the less it breathes",
        "2.2, 2.9, 4.5, ≈ 20", "monotone; three within 15 %", decisions.slow_bends, study=evidence.BOTH, source=PAPERS,
    ),
    Claim(
        "satellite", "A satellite that crosses the disc leaves $a_1 = (V_1/\\sigma^2)(2GM/bv) \\, x K_0(x)$, $x = \\Omega b/v$",
        "0.116 … 0.39; 0.006 … 0.06", "5 % at b = 10, 15 % at b = 20", decisions.satellite, kind="derived", study=evidence.SATELLITE,
        source=DERIVED,
    ),
    Claim(
        "clouds", "Clouds erase the spiral super-exponentially, $e^{-(t/\\tau_D)^3}$",
        "0.98, 0.84, 0.56, 0.25, 0.07", "10 % or 0.03", decisions.clouds, study=evidence.CLOUDS, on_run=True,
        source="Banik et al. 2023, abstract, for the law; the time derived",
    ),
    Claim(
        "age_limit", "Clouds that heat the disc in 10 Gyr damp its spiral in 0.6 to 0.7 Gyr",
        "0.6 to 0.7 Gyr", "0.55 to 0.75", decisions.age_limit, study={"tables": evidence.DAMPING, "clouds": evidence.CLOUDS},
        source="Banik et al. 2023, abstract",
    ),
    Claim(
        "winding", "Spirals wind more slowly farther out, and with a halo",
        "3.71 > 1.70; 3.93 > 3.71 turns/Gyr", "order, and 3 %", decisions.winding, study=evidence.RADII,
        source="Banik et al. 2023, abstract",
    ),
    Claim(
        "wrong_age", "Read with a potential without halo, the same spiral looks too young by the ratio of $d\\Omega/dJ$",
        "× 0.93", "2 %", decisions.wrong_age, kind="derived", study=evidence.CLOCK, on_run=True, source=DERIVED,
    ),
    Claim(
        "no_kick", "Without a push nothing appears",
        "noise", "< 3/√N", decisions.unseen, kind="control", study=evidence.PUSHES, on_run=True, source="control",
    ),
    Claim(
        "harmonic", "In the harmonic potential nothing winds: the clump turns rigidly and the clock is flat",
        "order kept, clock flat", "2 %", decisions.rigid, kind="control", study=evidence.HARMONIC, on_run=True, source="control",
    ),
    Claim(
        "too_slow", "A pulse of 60 Myr leaves no spiral",
        "noise", "< √(π/N)", decisions.too_slow, kind="control", study=evidence.PULSES, on_run=True, source="control: adiabatic limit",
    ),
    Claim(
        "gaia", "The Gaia ridges at 7.8 and 9.5 kpc, unwound in this potential: younger inside",
        "0.2 to 0.9 Gyr in the literature", "shown", decisions.gaia, kind="shown", study=evidence.GAIA,
        source="ridges: PhaseSpiral_DR3_fitting; ages: Antoja et al. 2023, Frankel et al. 2023",
    ),
    Claim(
        "neighbours", "Of the satellites, Sagittarius moves the disc at the Sun most",
        "ten times the next", "shown", decisions.neighbours, kind="shown", study=evidence.NEIGHBOURS,
        source="Banik et al. 2022, abstract; masses and passages: Gilman et al. 2024",
    ),
)  # fmt: skip
