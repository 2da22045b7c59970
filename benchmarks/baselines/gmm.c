/* The log-posterior of a Gaussian mixture and its gradient (ADBench's gmm).

   Points come transposed, d by n. With z = Q (x - mu), the gradient by Q is -sum r z x'^T and the
   one by mu is Q^T sum r z, r being the responsibilities. In few dimensions z is made by loops over
   a triangle of Q with the points along the vector registers; in many, all z at once are one
   product of matrices. */
#include <math.h>
#include <string.h>
#include "blas.h"

#define BLOCK 64

/* Row i of component k of Q, a full d by d matrix per component. */
static void unpack(const double *icf, long d, long k, double *q, double *log_det) {
    long width = d * (d + 1) / 2;
    for (long c = 0; c < k; c++) {
        const double *row = icf + c * width, *below = row + d;
        double *full = q + c * d * d, sum = 0;
        memset(full, 0, d * d * sizeof(double));
        for (long j = 0; j < d; j++) {
            full[j * d + j] = exp(row[j]);
            sum += row[j];
            for (long i = j + 1; i < d; i++) full[i * d + j] = *below++;
        }
        log_det[c] = sum;
    }
}

/* Log-sum-exp over components of inner (k rows of `count` numbers, `step` apart), made into
   responsibilities in place. Returns the sum of the logarithms. */
static double responsibilities(double *restrict inner, long k, long step, long count) {
    double top[BLOCK], sum[BLOCK], total = 0;
    for (long p = 0; p < count; p++) top[p] = inner[p], sum[p] = 0;
    for (long c = 1; c < k; c++)
        for (long p = 0; p < count; p++) {
            double v = inner[c * step + p];
            top[p] = v > top[p] ? v : top[p];
        }
    for (long c = 0; c < k; c++)
        for (long p = 0; p < count; p++) {
            double e = exp(inner[c * step + p] - top[p]);
            inner[c * step + p] = e;
            sum[p] += e;
        }
    for (long p = 0; p < count; p++) {
        total += top[p] + log(sum[p]);
        sum[p] = 1 / sum[p];
    }
    for (long c = 0; c < k; c++)
        for (long p = 0; p < count; p++) inner[c * step + p] *= sum[p];
    return total;
}

/* g_q: k by d by d, sum over points of r z x'^T with x' = x - mu; g_z: k by d, sum of r z;
   g_r: k, sum of r. Few dimensions: one pass over blocks of points. */
static double few(const double *restrict xt, const double *restrict means,
                  const double *restrict q, const double *restrict base, long n, long d, long k,
                  double *g_q, double *g_z, double *g_r) {
    double total = 0;
    long many = d * d * k;
#pragma omp parallel for schedule(static) reduction(+ : total, g_q[:many], g_z[:d * k], g_r[:k]) \
    if (n * k * d * d > 20000)
    for (long start = 0; start < n; start += BLOCK) {
        long count = n - start < BLOCK ? n - start : BLOCK;
        double r[k * BLOCK], z[d * BLOCK], x[d * BLOCK];
        for (long c = 0; c < k; c++) {
            double *row = r + c * BLOCK;
            for (long p = 0; p < count; p++) row[p] = 0;
            for (long j = 0; j < d; j++)
                for (long p = 0; p < count; p++)
                    x[j * BLOCK + p] = xt[j * n + start + p] - means[c * d + j];
            for (long i = 0; i < d; i++) {
                double *restrict zi = z + i * BLOCK;
                for (long p = 0; p < count; p++) zi[p] = 0;
                for (long j = 0; j <= i; j++) {
                    double v = q[(c * d + i) * d + j];
                    for (long p = 0; p < count; p++) zi[p] += v * x[j * BLOCK + p];
                }
                for (long p = 0; p < count; p++) row[p] += zi[p] * zi[p];
            }
            for (long p = 0; p < count; p++) row[p] = base[c] - 0.5 * row[p];
        }
        total += responsibilities(r, k, BLOCK, count);
        for (long c = 0; c < k; c++) {
            const double *row = r + c * BLOCK;
            double sum = 0;
            for (long p = 0; p < count; p++) sum += row[p];
            g_r[c] += sum;
            for (long j = 0; j < d; j++)
                for (long p = 0; p < count; p++)
                    x[j * BLOCK + p] = xt[j * n + start + p] - means[c * d + j];
            for (long i = 0; i < d; i++) {
                double *restrict zi = z;
                for (long p = 0; p < count; p++) zi[p] = 0;
                for (long j = 0; j <= i; j++) {
                    double v = q[(c * d + i) * d + j];
                    for (long p = 0; p < count; p++) zi[p] += v * x[j * BLOCK + p];
                }
                double all = 0;
                for (long p = 0; p < count; p++) all += (zi[p] *= row[p]);
                g_z[c * d + i] += all;
                for (long j = 0; j <= i; j++) {
                    double dot = 0;
                    for (long p = 0; p < count; p++) dot += zi[p] * x[j * BLOCK + p];
                    g_q[(c * d + i) * d + j] += dot;
                }
            }
        }
    }
    return total;
}

