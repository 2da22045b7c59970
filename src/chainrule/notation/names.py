"""Names in print: ``u1`` is u₁, ``alpha`` is α, ``self.z`` is what it is."""

from __future__ import annotations

import re

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ",
    "eta": "η", "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν",
    "xi": "ξ", "rho": "ρ", "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ",
    "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ",
    "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
_FROM_GREEK = {sign: name for name, sign in GREEK.items()}
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_NUMBERED = re.compile(r"(.*[^\W\d_])_?(\d+)")


def text_name(name: str) -> str:
    """The name as it is set in text.

    >>> text_name("u12"), text_name("alpha"), text_name("x_max"), text_name("hs[0]")
    ('u₁₂', 'α', 'x_max', 'hs[0]')
    >>> text_name("W1[0,0]")
    'W₁[0,0]'
    """
    base, bracket, index = name.partition("[")
    if base and bracket:
        return text_name(base) + bracket + index
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        return text_name(numbered[1]) + numbered[2].translate(_SUBSCRIPTS)
    return GREEK.get(name, name)


def latex_name(name: str) -> str:
    r"""The name in LaTeX.

    >>> latex_name("u12"), latex_name("alpha"), latex_name("x_max"), latex_name("loss")
    ('u_{12}', '\\alpha', 'x_{\\mathrm{max}}', '\\mathrm{loss}')
    """
    base, bracket, index = name.partition("[")
    if base and bracket and name.endswith("]"):
        return f"{latex_name(base)}[{escaped(index)}"
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        return f"{latex_name(numbered[1])}_{{{numbered[2]}}}"
    stem, underscore, subscript = name.partition("_")
    if underscore and stem and subscript:
        inner = subscript if len(subscript) == 1 else rf"\mathrm{{{escaped(subscript)}}}"
        return f"{latex_name(stem)}_{{{inner}}}"
    greek = _FROM_GREEK.get(name, name)
    if greek in GREEK:
        return rf"\{greek}"
    return name if len(name) == 1 and name.isalpha() else rf"\mathrm{{{escaped(name)}}}"


def escaped(name: str) -> str:
    """The name with the signs escaped that mean something to LaTeX."""
    return re.sub(r"([_#%&${}])", r"\\\1", name)
