"""Samples of the gamma function and its relatives."""

import mpmath
import scipy.special as sp

LEFT = (-7.3, -1.2, -0.4)
UPPER = (0.3, 0.9, 1.7, 2.6, 7.5, 30.0)
LIMITS = ((0.5, 0.3), (3.0, 2.0), (7.9, 9.0), (8.1, 9.0), (40.0, 33.0), (900.0, 870.0))
PAIRS = ((0.5, 0.3), (3.0, 2.0), (20.0, 0.2), (0.2, 30.0), (0.1, 8.0))
BETAS = ((0.5, 0.3, 0.2), (3.0, 2.0, 0.7), (9.0, 20.0, 0.3), (400.0, 500.0, 0.45))


def in_the_order(a, x, k):
    with mpmath.workdps(40):
        below = lambda a: mpmath.gammainc(a, 0, mpmath.mpf(float(x)), regularized=True)
        return float(mpmath.diff(below, mpmath.mpf(float(a)), int(k)))


ELEMENTWISE = {
    "gamma": (sp.gamma, (*LEFT, *UPPER)),
    "gammaln": (sp.gammaln, (*LEFT, *UPPER)),
    "loggamma": (lambda x: sp.loggamma(x + 0j).real, UPPER),
    "gammasgn": (sp.gammasgn, (*LEFT, *UPPER)),
    "rgamma": (sp.rgamma, (-7.3, -2.000001, -1.2, -0.4, 1e-6, 0.49, 0.51, 1.7, 7.5, 30.0)),
    "digamma": (sp.digamma, (*LEFT, *UPPER)),
    "polygamma": (sp.polygamma, tuple((n, x) for n in (1, 3) for x in UPPER)),
    "gammainc": (sp.gammainc, LIMITS),
    "gammaincc": (sp.gammaincc, LIMITS),
    "gammainc_order": (
        in_the_order,
        (
            *((a, x, 1) for a, x in (*LIMITS[:4], (0.05, 1e-3), (2.3, 6.0))),
            (0.5, 0.3, 2),
            (3.0, 5.0, 2),
            (2.3, 1.0, 3),
        ),
    ),
    "beta": (sp.beta, PAIRS),
    "betaln": (sp.betaln, PAIRS),
    "betainc": (sp.betainc, BETAS),
    "betaincc": (lambda a, b, x: sp.betainc(b, a, 1 - x), BETAS),
    "poch": (sp.poch, ((0.5, 0.3), (3.0, 2.0), (20.0, 0.01), (0.2, 30.0), (1e-3, 8.0))),
    "binom": (sp.binom, ((3.0, 1.2), (7.5, 2.0), (20.0, 19.3), (0.9, 0.3))),
    "zeta": (sp.zeta, ((1.3, 0.4), (2.0, 1.0), (3.7, 25.0), (12.0, 0.9), (30.0, 2.0))),
    "riemann_zeta": (sp.zeta, (0.3, 0.9, 1.2, 2.0, 5.5, 20.0)),
    "zeta_derivative": (
        lambda s, q, n: float(mpmath.zeta(s, q, int(n))),
        ((2.0, 1.0, 1), (2.0, 1.0, 2), (3.0, 2.5, 1)),
    ),
}
