/* Runge and Kutta's method for a chain of equations, y_i' = x_i y_(i-1), and its gradient.

   Forward, all four stages of a block of the state are made while it is in the first cache. The
   states at the steps are kept; the way back makes their stages again. Arrays have four numbers in
   front of them, so that y_(-1) = 1 makes the first equation, y_0' = x_0, one like the others. */
#include <string.h>

#define BLOCK 512

/* One stage after the other for elements a to b; what they leave in front is there already. */
static void stages(const double *restrict x, const double *restrict y, double h, double *restrict k1,
                   double *restrict k2, double *restrict k3, long a, long b) {
    for (long i = a; i < b; i++) k1[i] = x[i] * y[i - 1];
    for (long i = a; i < b; i++) k2[i] = x[i] * (y[i - 1] + h / 2 * k1[i - 1]);
    for (long i = a; i < b; i++) k3[i] = x[i] * (y[i - 1] + h / 2 * k2[i - 1]);
}

static void forward(const double *restrict x, const double *restrict y, double *restrict next,
                    double h, double *k1, double *k2, double *k3, long n) {
    for (long a = 0; a < n; a += BLOCK) {
        long b = a + BLOCK < n ? a + BLOCK : n;
        stages(x, y, h, k1, k2, k3, a, b);
        for (long i = a; i < b; i++) {
            double k4 = x[i] * (y[i - 1] + h * k3[i - 1]);
            next[i] = y[i] + h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4);
        }
    }
}

/* The cotangent v of the next state becomes that of this one; g collects that of x. */
static void back(const double *restrict x, const double *restrict y, double *restrict v, double h,
                 const double *restrict k1, const double *restrict k2, const double *restrict k3,
                 double *restrict w2, double *restrict w3, double *restrict w4, double *restrict u,
                 double *restrict g, long n) {
    /* w_s[i] is x_i times the cotangent of stage s; u is the sum of all of them. */
    w4[n] = w3[n] = w2[n] = u[n] = 0;
    long last = (n - 1) / BLOCK * BLOCK;
    for (long a = last; a >= 0; a -= BLOCK) {
        long b = a + BLOCK < n ? a + BLOCK : n;
        for (long i = a; i < b; i++) w4[i] = x[i] * (h / 6 * v[i]);
        for (long i = a; i < b; i++) w3[i] = x[i] * (h / 3 * v[i] + h * w4[i + 1]);
        for (long i = a; i < b; i++) w2[i] = x[i] * (h / 3 * v[i] + h / 2 * w3[i + 1]);
        for (long i = a; i < b; i++) {
            double b4 = h / 6 * v[i], b3 = h / 3 * v[i] + h * w4[i + 1];
            double b2 = h / 3 * v[i] + h / 2 * w3[i + 1], b1 = h / 6 * v[i] + h / 2 * w2[i + 1];
            double before = y[i - 1];
            u[i] = x[i] * b1 + w2[i] + w3[i] + w4[i];
            g[i] += b1 * before + b2 * (before + h / 2 * k1[i - 1]) +
                    b3 * (before + h / 2 * k2[i - 1]) + b4 * (before + h * k3[i - 1]);
        }
    }
    for (long i = 0; i < n; i++) v[i] += u[i + 1];
}

/* space: states (steps + 1 rows) and ten further rows, each of n + 8 numbers. */
void gradient(const double *restrict given, long n, long steps, double *restrict space,
              double *restrict g) {
    long row = n + 8;
    double h = 2.0 / steps, *states = space + 4, *work = states + (steps + 1) * row;
    double *k1 = work, *k2 = k1 + row, *k3 = k2 + row, *w2 = k3 + row, *w3 = w2 + row;
    double *w4 = w3 + row, *u = w4 + row, *v = u + row, *x = v + row;
    memset(work - 4, 0, 10 * row * sizeof(double));
    memcpy(x, given, n * sizeof(double));
    memset(states - 4, 0, row * sizeof(double));
    states[-1] = 1;
    for (long s = 0; s < steps; s++) {
        double *y = states + s * row, *next = y + row;
        next[-4] = next[-3] = next[-2] = 0;
        next[-1] = 1;
        forward(x, y, next, h, k1, k2, k3, n);
    }
    memset(g, 0, n * sizeof(double));
    v[n - 1] = 1;
    for (long s = steps - 1; s >= 0; s--) {
        const double *y = states + s * row;
        for (long a = 0; a < n; a += BLOCK)
            stages(x, y, h, k1, k2, k3, a, a + BLOCK < n ? a + BLOCK : n);
        back(x, y, v, h, k1, k2, k3, w2, w3, w4, u, g, n);
    }
}
