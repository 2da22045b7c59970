/* The log-posterior of a Gaussian mixture and its gradient (ADBench's gmm).

   With z = Q (x - mu) and responsibilities r, the gradient by Q is -sum r z (x - mu)^T and the one
   by mu is Q^T sum r z. A block of points goes through all components: z = Q x - Q mu with the
   points along the vector registers, responsibilities, and the sums of r z x^T with the dimensions
   along them. Both products are tiles of four rows that stop at the diagonal of Q, which a general
   product of matrices cannot. */
#include <math.h>
#include <string.h>

#define BLOCK 64
#ifdef __AVX512F__
#define WIDE 8 /* numbers in a vector register */
#else
#define WIDE 4
#endif

typedef double wide __attribute__((vector_size(8 * WIDE), aligned(8)));

static long up(long n, long to) { return (n + to - 1) / to * to; }

/* z (rows4 by BLOCK) = q x - shift; q has rows4 by d numbers and is zero right of its diagonal. */
static void lower(const double *restrict q, const double *restrict shift,
                  const double *restrict x, double *restrict z, long d, long rows4) {
    for (long i = 0; i < rows4; i += 4) {
        const double *q0 = q + i * d, *q1 = q0 + d, *q2 = q1 + d, *q3 = q2 + d;
        long last = i + 4 < d ? i + 4 : d;
        for (long p = 0; p < BLOCK; p += 2 * WIDE) {
            wide a0 = (wide){} - shift[i], a1 = (wide){} - shift[i + 1], b0 = a0, b1 = a1;
            wide a2 = (wide){} - shift[i + 2], a3 = (wide){} - shift[i + 3], b2 = a2, b3 = a3;
            for (long j = 0; j < last; j++) {
                wide u = *(const wide *)(x + j * BLOCK + p);
                wide v = *(const wide *)(x + j * BLOCK + p + WIDE);
                a0 += q0[j] * u, b0 += q0[j] * v;
                a1 += q1[j] * u, b1 += q1[j] * v;
                a2 += q2[j] * u, b2 += q2[j] * v;
                a3 += q3[j] * u, b3 += q3[j] * v;
            }
            double *to = z + i * BLOCK + p;
            *(wide *)to = a0, *(wide *)(to + WIDE) = b0, to += BLOCK;
            *(wide *)to = a1, *(wide *)(to + WIDE) = b1, to += BLOCK;
            *(wide *)to = a2, *(wide *)(to + WIDE) = b2, to += BLOCK;
            *(wide *)to = a3, *(wide *)(to + WIDE) = b3;
        }
    }
}

/* g (rows4 by stride) += z x, x being BLOCK by stride, where it is not right of the diagonal's
   tile: two vectors of columns at a time, and one where only one is left. */
