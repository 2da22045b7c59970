/* The gradient of log(sum(exp(x))): the largest, the exponentials and their sum, their shares. */
#include <math.h>

void gradient(const double *restrict x, long n, double *restrict out) {
    double top = x[0], sum = 0;
#pragma omp parallel if (n > 16384)
    {
#pragma omp for simd schedule(static) reduction(max : top)
        for (long i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
#pragma omp for simd schedule(static) reduction(+ : sum)
        for (long i = 0; i < n; i++) {
            double e = exp(x[i] - top);
            out[i] = e;
            sum += e;
        }
        double share = 1 / sum;
#pragma omp for simd schedule(static)
        for (long i = 0; i < n; i++) out[i] *= share;
    }
}
