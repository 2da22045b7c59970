/* Bundle adjustment: the blocks of the Jacobian, written out.

   A block of observations is worked on with one observation per lane of the vector registers, into
   a small table, which is then copied to where each observation's numbers belong. */
#include <math.h>

#define BLOCK 64
#define OWN 30 /* derivatives of two residuals by 11 + 3 + 1 numbers */

/* p is the cotangent of the rotated point: how a residual changes with it. */
#define DOT(a, b) (a##0 * b##0 + a##1 * b##1 + a##2 * b##2)

void jacobian(const double *restrict cameras, const double *restrict points,
              const double *restrict weights, const long *restrict camera_of,
              const long *restrict point_of, const double *restrict features, long count,
              double *restrict by_camera, double *restrict by_point, double *restrict by_weight,
              double *restrict of_weight) {
#pragma omp parallel for schedule(static) if (count > 2000)
    for (long start = 0; start < count; start += BLOCK) {
        double c[11][BLOCK], at[3][BLOCK], table[OWN][BLOCK];
        long now = count - start < BLOCK ? count - start : BLOCK;
        for (long i = 0; i < BLOCK; i++) {
            long k = start + (i < now ? i : 0);
            for (int j = 0; j < 11; j++) c[j][i] = cameras[camera_of[k] * 11 + j];
            for (int j = 0; j < 3; j++) at[j][i] = points[point_of[k] * 3 + j];
        }
        /* One loop per function: sine and cosine of one number in one loop become a call of sincos,
           which has no vectors. */
        double angles[BLOCK], cosines[BLOCK], sines[BLOCK];
        for (int i = 0; i < BLOCK; i++)
            angles[i] = sqrt(c[0][i] * c[0][i] + c[1][i] * c[1][i] + c[2][i] * c[2][i]);
        for (int i = 0; i < BLOCK; i++) cosines[i] = cos(angles[i]);
        for (int i = 0; i < BLOCK; i++) sines[i] = sin(angles[i]);
#pragma omp simd
        for (long i = 0; i < BLOCK; i++) {
            long k = start + (i < now ? i : 0);
            double weight = weights[k], focal = c[6][i], k1 = c[9][i], k2 = c[10][i];
            double over = 1 / angles[i], co = cosines[i], si = sines[i], rest = 1 - co;
            double w0 = c[0][i] * over, w1 = c[1][i] * over, w2 = c[2][i] * over;
            double x0 = at[0][i] - c[3][i], x1 = at[1][i] - c[4][i], x2 = at[2][i] - c[5][i];
            double along = DOT(w, x);
            double v0 = w1 * x2 - w2 * x1, v1 = w2 * x0 - w0 * x2, v2 = w0 * x1 - w1 * x0;
            double y0 = x0 * co + v0 * si + w0 * along * rest;
            double y1 = x1 * co + v1 * si + w1 * along * rest;
            double y2 = x2 * co + v2 * si + w2 * along * rest;
            /* how the rotated point moves with the angle */
            double t0 = v0 * co - x0 * si + w0 * along * si;
            double t1 = v1 * co - x1 * si + w1 * along * si;
            double t2 = v2 * co - x2 * si + w2 * along * si;
            double depth = 1 / y2, q0 = y0 * depth, q1 = y1 * depth, rr = q0 * q0 + q1 * q1;
            double bend = 1 + rr * (k1 + rr * k2), slope = 2 * (k1 + 2 * k2 * rr);
            double scale = weight * focal;
            for (int e = 0; e < 2; e++) {
                double q = e ? q1 : q0, own = e * (OWN / 2);
                double m0 = scale * (slope * q * q0 + (e ? 0 : bend));
                double m1 = scale * (slope * q * q1 + (e ? bend : 0));
                double p0 = m0 * depth, p1 = m1 * depth, p2 = -(m0 * q0 + m1 * q1) * depth;
                double pw = DOT(p, w), turn = DOT(p, t);
                /* by the axis, then by the rotation vector */
                double a0 = si * (x1 * p2 - x2 * p1) + rest * (along * p0 + pw * x0);
                double a1 = si * (x2 * p0 - x0 * p2) + rest * (along * p1 + pw * x1);
                double a2 = si * (x0 * p1 - x1 * p0) + rest * (along * p2 + pw * x2);
                double aw = turn - DOT(a, w) * over;
                double g0 = co * p0 + si * (p1 * w2 - p2 * w1) + rest * pw * w0;
                double g1 = co * p1 + si * (p2 * w0 - p0 * w2) + rest * pw * w1;
                double g2 = co * p2 + si * (p0 * w1 - p1 * w0) + rest * pw * w2;
                double(*to)[BLOCK] = table + (long)own;
                to[0][i] = aw * w0 + a0 * over;
                to[1][i] = aw * w1 + a1 * over;
                to[2][i] = aw * w2 + a2 * over;
                to[3][i] = -g0;
                to[4][i] = -g1;
                to[5][i] = -g2;
                to[6][i] = weight * q * bend;
                to[7][i] = e ? 0 : weight;
                to[8][i] = e ? weight : 0;
                to[9][i] = scale * q * rr;
                to[10][i] = scale * q * rr * rr;
                to[11][i] = g0;
                to[12][i] = g1;
                to[13][i] = g2;
                to[14][i] = q * bend * focal + c[7 + e][i] - features[2 * k + e];
            }
        }
        for (long i = 0; i < now; i++) {
            long k = start + i;
            for (int e = 0; e < 2; e++) {
                for (int j = 0; j < 11; j++) by_camera[22 * k + 11 * e + j] = table[15 * e + j][i];
                for (int j = 0; j < 3; j++)
                    by_point[6 * k + 3 * e + j] = table[15 * e + 11 + j][i];
                by_weight[2 * k + e] = table[15 * e + 14][i];
            }
            of_weight[k] = -2 * weights[k];
        }
    }
}
