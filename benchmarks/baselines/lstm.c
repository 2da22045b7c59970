/* The loss of a diagonal LSTM and its gradient: forth through the sequence, and back.

   Widths are padded to W numbers, whole vector registers, so that each pass over a layer is a short
   loop without a tail. What the way back needs of a step is kept: gates, cells, hidden states. */
#include <math.h>
#include <string.h>

#define W 16 /* at least the width of a row, 14 in ADBench's data */

typedef double row[W];

/* Kept of one layer at one step. */
typedef struct {
    row input, hidden, cell, forget, in, out, change, squashed;
} kept;

static void load(row *to, const double *from, long rows, long width) {
    memset(to, 0, rows * sizeof(row));
    for (long r = 0; r < rows; r++) memcpy(to[r], from + r * width, width * sizeof(double));
}

void gradient(const double *main_params, const double *extra_params, const double *start,
              const double *sequence, long layers, long length, long width, kept *all,
              double *loss, double *g_main, double *g_extra) {
    row p[layers * 8], g[layers * 8], extra[3], g_ex[3], state[2 * layers];
    load(p, main_params, layers * 8, width);
    load(extra, extra_params, 3, width);
    load(state, start, 2 * layers, width);
    memset(g, 0, sizeof g);
    memset(g_ex, 0, sizeof g_ex);
    long steps = length - 1;
    double total = 0, scale = -1.0 / (steps * width);
    row *shares = (row *)(all + steps * layers); /* one row per step: the cotangent of a prediction */
    for (long t = 0; t < steps; t++) {
        row x;
        const double *now = sequence + t * width, *after = now + width;
        for (int i = 0; i < W; i++) x[i] = i < width ? now[i] * extra[0][i] : 0;
        for (long l = 0; l < layers; l++) {
            row *w = p + 8 * l, *b = w + 4;
            kept *k = all + t * layers + l;
            double *h = state[2 * l], *c = state[2 * l + 1];
            memcpy(k->input, x, sizeof x);
            memcpy(k->hidden, h, sizeof x);
            memcpy(k->cell, c, sizeof x);
#pragma omp simd
            for (int i = 0; i < W; i++) k->forget[i] = 1 / (1 + exp(-(x[i] * w[0][i] + b[0][i])));
#pragma omp simd
            for (int i = 0; i < W; i++) k->in[i] = 1 / (1 + exp(-(h[i] * w[1][i] + b[1][i])));
#pragma omp simd
            for (int i = 0; i < W; i++) k->out[i] = 1 / (1 + exp(-(x[i] * w[2][i] + b[2][i])));
#pragma omp simd
            for (int i = 0; i < W; i++) k->change[i] = tanh(h[i] * w[3][i] + b[3][i]);
#pragma omp simd
            for (int i = 0; i < W; i++) {
                c[i] = c[i] * k->forget[i] + k->in[i] * k->change[i];
                k->squashed[i] = tanh(c[i]);
                h[i] = x[i] = k->out[i] * k->squashed[i];
            }
        }
        row e;
        double sum = 2, weight = 0;
        for (int i = 0; i < W; i++) {
            double y = x[i] * extra[1][i] + extra[2][i];
            double gold = i < width ? after[i] : 0;
            e[i] = i < width ? exp(y) : 0;
            sum += e[i];
            weight += gold;
            total += gold * y;
        }
        total -= weight * log(sum);
        double *share = shares[t];
        for (int i = 0; i < W; i++)
            share[i] = i < width ? scale * (after[i] - weight * e[i] / sum) : 0;
    }
    *loss = total * scale;

    row d_hidden[layers], d_cell[layers]; /* cotangents of the state after a step */
    memset(d_hidden, 0, sizeof d_hidden);
    memset(d_cell, 0, sizeof d_cell);
    for (long t = steps - 1; t >= 0; t--) {
        const double *share = shares[t], *now = sequence + t * width;
        kept *top = all + t * layers + layers - 1;
        row d;
        for (int i = 0; i < W; i++) {
            g_ex[1][i] += share[i] * top->out[i] * top->squashed[i];
            g_ex[2][i] += share[i];
            d[i] = share[i] * extra[1][i];
        }
        for (long l = layers - 1; l >= 0; l--) {
            row *w = p + 8 * l, *gw = g + 8 * l, *gb = gw + 4;
            kept *k = all + t * layers + l;
            double *dh = d_hidden[l], *dc = d_cell[l];
#pragma omp simd
            for (int i = 0; i < W; i++) {
                double by_h = d[i] + dh[i], o = k->out[i], s = k->squashed[i];
                double by_c = dc[i] + by_h * o * (1 - s * s);
                double f = k->forget[i], a = k->in[i], z = k->change[i];
                double by_f = by_c * k->cell[i] * f * (1 - f), by_a = by_c * z * a * (1 - a);
                double by_o = by_h * s * o * (1 - o), by_z = by_c * a * (1 - z * z);
                gw[0][i] += by_f * k->input[i];
                gw[1][i] += by_a * k->hidden[i];
                gw[2][i] += by_o * k->input[i];
                gw[3][i] += by_z * k->hidden[i];
                gb[0][i] += by_f;
                gb[1][i] += by_a;
                gb[2][i] += by_o;
                gb[3][i] += by_z;
                dc[i] = by_c * f;
                dh[i] = by_a * w[1][i] + by_z * w[3][i];
                d[i] = by_f * w[0][i] + by_o * w[2][i];
            }
        }
        for (int i = 0; i < width; i++) g_ex[0][i] += d[i] * now[i];
    }
    for (long r = 0; r < layers * 8; r++) memcpy(g_main + r * width, g[r], width * sizeof(double));
    for (long r = 0; r < 3; r++) memcpy(g_extra + r * width, g_ex[r], width * sizeof(double));
}
