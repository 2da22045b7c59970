/* The gradient of k-means' cost by the centroids, and the diagonal of its Hessian.

   One pass over the points finds the nearest centroid of each, four points at a time and the
   centroids along the vector registers, and adds the point to the sum of that centroid. */
#include <math.h>
#include <string.h>

#define TOGETHER 4

void gradient(const double *restrict points, const double *restrict centroids, long n, long k,
              long d, double *restrict transposed, double *restrict g, double *restrict h) {
    double squares[k], counts[k];
    for (long c = 0; c < k; c++) {
        double s = 0;
        for (long j = 0; j < d; j++) {
            double v = centroids[c * d + j];
            s += v * v;
            transposed[j * k + c] = -2 * v;
        }
        squares[c] = s;
        counts[c] = 0;
    }
    memset(g, 0, k * d * sizeof(double));
#pragma omp parallel for schedule(static) reduction(+ : g[:k * d], counts[:k]) \
    if (n * k * d > 100000)
    for (long p = 0; p < n; p += TOGETHER) {
        long now = n - p < TOGETHER ? n - p : TOGETHER;
        double away[TOGETHER][k];
        if (now == TOGETHER) {
            const double *a = points + p * d, *b = a + d, *e = b + d, *f = e + d;
            for (long c0 = 0; c0 < k; c0 += 16) {
                long c1 = k - c0 < 16 ? k - c0 : 16;
                double s0[16], s1[16], s2[16], s3[16];
                if (c1 == 16) {
                    for (int c = 0; c < 16; c++) s0[c] = s1[c] = s2[c] = s3[c] = squares[c0 + c];
                    for (long j = 0; j < d; j++) {
                        const double *row = transposed + j * k + c0;
                        double va = a[j], vb = b[j], ve = e[j], vf = f[j];
                        for (int c = 0; c < 16; c++) {
                            double v = row[c];
                            s0[c] += va * v;
                            s1[c] += vb * v;
                            s2[c] += ve * v;
                            s3[c] += vf * v;
                        }
                    }
                } else {
                    for (int c = 0; c < c1; c++) s0[c] = s1[c] = s2[c] = s3[c] = squares[c0 + c];
                    for (long j = 0; j < d; j++) {
                        const double *row = transposed + j * k + c0;
                        for (int c = 0; c < c1; c++) {
                            double v = row[c];
                            s0[c] += a[j] * v;
                            s1[c] += b[j] * v;
                            s2[c] += e[j] * v;
                            s3[c] += f[j] * v;
                        }
                    }
                }
                memcpy(away[0] + c0, s0, c1 * sizeof(double));
                memcpy(away[1] + c0, s1, c1 * sizeof(double));
                memcpy(away[2] + c0, s2, c1 * sizeof(double));
                memcpy(away[3] + c0, s3, c1 * sizeof(double));
            }
        } else
            for (long u = 0; u < now; u++) {
                for (long c = 0; c < k; c++) away[u][c] = squares[c];
                for (long j = 0; j < d; j++)
                    for (long c = 0; c < k; c++)
                        away[u][c] += points[(p + u) * d + j] * transposed[j * k + c];
            }
        for (long u = 0; u < now; u++) {
            double least = away[u][0];
            for (long c = 1; c < k; c++) least = away[u][c] < least ? away[u][c] : least;
            long nearest = 0;
            while (away[u][nearest] != least) nearest++;
            counts[nearest] += 1;
            for (long j = 0; j < d; j++) g[nearest * d + j] += points[(p + u) * d + j];
        }
    }
    for (long c = 0; c < k; c++)
        for (long j = 0; j < d; j++) {
            g[c * d + j] = 2 * (counts[c] * centroids[c * d + j] - g[c * d + j]);
            h[c * d + j] = 2 * counts[c];
        }
}
