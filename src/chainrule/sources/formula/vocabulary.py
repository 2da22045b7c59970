"""The words and signs of a formula, as data: a new spelling is one entry here and nowhere else.

Every table maps what people write to what the rule book calls it.
"""

from __future__ import annotations

from dataclasses import dataclass


def _words(text: str) -> list[str]:
    return text.split()


@dataclass(frozen=True, slots=True)
class Function:
    """A function by its rule-book name, and how many arguments it takes (``most`` None: any)."""

    name: str
    least: int = 1
    most: int | None = 1


_ONE_ARGUMENT: dict[str, str] = {
    # rule-book name: further spellings
    "sin": "",
    "cos": "",
    "tan": "tg",
    "sec": "",
    "csc": "cosec",
    "cot": "cotan ctg",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan arctg",
    "arcsec": "asec",
    "arccsc": "acsc arccosec acosec",
    "arccot": "acot arccotan arcctg",
    "sinh": "",
    "cosh": "",
    "tanh": "",
    "sech": "",
    "csch": "cosech",
    "coth": "",
    "arcsinh": "asinh arsinh",
    "arccosh": "acosh arcosh",
    "arctanh": "atanh artanh",
    "arcsech": "asech arsech",
    "arccsch": "acsch arcsch",
    "arccoth": "acoth arcoth",
    "exp": "",
    "expm1": "",
    "exp2": "",
    "log": "ln",
    "log1p": "",
    "log2": "",
    "log10": "lg",
    "sqrt": "",
    "cbrt": "",
    "square": "",
    "abs": "fabs",
    "sign": "sgn",
    "floor": "",
    "ceil": "",
    "round": "",
    "erf": "",
    "erfc": "",
    "sigmoid": "expit logistic",
    "softplus": "",
    "relu": "",
    "gelu": "",
    "logit": "",
}

_MORE_ARGUMENTS: dict[Function, str] = {
    Function("logaddexp", 2, 2): "logaddexp",
    Function("maximum", 2, None): "maximum max",
    Function("minimum", 2, None): "minimum min",
    Function("clip", 3, 3): "clip",
    Function("where", 3, 3): "where if",
    Function("hypot", 2, 2): "hypot",
    Function("arctan2", 2, 2): "arctan2 atan2",
    Function("power", 2, 2): "pow power",
    Function("root", 2, 2): "root",
}

FUNCTIONS: dict[str, Function] = {
    spelling: Function(name)
    for name, others in _ONE_ARGUMENT.items()
    for spelling in (name, *others.split())
} | {
    spelling: function
    for function, spellings in _MORE_ARGUMENTS.items()
    for spelling in spellings.split()
}
"""Every spelling of every function."""

SIGMOID_LETTER = "sigma"
"""Directly before a parenthesis, and not defined otherwise, this letter is the sigmoid."""

INVERSES: dict[str, str] = {
    name: f"arc{name}" for name in _words("sin cos tan sec csc cot sinh cosh tanh sech csch coth")
}
"""The functions whose power of -1 is the inverse function, as calculators write it."""

LOGARITHM_BASES: dict[str, str] = {"2": "log2", "10": "log10", "e": "log"}

CONSTANTS = ("e", "pi")

GREEK: dict[str, str] = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        _words(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi "
            "rho sigma tau upsilon phi chi psi omega"
        ),
        strict=True,
    )
)
GREEK |= {letter.upper(): name.capitalize() for letter, name in GREEK.items()}
GREEK["ς"] = "sigma"
"""Greek letters and the ASCII names that stand for them in the tree."""

GREEK_COMMANDS: dict[str, str] = {
    **{name: name for name in GREEK.values()},
    **{f"var{name}": name for name in _words("epsilon theta pi rho sigma phi kappa")},
}
"""LaTeX commands for Greek letters, without the backslash."""

OPERATORS: dict[str, str] = {
    "+": "PLUS",
    "-": "MINUS",
    "*": "TIMES",
    "/": "DIVIDE",
    "^": "POWER",
    "**": "POWER",
    "=": "EQUALS",
    ",": "COMMA",
    ";": "SEPARATOR",
    "√": "ROOT",
    "∛": "ROOT",
    "<": "COMPARISON",
    ">": "COMPARISON",
    "<=": "COMPARISON",
    ">=": "COMPARISON",
    "==": "COMPARISON",
    "!=": "COMPARISON",
    "(": "LPAR",
    ")": "RPAR",
    "[": "LBRACKET",
    "]": "RBRACKET",
    "{": "LBRACE",
    "}": "RBRACE",
    "|": "BAR",
    "⌊": "LFLOOR",
    "⌋": "RFLOOR",
    "⌈": "LCEIL",
    "⌉": "RCEIL",
}
"""Signs and the terminals of the grammar they are."""

SAME_SIGN: dict[str, str] = {
    "·": "*",
    "⋅": "*",
    "×": "*",
    "∗": "*",
    "•": "*",
    "∙": "*",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "−": "-",
    "–": "-",
    "‐": "-",
    "∣": "|",
    "≤": "<=",
    "⩽": "<=",
    "≥": ">=",
    "⩾": ">=",
    "≠": "!=",
    "∞": "∞",
}
"""Other characters for the same sign."""

INVISIBLE = "\u200b\u2060\u2061\u2062\ufeff"
"""Characters without width that come along when text is copied; read as spaces."""

SUPERSCRIPTS: dict[str, str] = dict(
    zip(
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ",
        "0123456789+-()abcdefghijklmnoprstuvwxyz",
        strict=True,
    )
)
SUBSCRIPTS: dict[str, str] = dict(
    zip("₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789aehijklmnoprstuvx", strict=True)
)

LATEX_SIGNS: dict[str, str] = {
    "cdot": "*",
    "times": "*",
    "ast": "*",
    "div": "/",
    "le": "<=",
    "leq": "<=",
    "leqslant": "<=",
    "ge": ">=",
    "geq": ">=",
    "geqslant": ">=",
    "lt": "<",
    "gt": ">",
    "ne": "!=",
    "neq": "!=",
    "vert": "|",
    "lvert": "|(",
    "rvert": "|)",
    "lfloor": "⌊",
    "rfloor": "⌋",
    "lceil": "⌈",
    "rceil": "⌉",
    "lbrace": "{",
    "rbrace": "}",
    "lbrack": "[",
    "rbrack": "]",
    "infty": "∞",
}
"""LaTeX commands for signs; ``|(`` and ``|)`` are bars whose side is known."""

LATEX_SPACES = frozenset(
    _words("quad qquad thinspace medspace thickspace negthinspace displaystyle textstyle limits")
)
LATEX_FRACTIONS = frozenset(_words("frac dfrac tfrac cfrac"))
LATEX_TEXT = frozenset(_words("operatorname mathrm text textrm mathit mathsf mathbf mathop"))
LATEX_SIZES = {
    "left": "(",
    "right": ")",
    **{f"{size}{side}": mark for size in ("big", "Big", "bigg", "Bigg")
       for side, mark in (("l", "("), ("r", ")"), ("m", ""), ("", ""))},
}  # fmt: skip
"""Commands that size a bracket, and the side of it that they announce."""
