/* The gradient of a determinant by expansion by minors. Both go top down: a minor's cotangent is
   known when it is entered, so that one visit gives its value and its entries' derivatives. */
#include <string.h>

/* The columns that are left, as a list: right[c] is the one after c, right[n] the first. */
static double visit(const double *a, long n, long row, long *right, double cotangent, double *g) {
    if (row == n - 1) {
        long c = right[n];
        g[row * n + c] += cotangent;
        return a[row * n + c];
    }
    double det = 0, sign = 1;
    for (long before = n, c = right[n]; c < n; before = c, c = right[c], sign = -sign) {
        right[before] = right[c];
        double sub = visit(a, n, row + 1, right, sign * cotangent * a[row * n + c], g);
        right[before] = c;
        g[row * n + c] += sign * cotangent * sub;
        det += sign * a[row * n + c] * sub;
    }
    return det;
}

/* Each minor where it occurs, n! of them in the last row. */
void gradient(const double *a, long n, double *value, double *g) {
    long right[n + 1];
    for (long c = 0; c < n; c++) right[c] = c + 1;
    right[n] = 0;
    memset(g, 0, n * n * sizeof(double));
    *value = visit(a, n, 0, right, 1, g);
}

/* Each minor once: one for every set of columns, 2^n in all. The row a set begins with is told by
   its size. */
void gradient_shared(const double *a, long n, double *minors, double *cotangents, double *value,
                     double *g) {
    long sets = 1L << n;
    minors[0] = 1;
    for (long set = 1; set < sets; set++) {
        const double *row = a + (n - __builtin_popcountl(set)) * n;
        double det = 0, sign = 1;
        for (long rest = set; rest; rest &= rest - 1, sign = -sign) {
            long c = __builtin_ctzl(rest);
            det += sign * row[c] * minors[set ^ (1L << c)];
        }
        minors[set] = det;
        cotangents[set] = 0;
    }
    *value = minors[sets - 1];
    cotangents[0] = 0;
    cotangents[sets - 1] = 1;
    memset(g, 0, n * n * sizeof(double));
    for (long set = sets - 1; set; set--) {
        long r = (n - __builtin_popcountl(set)) * n;
        double sign = cotangents[set];
        for (long rest = set; rest; rest &= rest - 1, sign = -sign) {
            long c = __builtin_ctzl(rest);
            g[r + c] += sign * minors[set ^ (1L << c)];
            cotangents[set ^ (1L << c)] += sign * a[r + c];
        }
    }
}
