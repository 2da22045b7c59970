"""Samples of choosing."""

ELEMENTWISE = {
    "isclose": (
        lambda a, b, rtol, atol: abs(a - b) <= atol + rtol * abs(b),
        (
            (1.0, 1.05, 0.1, 0.0),
            (1.0, 1.2, 0.1, 0.0),
            (0.0, 1e-9, 0.0, 1e-8),
            (3.0, -3.0, 1.0, 0.5),
        ),
    ),
}
