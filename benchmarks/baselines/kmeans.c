/* The gradient of k-means' cost by the centroids, and the diagonal of its Hessian.

   One pass over the points finds the nearest centroid of each, four points and two vectors of
   centroids at a time, with the number of the best so far beside it, and adds the point to the sum
   of its centroid. */
#include <string.h>

#ifdef __AVX512F__
#define WIDE 8 /* numbers in a vector register */
#else
#define WIDE 4
#endif
#define AT_ONCE (2 * WIDE)

typedef double wide __attribute__((vector_size(8 * WIDE), aligned(8)));
typedef long mask __attribute__((vector_size(8 * WIDE), aligned(8)));

#define TAKE(least, who, s, c)                                                                  \
    {                                                                                           \
        mask nearer = s < least;                                                                \
        least = (wide)((nearer & (mask)s) | (~nearer & (mask)least));                           \
        who = (nearer & (c)) | (~nearer & who);                                                 \
    }

static long first(wide least, mask who) {
    long best = 0;
    for (long i = 1; i < WIDE; i++)
        if (least[i] < least[best] || (least[i] == least[best] && who[i] < who[best])) best = i;
    return who[best];
}

/* transposed: d rows of `padded` numbers, minus twice the centroids; padded is k or a little more.
   Four points; where there are fewer, some are given twice. */
static void nearest(const double *restrict a, const double *restrict b, const double *restrict e,
                    const double *restrict f, const double *restrict squares,
                    const double *restrict transposed, long padded, long d, long *found) {
    wide l0 = (wide){} + 1e300, l1 = l0, l2 = l0, l3 = l0;
    mask w0 = {}, w1 = {}, w2 = {}, w3 = {}, lanes;
    for (long i = 0; i < WIDE; i++) lanes[i] = i;
    for (long c = 0; c < padded; c += AT_ONCE) {
        wide s0 = *(const wide *)(squares + c), s1 = s0, s2 = s0, s3 = s0;
        wide t0 = *(const wide *)(squares + c + WIDE), t1 = t0, t2 = t0, t3 = t0;
        for (long j = 0; j < d; j++) {
            wide u = *(const wide *)(transposed + j * padded + c);
            wide v = *(const wide *)(transposed + j * padded + c + WIDE);
            s0 += a[j] * u, t0 += a[j] * v;
            s1 += b[j] * u, t1 += b[j] * v;
            s2 += e[j] * u, t2 += e[j] * v;
            s3 += f[j] * u, t3 += f[j] * v;
        }
        TAKE(l0, w0, s0, lanes);
        TAKE(l1, w1, s1, lanes);
        TAKE(l2, w2, s2, lanes);
        TAKE(l3, w3, s3, lanes);
        lanes += WIDE;
        TAKE(l0, w0, t0, lanes);
        TAKE(l1, w1, t1, lanes);
        TAKE(l2, w2, t2, lanes);
        TAKE(l3, w3, t3, lanes);
        lanes += WIDE;
    }
    found[0] = first(l0, w0);
    found[1] = first(l1, w1);
    found[2] = first(l2, w2);
    found[3] = first(l3, w3);
}

/* space: (d + 1) rows of k + 16 numbers. */
void gradient(const double *restrict points, const double *restrict centroids, long n, long k,
              long d, double *restrict space, double *restrict g, double *restrict h) {
    long padded = (k + AT_ONCE - 1) / AT_ONCE * AT_ONCE;
    double *squares = space, *transposed = space + padded, counts[k];
    memset(transposed, 0, d * padded * sizeof(double));
    memset(counts, 0, sizeof counts);
    memset(g, 0, k * d * sizeof(double));
    for (long c = 0; c < padded; c++) squares[c] = c < k ? 0 : 1e300;
    for (long c = 0; c < k; c++)
        for (long j = 0; j < d; j++) {
            double v = centroids[c * d + j];
            squares[c] += v * v;
            transposed[j * padded + c] = -2 * v;
        }
#pragma omp parallel for schedule(static) reduction(+ : g[:k * d], counts[:k]) \
    if (n * k * d > 200000)
    for (long p = 0; p < n; p += 4) {
        long now = n - p < 4 ? n - p : 4, found[4];
        const double *x = points + p * d;
        nearest(x, x + (now > 1 ? d : 0), x + (now > 2 ? 2 * d : 0), x + (now > 3 ? 3 * d : 0),
                squares, transposed, padded, d, found);
        for (long u = 0; u < now; u++) {
            counts[found[u]] += 1;
            for (long j = 0; j < d; j++) g[found[u] * d + j] += x[u * d + j];
        }
    }
    for (long c = 0; c < k; c++)
        for (long j = 0; j < d; j++) {
            g[c * d + j] = 2 * (counts[c] * centroids[c * d + j] - g[c * d + j]);
            h[c * d + j] = 2 * counts[c];
        }
}