/* Many dimensions: z of all components and points is one product of matrices, kd by n. */
static double many(const double *restrict xt, const double *restrict means,
                   const double *restrict q, const double *restrict base, long n, long d, long k,
                   double *g_q, double *g_z, double *g_r, double *restrict z, double *restrict r) {
    double total = 0;
    dmm('N', 'N', k * d, n, d, 1, q, d, xt, n, 0, z, n);
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (long c = 0; c < k; c++) {
            double *restrict row = r + c * n;
            for (long p = 0; p < n; p++) row[p] = 0;
            for (long i = 0; i < d; i++) {
                double shift = 0, *restrict zi = z + (c * d + i) * n;
                for (long j = 0; j <= i; j++) shift += q[(c * d + i) * d + j] * means[c * d + j];
                for (long p = 0; p < n; p++) {
                    zi[p] -= shift;
                    row[p] += zi[p] * zi[p];
                }
            }
            for (long p = 0; p < n; p++) row[p] = base[c] - 0.5 * row[p];
        }
#pragma omp for schedule(static) reduction(+ : total)
        for (long start = 0; start < n; start += BLOCK)
            total += responsibilities(r + start, k, n, n - start < BLOCK ? n - start : BLOCK);
#pragma omp for schedule(static)
        for (long c = 0; c < k; c++) {
            const double *restrict row = r + c * n;
            double sum = 0;
            for (long p = 0; p < n; p++) sum += row[p];
            g_r[c] = sum;
            for (long i = 0; i < d; i++) {
                double all = 0, *restrict zi = z + (c * d + i) * n;
                for (long p = 0; p < n; p++) all += (zi[p] *= row[p]);
                g_z[c * d + i] = all;
            }
        }
    }
    dmm('N', 'T', k * d, d, n, 1, z, n, xt, n, 0, g_q, d);
    for (long a = 0; a < k * d; a++)
        for (long j = 0; j < d; j++) g_q[a * d + j] -= g_z[a] * means[a / d * d + j];
    return total;
}

void gradient(const double *alphas, const double *means, const double *icf, const double *xt, long n,
              long d, long k, double gamma, long m, double constant, double *q, double *g_q,
              double *g_z, double *z, double *r, double *value, double *g_alphas, double *g_means,
              double *g_icf) {
    double log_det[k], base[k], g_r[k], top = alphas[0], sum = 0, prior = 0;
    long width = d * (d + 1) / 2;
    unpack(icf, d, k, q, log_det);
    for (long c = 0; c < k; c++) {
        base[c] = alphas[c] + log_det[c];
        top = alphas[c] > top ? alphas[c] : top;
        g_r[c] = 0;
    }
    double total;
    if (d <= 12) {
        memset(g_q, 0, k * d * d * sizeof(double));
        memset(g_z, 0, k * d * sizeof(double));
        total = few(xt, means, q, base, n, d, k, g_q, g_z, g_r);
    } else
        total = many(xt, means, q, base, n, d, k, g_q, g_z, g_r, z, r);
    for (long c = 0; c < k; c++) sum += exp(alphas[c] - top);
    for (long c = 0; c < k; c++) {
        const double *full = q + c * d * d, *by_q = g_q + c * d * d;
        double *row = g_icf + c * width, *below = row + d;
        g_alphas[c] = g_r[c] - n * exp(alphas[c] - top) / sum;
        for (long j = 0; j < d; j++) {
            double diagonal = full[j * d + j], mean = 0;
            prior += 0.5 * gamma * gamma * diagonal * diagonal;
            row[j] = g_r[c] - m + diagonal * (gamma * gamma * diagonal - by_q[j * d + j]);
            for (long i = j; i < d; i++) mean += full[i * d + j] * g_z[c * d + i];
            g_means[c * d + j] = mean;
            for (long i = j + 1; i < d; i++) {
                double v = full[i * d + j];
                prior += 0.5 * gamma * gamma * v * v;
                *below++ = gamma * gamma * v - by_q[i * d + j];
            }
        }
        prior -= m * log_det[c];
    }
    *value = total - n * (top + log(sum)) + prior + constant;
}
