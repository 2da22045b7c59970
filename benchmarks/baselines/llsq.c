/* The gradient of the least squares fit of a polynomial: Horner's rule forth, powers back. */
#include <string.h>

#define BLOCK 32

void gradient(const double *restrict x, const double *restrict t, const double *restrict s, long n,
              long m, double *restrict g) {
    memset(g, 0, m * sizeof(double));
#pragma omp parallel for schedule(static) reduction(+ : g[:m]) if (n * m > 65536)
    for (long start = 0; start < n; start += BLOCK) {
        double at[BLOCK], y[BLOCK];
        long now = n - start < BLOCK ? n - start : BLOCK;
        for (int p = 0; p < BLOCK; p++) at[p] = p < now ? t[start + p] : 0, y[p] = 0;
        for (long j = m - 1; j >= 0; j--)
            for (int p = 0; p < BLOCK; p++) y[p] = y[p] * at[p] + x[j];
        for (int p = 0; p < BLOCK; p++) y[p] = p < now ? y[p] - s[start + p] : 0;
        for (long j = 0; j < m; j++) {
            double sum = 0;
            for (int p = 0; p < BLOCK; p++) {
                sum += y[p];
                y[p] *= at[p];
            }
            g[j] += sum;
        }
    }
}
