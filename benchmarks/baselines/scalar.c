/* Derivatives of two formulas at a point. */
#include <math.h>

void sin_log(double x, double *out) {
    double t = x * x + 1;
    *out = cos(log(t)) / t * (2 * x);
}

/* tanh(exp(-t) sin(3x)) / sqrt(t + 2), t = x^2 */
void ten(double x, double *out) {
    double t = x * x, e = exp(-t), s = sin(3 * x), c = cos(3 * x);
    double h = tanh(e * s), d = 1 / sqrt(t + 2);
    *out = d * ((1 - h * h) * e * (3 * c - 2 * x * s) - h * x * d * d);
}