static void outer(const double *restrict z, const double *restrict x, double *restrict g,
                  long rows4, long stride) {
    for (long i = 0; i < rows4; i += 4) {
        const double *z0 = z + i * BLOCK, *z1 = z0 + BLOCK, *z2 = z1 + BLOCK, *z3 = z2 + BLOCK;
        long j = 0, last = up(i + 4, WIDE) < stride ? up(i + 4, WIDE) : stride;
        for (; j + 2 * WIDE <= last; j += 2 * WIDE) {
            wide *t0 = (wide *)(g + i * stride + j), *t1 = (wide *)((double *)t0 + stride);
            wide *t2 = (wide *)((double *)t1 + stride), *t3 = (wide *)((double *)t2 + stride);
            wide a0 = t0[0], b0 = t0[1], a1 = t1[0], b1 = t1[1];
            wide a2 = t2[0], b2 = t2[1], a3 = t3[0], b3 = t3[1];
            for (long p = 0; p < BLOCK; p++) {
                wide u = *(const wide *)(x + p * stride + j);
                wide v = *(const wide *)(x + p * stride + j + WIDE);
                a0 += z0[p] * u, b0 += z0[p] * v;
                a1 += z1[p] * u, b1 += z1[p] * v;
                a2 += z2[p] * u, b2 += z2[p] * v;
                a3 += z3[p] * u, b3 += z3[p] * v;
            }
            t0[0] = a0, t0[1] = b0, t1[0] = a1, t1[1] = b1;
            t2[0] = a2, t2[1] = b2, t3[0] = a3, t3[1] = b3;
        }
        if (j < last) {
            wide *t0 = (wide *)(g + i * stride + j), *t1 = (wide *)((double *)t0 + stride);
            wide *t2 = (wide *)((double *)t1 + stride), *t3 = (wide *)((double *)t2 + stride);
            wide a0 = t0[0], a1 = t1[0], a2 = t2[0], a3 = t3[0];
            wide b0 = {}, b1 = {}, b2 = {}, b3 = {}; /* of every other point */
            for (long p = 0; p < BLOCK; p += 2) {
                wide u = *(const wide *)(x + p * stride + j);
                wide v = *(const wide *)(x + p * stride + stride + j);
                a0 += z0[p] * u, b0 += z0[p + 1] * v;
                a1 += z1[p] * u, b1 += z1[p + 1] * v;
                a2 += z2[p] * u, b2 += z2[p + 1] * v;
                a3 += z3[p] * u, b3 += z3[p + 1] * v;
            }
            *t0 = a0 + b0, *t1 = a1 + b1, *t2 = a2 + b2, *t3 = a3 + b3;
        }
    }
}

/* Log-sum-exp over k rows of BLOCK numbers, which become responsibilities; those of points past
   `count` become zero. */
static double responsibilities(double *restrict r, long k, long count) {
    double top[BLOCK], sum[BLOCK], total = 0;
    for (int p = 0; p < BLOCK; p++) top[p] = r[p], sum[p] = 0;
    for (long c = 1; c < k; c++)
        for (int p = 0; p < BLOCK; p++)
            top[p] = r[c * BLOCK + p] > top[p] ? r[c * BLOCK + p] : top[p];
    for (long c = 0; c < k; c++)
        for (int p = 0; p < BLOCK; p++) {
            double e = exp(r[c * BLOCK + p] - top[p]);
            r[c * BLOCK + p] = e;
            sum[p] += e;
        }
    for (int p = 0; p < BLOCK; p++) {
        double here = top[p] + log(sum[p]);
        total += p < count ? here : 0;
        sum[p] = p < count ? 1 / sum[p] : 0;
    }
    for (long c = 0; c < k; c++)
        for (int p = 0; p < BLOCK; p++) r[c * BLOCK + p] *= sum[p];
    return total;
}

/* How many numbers one thread works in, and how many all share. */
long space_of_thread(long d, long k) {
    long rows4 = up(d, 4), stride = up(d, WIDE);
    return k * rows4 * stride + k * rows4 + k + k * rows4 * BLOCK + k * BLOCK + d * BLOCK +
           BLOCK * stride + 64;
}

long space_of_all(long d, long k) { return k * up(d, 4) * (d + 1) + 64; }

