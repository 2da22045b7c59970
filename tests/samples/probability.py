"""Samples of functions of probability."""

import scipy.special as sp

from samples import INF, LINE

RATIOS = ((2.0, 3.0), (0.3, 0.2), (0.05, 8.0), (20.0, 0.05), (1.0, 1.3))
LOSSES = ((1.0, 0.3), (0.7, -2.5), (2.0, 12.0), (3.0, -1.2), (0.4, 0.1))
POWERS = ((0.3, 2.0), (1.7, -0.4), (12.0, 0.3), (0.9, 1e-3), (1.2, 1e-6))

ELEMENTWISE = {
    "xlogy": (sp.xlogy, (*RATIOS, (-1.5, 0.7))),
    "xlog1py": (sp.xlog1py, (*RATIOS, (-1.5, -0.7), (0.4, 1e-5))),
    "entr": (sp.entr, (0.05, 0.2, 0.9, 1.7, 12.0)),
    "rel_entr": (sp.rel_entr, RATIOS),
    "kl_div": (sp.kl_div, RATIOS),
    "log_expit": (sp.log_expit, LINE),
    "ndtr": (sp.ndtr, (-6.0, -2.5, -1.1, -1e-3, 0.7, 2.0, 5.0)),
    "log_ndtr": (sp.log_ndtr, (-200.0, -6.0, -2.5, -1.1, -1e-3, 0.7, 2.0, 5.0)),
    "ndtri": (sp.ndtri, (1e-9, 1e-3, 0.2, 0.6, 0.99)),
    "owens_t": (sp.owens_t, ((0.5, 0.3), (-1.2, 2.0), (2.5, -0.7), (0.1, 6.0))),
    "huber": (sp.huber, LOSSES),
    "pseudo_huber": (sp.pseudo_huber, LOSSES),
    "boxcox": (sp.boxcox, POWERS),
    "boxcox1p": (sp.boxcox1p, (*POWERS, (-0.6, 1.7))),
    "inv_boxcox": (sp.inv_boxcox, (*POWERS, (-0.6, 1.1))),
    "inv_boxcox1p": (sp.inv_boxcox1p, (*POWERS, (-0.6, 1.1))),
    "exp10": (sp.exp10, (-20.0, -1.5, -1e-3, 0.4, 2.0, 30.0)),
}

CONVENTIONS = {
    "entr": [((0.0,), (INF,))],
}
