/* Hand tracking: the residuals' Jacobian in forward mode, written out.

   A bone is moved by at most the four angles of its own finger, and a vertex by the bones that have
   a weight in it, so derivatives by a finger's angles are one vector of four numbers. Affine maps
   are kept as three rows of four. */
#include <math.h>
#include <string.h>

#define BONES 22
#define ANGLES 20

typedef double affine[3][4];
typedef double lanes[4];       /* by the four angles of a finger */
typedef lanes affine_lanes[3][4];

static void product(const affine a, const affine b, affine out) {
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++)
            out[r][c] = a[r][0] * b[0][c] + a[r][1] * b[1][c] + a[r][2] * b[2][c] +
                        (c == 3 ? a[r][3] : 0);
}

/* The derivative of a map times a constant one: its last row is zero, not 0 0 0 1. */
static void product_lanes(affine_lanes a, const affine b, affine_lanes out) {
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++)
            for (int l = 0; l < 4; l++)
                out[r][c][l] = a[r][0][l] * b[0][c] + a[r][1][l] * b[1][c] + a[r][2][l] * b[2][c] +
                               (c == 3 ? a[r][3][l] : 0);
}

/* Turns about x, then y, then z, and how they change with the angle about x or z. */
static void turns(double x, double z, affine turn, affine by_x, affine by_z) {
    double cx = cos(x), sx = sin(x), cz = cos(z), sz = sin(z);
    affine t = {{cz, -sz * cx, sz * sx, 0}, {sz, cz * cx, -cz * sx, 0}, {0, sx, cx, 0}};
    affine dx = {{0, sz * sx, sz * cx, 0}, {0, -cz * sx, -cz * cx, 0}, {0, cx, -sx, 0}};
    affine dz = {{-sz, -cz * cx, cz * sx, 0}, {cz, -sz * cx, sz * sx, 0}, {0, 0, 0, 0}};
    memcpy(turn, t, sizeof t);
    memcpy(by_x, dx, sizeof dx);
    memcpy(by_z, dz, sizeof dz);
}

/* Adds a vertex, times a factor, to a position and its derivatives by all angles. */
static void add(const double *weights, const double *base, affine *maps, affine_lanes *moved,
                double factor, double *position, double by[3][ANGLES]) {
    for (int b = 0; b < BONES; b++) {
        double w = factor * weights[b];
        if (w == 0) continue;
        double p0 = w * base[0], p1 = w * base[1], p2 = w * base[2], p3 = w * base[3];
        for (int r = 0; r < 3; r++)
            position[r] += maps[b][r][0] * p0 + maps[b][r][1] * p1 + maps[b][r][2] * p2 +
                           maps[b][r][3] * p3;
        if (b < 2) continue;
        for (int r = 0; r < 3; r++) {
            double *to = by[r] + (b - 2) / 4 * 4;
            for (int l = 0; l < 4; l++)
                to[l] += moved[b][r][0][l] * p0 + moved[b][r][1][l] * p1 + moved[b][r][2][l] * p2 +
                         moved[b][r][3][l] * p3;
        }
    }
}

/* With corners (3 vertices per point) and u (2 numbers per point) or, where these are null, with
   one vertex per point. out: 3 count by 26; out_u: 3 count by 2. */