void gradient(const double *alphas, const double *means, const double *icf, const double *points,
              long n, long d, long k, double gamma, long m, double constant, long threads,
              double *shared, double *own, double *value, double *g_alphas, double *g_means,
              double *g_icf) {
    long width = d * (d + 1) / 2, rows4 = up(d, 4), stride = up(d, WIDE);
    long each = space_of_thread(d, k), of_q = rows4 * d, of_g = rows4 * stride;
    double *q = shared, *shift = q + k * of_q, base[k], total = 0, top = alphas[0], sum = 0;
    memset(shared, 0, space_of_all(d, k) * sizeof(double));
    for (long c = 0; c < k; c++) {
        const double *row = icf + c * width, *below = row + d;
        double *full = q + c * of_q;
        base[c] = alphas[c];
        top = alphas[c] > top ? alphas[c] : top;
        for (long j = 0; j < d; j++) {
            full[j * d + j] = exp(row[j]);
            base[c] += row[j];
            for (long i = j + 1; i < d; i++) full[i * d + j] = *below++;
        }
        for (long i = 0; i < d; i++)
            for (long j = 0; j <= i; j++) shift[c * rows4 + i] += full[i * d + j] * means[c * d + j];
    }
    for (long c = 0; c < k; c++) sum += exp(alphas[c] - top);

    long blocks = (n + BLOCK - 1) / BLOCK, used = n * k * (d * d + 40) > 200000 ? threads : 1;
    used = used < blocks ? used : blocks;
#pragma omp parallel for num_threads(used) schedule(static) reduction(+ : total) if (used > 1)
    for (long t = 0; t < used; t++) {
        double *g = own + t * each, *g_z = g + k * of_g, *g_r = g_z + k * rows4;
        double *z = g_r + k, *r = z + k * rows4 * BLOCK, *across = r + k * BLOCK;
        double *along = across + d * BLOCK;
        memset(g, 0, (k * of_g + k * rows4 + k) * sizeof(double));
        memset(along, 0, BLOCK * stride * sizeof(double));
        for (long b = blocks * t / used; b < blocks * (t + 1) / used; b++) {
            long count = n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK;
            const double *x = points + b * BLOCK * d;
            for (long p = 0; p < BLOCK; p++)
                for (long j = 0; j < d; j++)
                    along[p * stride + j] = across[j * BLOCK + p] = p < count ? x[p * d + j] : 0;
            for (long c = 0; c < k; c++) {
                double *restrict zc = z + c * rows4 * BLOCK, norm[BLOCK] = {0};
                lower(q + c * of_q, shift + c * rows4, across, zc, d, rows4);
                for (long i = 0; i < d; i++)
                    for (int p = 0; p < BLOCK; p++) norm[p] += zc[i * BLOCK + p] * zc[i * BLOCK + p];
                for (int p = 0; p < BLOCK; p++) r[c * BLOCK + p] = base[c] - 0.5 * norm[p];
            }
            total += responsibilities(r, k, count);
            for (long c = 0; c < k; c++) {
                double *restrict zc = z + c * rows4 * BLOCK, *restrict rc = r + c * BLOCK, all = 0;
                for (int p = 0; p < BLOCK; p++) all += rc[p];
                g_r[c] += all;
                for (long i = 0; i < d; i++) {
                    double here = 0;
                    for (int p = 0; p < BLOCK; p++) here += zc[i * BLOCK + p] *= rc[p];
                    g_z[c * rows4 + i] += here;
                }
                outer(zc, along, g + c * of_g, rows4, stride);
            }
        }
    }

    double prior = 0;
    for (long c = 0; c < k; c++) {
        double *g = own + c * of_g, *g_z = own + k * of_g + c * rows4;
        double *g_r = own + k * of_g + k * rows4 + c;
        for (long t = 1; t < used; t++) {
            for (long i = 0; i < of_g; i++) g[i] += g[t * each + i];
            for (long i = 0; i < d; i++) g_z[i] += g_z[t * each + i];
            *g_r += g_r[t * each];
        }
        const double *full = q + c * of_q, *mean = means + c * d;
        double *row = g_icf + c * width, *below = row + d, squares = 0;
        g_alphas[c] = *g_r - n * exp(alphas[c] - top) / sum;
        for (long j = 0; j < d; j++) {
            double diagonal = full[j * d + j], by_mean = diagonal * g_z[j];
            squares += diagonal * diagonal;
            row[j] = *g_r - m + diagonal * (gamma * gamma * diagonal -
                                            (g[j * stride + j] - g_z[j] * mean[j]));
            for (long i = j + 1; i < d; i++) {
                double v = full[i * d + j];
                squares += v * v;
                by_mean += v * g_z[i];
                *below++ = gamma * gamma * v - (g[i * stride + j] - g_z[i] * mean[j]);
            }
            g_means[c * d + j] = by_mean;
        }
        prior += 0.5 * gamma * gamma * squares - m * (base[c] - alphas[c]);
    }
    *value = total - n * (top + log(sum)) + prior + constant;
}
