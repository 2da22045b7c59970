/* Matrix products by the BLAS that Python hands over: row-major C = alpha op(A) op(B) + beta C. */
#ifndef BLAS_H
#define BLAS_H

typedef void dgemm_t(char *, char *, int *, int *, int *, double *, double *, int *, double *,
                     int *, double *, double *, int *);
typedef void sgemm_t(char *, char *, int *, int *, int *, float *, float *, int *, float *, int *,
                     float *, float *, int *);

static dgemm_t *blas_dgemm;
static sgemm_t *blas_sgemm;

void use_blas(void *dgemm, void *sgemm) {
    blas_dgemm = (dgemm_t *)dgemm;
    blas_sgemm = (sgemm_t *)sgemm;
}

/* op(A) is m by k, op(B) is k by n. BLAS counts columns first, so it is given the transposes. */
static inline void dmm(char ta, char tb, int m, int n, int k, double alpha, const double *a,
                       int lda, const double *b, int ldb, double beta, double *c, int ldc) {
    blas_dgemm(&tb, &ta, &n, &m, &k, &alpha, (double *)b, &ldb, (double *)a, &lda, &beta, c, &ldc);
}

static inline void smm(char ta, char tb, int m, int n, int k, float alpha, const float *a, int lda,
                       const float *b, int ldb, float beta, float *c, int ldc) {
    blas_sgemm(&tb, &ta, &n, &m, &k, &alpha, (float *)b, &ldb, (float *)a, &lda, &beta, c, &ldc);
}

#endif