void jacobian(const double *theta, const double *u, const long *parents, const double *relatives,
              const double *inverses, const double *base, const double *weights,
              const long *corners, long count, double *out, double *out_u) {
    affine absolute[BONES], maps[BONES];
    affine_lanes carried[BONES], moved[BONES];
    for (int b = 0; b < BONES; b++) {
        affine relative, turn, by_x, by_z, local;
        const double *angles = theta + 6 + (b - 2) / 4 * 4;
        int joint = b < 2 ? 3 : (b - 2) % 4; /* of four bones, the last does not turn */
        memcpy(relative, relatives + 16 * b, sizeof relative);
        double x = joint == 3 ? 0 : angles[joint ? joint + 1 : 0], z = joint == 0 ? angles[1] : 0;
        turns(x, z, turn, by_x, by_z);
        product(relative, turn, local);
        affine_lanes *d = carried + b;
        memset(d, 0, sizeof *d);
        long parent = parents[b];
        if (parent < 0)
            memcpy(absolute[b], local, sizeof local);
        else {
            product(absolute[parent], local, absolute[b]);
            if (parent >= 2 && (parent - 2) / 4 == (b - 2) / 4)
                product_lanes(carried[parent], local, *d);
        }
        if (joint != 3) {
            affine frame, part;
            if (parent < 0)
                memcpy(frame, relative, sizeof frame);
            else
                product(absolute[parent], relative, frame);
            for (int way = 0; way < (joint == 0 ? 2 : 1); way++) {
                int lane = joint == 0 ? way : joint + 1;
                product(frame, way ? by_z : by_x, part);
                for (int r = 0; r < 3; r++)
                    for (int c = 0; c < 3; c++) (*d)[r][c][lane] += part[r][c];
            }
        }
        affine inverse;
        memcpy(inverse, inverses + 16 * b, sizeof inverse);
        product(absolute[b], inverse, maps[b]);
        product_lanes(*d, inverse, moved[b]);
    }

    double angle = sqrt(theta[0] * theta[0] + theta[1] * theta[1] + theta[2] * theta[2]);
    double w[3] = {theta[0] / angle, theta[1] / angle, theta[2] / angle};
    double co = cos(angle), si = sin(angle), rest = 1 - co;
    double turn[3][3], by[3][3][3]; /* the rotation, and its derivative by each of theta[0..2] */
    double axis[3][3] = {{0, -w[2], w[1]}, {w[2], 0, -w[0]}, {-w[1], w[0], 0}};
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++)
            turn[r][c] = (r == c) * co + si * axis[r][c] + rest * w[r] * w[c];
    for (int j = 0; j < 3; j++) {
        double d[3];
        for (int r = 0; r < 3; r++) d[r] = ((r == j) - w[j] * w[r]) / angle;
        double cross[3][3] = {{0, -d[2], d[1]}, {d[2], 0, -d[0]}, {-d[1], d[0], 0}};
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 3; c++)
                by[j][r][c] = w[j] * (-(r == c) * si + co * axis[r][c] + si * w[r] * w[c]) +
                              si * cross[r][c] + rest * (d[r] * w[c] + w[r] * d[c]);
    }

    for (long k = 0; k < count; k++) {
        double position[3] = {0, 0, 0}, local[3][ANGLES], *row = out + 3 * 26 * k;
        memset(local, 0, sizeof local);
        if (u) {
            double share[3] = {u[2 * k], u[2 * k + 1], 1 - u[2 * k] - u[2 * k + 1]};
            double corner[3][3] = {{0}};
            for (int v = 0; v < 3; v++) {
                long at = corners[3 * k + v];
                if (share[v] == 0) { /* its position is needed still */
                    double none[3][ANGLES];
                    memset(none, 0, sizeof none);
                    add(weights + BONES * at, base + 4 * at, maps, moved, 1, corner[v], none);
                    continue;
                }
                add(weights + BONES * at, base + 4 * at, maps, moved, share[v], corner[v], local);
                for (int r = 0; r < 3; r++) {
                    position[r] += corner[v][r];
                    corner[v][r] /= share[v];
                }
            }
            for (int r = 0; r < 3; r++)
                for (int e = 0; e < 2; e++)
                    out_u[(3 * k + r) * 2 + e] =
                        turn[r][0] * (corner[2][0] - corner[e][0]) +
                        turn[r][1] * (corner[2][1] - corner[e][1]) +
                        turn[r][2] * (corner[2][2] - corner[e][2]);
        } else
            add(weights + BONES * corners[k], base + 4 * corners[k], maps, moved, 1, position,
                local);
        for (int r = 0; r < 3; r++, row += 26) {
            for (int j = 0; j < 3; j++) {
                row[j] = -(by[j][r][0] * position[0] + by[j][r][1] * position[1] +
                           by[j][r][2] * position[2]);
                row[3 + j] = -(r == j);
            }
            for (int i = 0; i < ANGLES; i++)
                row[6 + i] = -(turn[r][0] * local[0][i] + turn[r][1] * local[1][i] +
                               turn[r][2] * local[2][i]);
        }
    }
}
