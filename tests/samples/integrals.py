"""Samples of integrals that have a name."""

import scipy.special as sp

from samples import INF, LINE, NONZERO

X = (0.003, 0.2, 0.9, 2.5, 7.5, 29.0)
MIDDLE = (-4.0, -1.3, -0.2, 1e-6, 0.5, 1.7, 3.1)

ELEMENTWISE = {
    "exp1": (sp.exp1, X),
    "expi": (sp.expi, NONZERO),
    "expn": (sp.expn, tuple((n, x) for n in (0, 1, 2, 5) for x in X)),
    "exprel": (sp.exprel, LINE),
    "sici_sine": (lambda x: sp.sici(x)[0], LINE),
    "sici_cosine": (lambda x: sp.sici(x)[1], X),
    "shichi_sine": (lambda x: sp.shichi(x)[0], MIDDLE),
    "shichi_cosine": (lambda x: sp.shichi(x)[1], X),
    "fresnel_sine": (lambda x: sp.fresnel(x)[0], (-2.1, -0.6, 1e-3, 0.4, 1.3, 3.2)),
    "fresnel_cosine": (lambda x: sp.fresnel(x)[1], (-2.1, -0.6, 1e-3, 0.4, 1.3, 3.2)),
    "dawsn": (sp.dawsn, (-9.0, *MIDDLE, 6.9, 7.1, 60.0)),
    "spence": (sp.spence, (1e-3, 0.2, 0.49, 0.9, 0.9999, 1.2, 1.6, 9.0)),
    "ellipk": (sp.ellipk, (-300.0, -5.0, -0.3, 1e-8, 0.2, 0.79, 0.95, 0.9999)),
    "ellipe": (sp.ellipe, (-300.0, -5.0, -0.3, 1e-8, 0.2, 0.79, 0.95, 0.9999)),
    "hyp1f1": (sp.hyp1f1, ((0.5, 1.5, 0.7), (2.0, 0.3, -1.1), (1.0, 4.0, 6.0))),
    "hyp2f1": (sp.hyp2f1, ((0.5, 1.5, 2.0, 0.3), (2.0, 0.3, 1.1, -0.6), (1.0, 1.0, 4.0, 0.8))),
}

CONVENTIONS = {
    "spence": [((0.0,), (-INF,))],
    "ellipe": [((1.0,), (-INF,))],
}
