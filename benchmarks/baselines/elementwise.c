/* The gradient of sum(sin(log(x^2 + 1))): one pass, vector math, two threads where it pays. */
#include <math.h>

void gradient(const double *restrict x, long n, double *restrict out) {
    /* An `if` without its construct's name would turn the vectors off, too. */
#pragma omp parallel for simd schedule(static) if (parallel : n > 16384)
    for (long i = 0; i < n; i++) {
        double t = x[i] * x[i] + 1;
        out[i] = cos(log(t)) / t * (2 * x[i]);
    }
}
