/* One step of gradient descent on a network 784-128-64-10 in single precision.

   relu, softmax cross entropy, mean over the batch; the parameters are changed in place. What a
   product of matrices leaves is passed over once: bias and relu forward, mask and bias gradient
   backward. The update is the beta and alpha of the product that gives a weight's gradient. */
#include <math.h>
#include "blas.h"

static void bias_relu(float *restrict h, const float *restrict b, long rows, long n) {
    for (long r = 0; r < rows; r++)
        for (long j = 0; j < n; j++) {
            float v = h[r * n + j] + b[j];
            h[r * n + j] = v > 0 ? v : 0;
        }
}

/* Cotangents of the units that are off are cleared; the bias takes its step. */
static void mask_bias(float *restrict d, const float *restrict h, float *restrict b, long rows,
                      long n, float rate) {
    for (long r = 0; r < rows; r++)
        for (long j = 0; j < n; j++) {
            float v = h[r * n + j] > 0 ? d[r * n + j] : 0;
            d[r * n + j] = v;
            b[j] -= rate * v;
        }
}

void step(float *w1, float *b1, float *w2, float *b2, float *w3, float *b3, const float *x,
          const long *labels, long batch, long n0, long n1, long n2, long n3, double rate,
          float *h1, float *h2, float *h3, float *d1, float *d2, float *loss) {
    float eta = (float)rate, total = 0;
    smm('N', 'N', batch, n1, n0, 1, x, n0, w1, n1, 0, h1, n1);
    bias_relu(h1, b1, batch, n1);
    smm('N', 'N', batch, n2, n1, 1, h1, n1, w2, n2, 0, h2, n2);
    bias_relu(h2, b2, batch, n2);
    smm('N', 'N', batch, n3, n2, 1, h2, n2, w3, n3, 0, h3, n3);
    float b3_now[64];
    for (long j = 0; j < n3; j++) b3_now[j] = b3[j];
    for (long r = 0; r < batch; r++) {
        float *row = h3 + r * n3, top = -INFINITY, sum = 0;
        for (long j = 0; j < n3; j++) {
            row[j] += b3_now[j];
            top = row[j] > top ? row[j] : top;
        }
        float chosen = row[labels[r]] - top;
        for (long j = 0; j < n3; j++) {
            row[j] = expf(row[j] - top);
            sum += row[j];
        }
        total += logf(sum) - chosen;
        float share = 1 / (sum * batch);
        for (long j = 0; j < n3; j++) {
            row[j] = row[j] * share - (j == labels[r] ? 1.0f / batch : 0);
            b3[j] -= eta * row[j];
        }
    }
    smm('N', 'T', batch, n2, n3, 1, h3, n3, w3, n3, 0, d2, n2);
    smm('T', 'N', n2, n3, batch, -eta, h2, n2, h3, n3, 1, w3, n3);
    mask_bias(d2, h2, b2, batch, n2, eta);
    smm('N', 'T', batch, n1, n2, 1, d2, n2, w2, n2, 0, d1, n1);
    smm('T', 'N', n1, n2, batch, -eta, h1, n1, d2, n2, 1, w2, n2);
    mask_bias(d1, h1, b1, batch, n1, eta);
    smm('T', 'N', n0, n1, batch, -eta, x, n0, d1, n1, 1, w1, n1);
    *loss = total / batch;
}
