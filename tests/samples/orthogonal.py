"""Samples of orthogonal polynomials."""

import mpmath

X = (-1.7, -0.999, -0.3, 1e-4, 0.2, 0.83, 1.0, 2.4)
DEGREES = (0, 1, 2, 5, 12)
PLAIN = tuple((n, x) for n in DEGREES for x in X)
AWAY_FROM_ZEROS = tuple((n, x) for n, x in PLAIN if x != 1.0)


def exact(name, *, scaled=False):
    """The polynomial as mpmath has it; ``scaled`` for the one of probability theory."""

    def value(n, *rest):
        *parameters, x = map(float, rest)
        if scaled:
            return float(mpmath.hermite(n, x / mpmath.sqrt(2)) / mpmath.sqrt(2) ** n)
        return float(getattr(mpmath, name)(n, *parameters, x))

    return value


ELEMENTWISE = {
    "eval_legendre": (exact("legendre"), PLAIN),
    "eval_chebyt": (exact("chebyt"), PLAIN),
    "eval_chebyu": (exact("chebyu"), PLAIN),
    "eval_hermite": (exact("hermite"), PLAIN),
    "eval_hermitenorm": (exact("hermite", scaled=True), AWAY_FROM_ZEROS),
    "eval_laguerre": (lambda n, x: float(mpmath.laguerre(n, 0, float(x))), AWAY_FROM_ZEROS),
    "eval_genlaguerre": (exact("laguerre"), tuple((n, 1.5, x) for n, x in PLAIN)),
    "eval_gegenbauer": (exact("gegenbauer"), tuple((n, 0.7, x) for n, x in PLAIN)),
    "eval_jacobi": (exact("jacobi"), tuple((n, 0.7, 1.5, x) for n, x in PLAIN)),
}
