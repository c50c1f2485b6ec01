/* The warp on the processor: coordinates, bilinear reading and all gradients, image by image.
 *
 * `compiler.py` compiles this with the machine's own compiler, `cpu.py` calls it. Plain C without
 * any header of torch's, so that it takes less than a second. One thread works on one image from
 * start to end, in a fixed order: results do not depend on the number of threads.
 *
 * An image plane of h x w is copied into the middle of (h+3) x (w+3) first, with what lies
 * outside around it (one more row and column before, two behind). In there everything further
 * out looks like the rim, so coordinates are clamped and nothing else needs an `if`.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#ifndef __clang__
#pragma GCC target("prefer-vector-width=512")
#endif
#endif
#ifdef _OPENMP
int omp_get_thread_num(void);
#else
static int omp_get_thread_num(void) { return 0; }
#endif

enum { AFFINE = 2, HOMOGRAPHY = 3, SPLINE = 0 }; /* rows of theta */
enum { LANES = 16, BLOCK = 256 };                /* floats of a vector; of a float32 sum */
typedef float four __attribute__((vector_size(16)));

typedef struct {
    int64_t batch, channels, h, w, H, W; /* input h x w, output H x W */
    int64_t kind, K, uint8, border, align_corners, threads;
    const void *images;          /* [B, C, h, w], float or uint8 (k is read as k / 255) */
    const float *transform;      /* [B, 2, 3], [B, 3, 3] or [B, K, 2] */
    const float *basis;          /* [K, H*W], splines only */
    const float *fill;           /* [B, C], or NULL for zeros and border */
    const float *grad;           /* [B, C, H, W], backward only */
    float *out;                  /* [B, C, H, W], forward only */
    float *grad_images;          /* [B, C, h, w] or NULL */
    float *grad_transform;       /* like transform, or NULL */
    float *grad_fill;            /* [B, C] or NULL */
    float *scratch;              /* scratch_floats() of them, aligned to 64 bytes */
} Warp;

/* Places of one thread's working memory. */
typedef struct {
    float *x, *y;      /* [n] where each output pixel reads, in pixels of the padded plane ... */
    int32_t *at;       /* [n] ... split into the pixel up and left of it; x, y keep the rest */
    float *sx, *sy;    /* [n] slopes of the loss along x and y */
    four *weights;     /* [n] how much of each of the four neighbours is read */
    float *plane;      /* [(h+3)(w+3)] one padded channel */
    four *sums;        /* [(h+3)(w+3)] what flows back to a pixel and its three neighbours;
                          before it, zeros for the neighbours of the first row */
} Work;

static int64_t rounded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }
static int64_t pixels(const Warp *c) { return rounded(c->H * c->W); }
static int64_t padded(const Warp *c) { return rounded((c->h + 3) * (c->w + 3)); }
static int64_t margin(const Warp *c) { return rounded(c->w + 4); }
static int64_t one_thread(const Warp *c)
{
    return 9 * pixels(c) + 5 * padded(c) + 4 * margin(c);
}
int64_t scratch_floats(const Warp *c) { return 2 * pixels(c) + c->threads * one_thread(c); }

static Work work_of(const Warp *c, int64_t thread)
{
    int64_t n = pixels(c);
    float *a = c->scratch + 2 * n + thread * one_thread(c);
    return (Work){a, a + n, (int32_t *)(a + 2 * n), a + 3 * n, a + 4 * n, (four *)(a + 5 * n),
                  a + 9 * n, (four *)(a + 9 * n + padded(c)) + margin(c)};
}

/* ------------------------------------------------------------------ where to read */
static float centre(int64_t i, int64_t n, int64_t align_corners)
{
    if (align_corners) return i * (2.0f / (n > 1 ? n - 1 : 1)) - (n > 1);
    return (2 * i + 1) / (float)n - 1;
}

/* The output's pixels counted from its middle, the same for all images: the start of the scratch.
 * Halves and wholes, so exact: an identity reads every pixel exactly where it is. */
static void centres(const Warp *c)
{
    float *X = c->scratch, *Y = X + pixels(c);
    memset(X, 0, 2 * pixels(c) * sizeof *X);
    for (int64_t i = 0; i < c->H; i++)
        for (int64_t j = 0; j < c->W; j++) {
            X[i * c->W + j] = j - (c->W - 1) / 2.0f;
            Y[i * c->W + j] = i - (c->H - 1) / 2.0f;
        }
}

/* [-1, 1] in pixels of the output and in units of such a pixel; half its span in pixels of the
 * image; the middle in pixels of the padded plane; pixels of the image for one of the output. */
static float whole(int64_t n, int64_t align_corners)
{
    return align_corners ? (n > 1 ? n - 1 : 1) : n;
}
static float unit(int64_t n, int64_t align_corners) { return 2 / whole(n, align_corners); }
static float span(int64_t n, int64_t align_corners) { return (align_corners ? n - 1 : n) / 2.0f; }
static float middle(int64_t n) { return (n + 1) / 2.0f; }
static float ratio(int64_t n, int64_t out, int64_t align_corners)
{
    return (align_corners ? n - 1 : n) / whole(out, align_corners);
}

static void place(const Warp *c, int64_t b, float *x, float *y)
{
    const int64_t n = pixels(c), seen = c->H * c->W, align = c->align_corners;
    const float *X = c->scratch, *Y = X + n;
    const float kx = span(c->w, align), ky = span(c->h, align);
    const float mx = middle(c->w), my = middle(c->h);
    const float xx = ratio(c->w, c->W, align), xy = ratio(c->w, c->H, align);
    const float yx = ratio(c->h, c->W, align), yy = ratio(c->h, c->H, align);
    if (c->kind == AFFINE) {
        const float *t = c->transform + 6 * b;
        const float a0 = xx * t[0], a1 = xy * t[1], a2 = kx * t[2] + mx;
        const float b0 = yx * t[3], b1 = yy * t[4], b2 = ky * t[5] + my;
#pragma omp simd
        for (int64_t p = 0; p < n; p++) {
            x[p] = a0 * X[p] + (a1 * Y[p] + a2);
            y[p] = b0 * X[p] + (b1 * Y[p] + b2);
        }
    } else if (c->kind == HOMOGRAPHY) {
        const float *t = c->transform + 9 * b;
        const float a0 = xx * t[0], a1 = xy * t[1], a2 = kx * t[2];
        const float b0 = yx * t[3], b1 = yy * t[4], b2 = ky * t[5];
        const float w0 = unit(c->W, align) * t[6], w1 = unit(c->H, align) * t[7], w2 = t[8];
#pragma omp simd
        for (int64_t p = 0; p < n; p++) {
            float scale = 1 / (w0 * X[p] + (w1 * Y[p] + w2));
            x[p] = (a0 * X[p] + (a1 * Y[p] + a2)) * scale + mx;
            y[p] = (b0 * X[p] + (b1 * Y[p] + b2)) * scale + my;
        }
        memset(x + seen, 0, (n - seen) * sizeof *x); /* the last vector's rest: anywhere */
        memset(y + seen, 0, (n - seen) * sizeof *y);
    } else {
        const float *t = c->transform + 2 * c->K * b;
        memset(x, 0, n * sizeof *x); /* the offsets alone first: they are small, and so is the */
        memset(y, 0, n * sizeof *y); /* rounding of their sum */
        for (int64_t from = 0; from < seen; from += BLOCK) {
            const int64_t m = seen - from < BLOCK ? seen - from : BLOCK;
            for (int64_t k = 0; k < c->K; k++) {
                const float u = kx * t[2 * k], v = ky * t[2 * k + 1];
                const float *basis = c->basis + k * seen + from;
#pragma omp simd
                for (int64_t p = 0; p < m; p++) {
                    x[from + p] += u * basis[p];
                    y[from + p] += v * basis[p];
                }
            }
        }
#pragma omp simd
        for (int64_t p = 0; p < n; p++) x[p] += xx * X[p] + mx, y[p] += yy * Y[p] + my;
    }
}

/* x, y into the pixel up and left of them and the rest in [0, 1). Positive: (int) is floor. */
static void split(const Warp *c, Work *m)
{
    const int64_t n = pixels(c);
    const float right = c->w + 1, bottom = c->h + 1;
    const int32_t pitch = c->w + 3;
    float *x = m->x, *y = m->y;
    int32_t *at = m->at;
#pragma omp simd
    for (int64_t p = 0; p < n; p++) {
        float u = x[p] > 0 ? x[p] : 0, v = y[p] > 0 ? y[p] : 0;
        u = u < right ? u : right, v = v < bottom ? v : bottom;
        int32_t column = (int32_t)u, row = (int32_t)v;
        x[p] = u - column, y[p] = v - row;
        at[p] = row * pitch + column;
    }
}

/* ------------------------------------------------------------------ what is read there */
/* memcpy for rows so short that a call would be most of it. */
static inline void copy(float *to, const float *from, int64_t n)
{
    if (n < LANES) {
        for (int64_t i = 0; i < n; i++) to[i] = from[i];
        return;
    }
    for (int64_t i = 0; i < n - LANES; i += LANES) memcpy(to + i, from + i, LANES * sizeof *to);
    memcpy(to + n - LANES, from + n - LANES, LANES * sizeof *to); /* the last may overlap */
}

static void pad(const Warp *c, int64_t number, float *plane)
{
    const int64_t h = c->h, w = c->w, pitch = w + 3;
    const float level = c->fill ? c->fill[number] : 0;
    for (int64_t row = 0; row < h + 3; row++) {
        float *to = plane + row * pitch;
        const int64_t from = row < 1 ? 0 : row > h ? h - 1 : row - 1;
        if (!c->border && row != from + 1) {
            for (int64_t j = 0; j < pitch; j++) to[j] = level;
            continue;
        }
        if (c->uint8) {
            const uint8_t *source = (const uint8_t *)c->images + (number * h + from) * w;
            for (int64_t j = 0; j < w; j++) to[1 + j] = source[j] / 255.0f;
        } else {
            copy(to + 1, (const float *)c->images + (number * h + from) * w, w);
        }
        to[0] = c->border ? to[1] : level;
        to[w + 1] = to[w + 2] = c->border ? to[w] : level;
    }
}

#ifdef __AVX512F__
/* Two neighbours are one load of 64 bits: the four corners of 16 pixels in four gathers. */
typedef struct { __m512 a, b, c, d; } Corners;

static inline Corners corners(const float *plane, int64_t pitch, const int32_t *at)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_or_epi32(even, _mm512_set1_epi32(1));
    const __m256i low = _mm256_loadu_si256((const __m256i *)at);
    const __m256i high = _mm256_loadu_si256((const __m256i *)(at + 8));
    const __m512 top0 = _mm512_castpd_ps(_mm512_i32gather_pd(low, plane, 4));
    const __m512 top1 = _mm512_castpd_ps(_mm512_i32gather_pd(high, plane, 4));
    const __m512 bottom0 = _mm512_castpd_ps(_mm512_i32gather_pd(low, plane + pitch, 4));
    const __m512 bottom1 = _mm512_castpd_ps(_mm512_i32gather_pd(high, plane + pitch, 4));
    return (Corners){
        _mm512_permutex2var_ps(top0, even, top1), _mm512_permutex2var_ps(top0, odd, top1),
        _mm512_permutex2var_ps(bottom0, even, bottom1),
        _mm512_permutex2var_ps(bottom0, odd, bottom1)};
}

static inline __mmask16 first(int64_t left) { return left < 16 ? (1u << left) - 1 : 0xffff; }
#endif

/* One channel of the output. */
static void read_plane(const Warp *c, const Work *m, float *out)
{
    const float *plane = m->plane, *x = m->x, *y = m->y;
    const int64_t n = c->H * c->W, pitch = c->w + 3;
    const int32_t *at = m->at;
#ifdef __AVX512F__
    for (int64_t p = 0; p < n; p += LANES) {
        const Corners v = corners(plane, pitch, at + p);
        const __m512 right = _mm512_load_ps(x + p), down = _mm512_load_ps(y + p);
        const __m512 top = _mm512_fmadd_ps(right, _mm512_sub_ps(v.b, v.a), v.a);
        const __m512 bottom = _mm512_fmadd_ps(right, _mm512_sub_ps(v.d, v.c), v.c);
        const __m512 value = _mm512_fmadd_ps(down, _mm512_sub_ps(bottom, top), top);
        _mm512_mask_storeu_ps(out + p, first(n - p), value);
    }
#else
#pragma omp simd
    for (int64_t p = 0; p < n; p++) {
        const float *v = plane + at[p];
        float top = v[0] + x[p] * (v[1] - v[0]);
        float bottom = v[pitch] + x[p] * (v[pitch + 1] - v[pitch]);
        out[p] = top + y[p] * (bottom - top);
    }
#endif
}

/* ------------------------------------------------------------------ what flows back */
/* How the loss changes with x and y of every output pixel, by one channel; added to sx, sy. */
static void slopes(const Warp *c, const Work *m, const float *grad)
{
    const float *plane = m->plane, *x = m->x, *y = m->y;
    const int64_t n = c->H * c->W, pitch = c->w + 3;
    const int32_t *at = m->at;
    float *sx = m->sx, *sy = m->sy;
#ifdef __AVX512F__
    for (int64_t p = 0; p < n; p += LANES) {
        const Corners v = corners(plane, pitch, at + p);
        const __m512 g = _mm512_maskz_loadu_ps(first(n - p), grad + p);
        const __m512 right = _mm512_load_ps(x + p), down = _mm512_load_ps(y + p);
        const __m512 top = _mm512_sub_ps(v.b, v.a), bottom = _mm512_sub_ps(v.d, v.c);
        const __m512 left = _mm512_sub_ps(v.c, v.a), across = _mm512_sub_ps(bottom, top);
        const __m512 along_x = _mm512_fmadd_ps(down, across, top);
        const __m512 along_y = _mm512_fmadd_ps(right, across, left);
        _mm512_store_ps(sx + p, _mm512_fmadd_ps(g, along_x, _mm512_load_ps(sx + p)));
        _mm512_store_ps(sy + p, _mm512_fmadd_ps(g, along_y, _mm512_load_ps(sy + p)));
    }
#else
#pragma omp simd
    for (int64_t p = 0; p < n; p++) {
        const float *v = plane + at[p];
        float top = v[1] - v[0], across = v[pitch + 1] - v[pitch] - top;
        sx[p] += grad[p] * (top + y[p] * across);
        sy[p] += grad[p] * (v[pitch] - v[0] + x[p] * across);
    }
#endif
}

/* One block of the sums below. `kind` is written out where this is called: the compiler makes one
 * loop for each. Slopes are left in normalised units. Where a coordinate was clamped, nothing. */
static inline __attribute__((always_inline)) void
sum_block(const Warp *c, int kind, const float *t, const Work *m, int64_t from, int64_t to,
          double *total)
{
    const float *X = c->scratch, *Y = X + pixels(c), *x = m->x, *y = m->y;
    const float kx = span(c->w, c->align_corners), ky = span(c->h, c->align_corners);
    const float mx = middle(c->w), my = middle(c->h), right = c->w + 1, bottom = c->h + 1;
    const float ux = unit(c->W, c->align_corners), uy = unit(c->H, c->align_corners);
    const float w0 = kind == HOMOGRAPHY ? ux * t[6] : 0, w1 = kind == HOMOGRAPHY ? uy * t[7] : 0;
    float *sx = m->sx, *sy = m->sy;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0, s8 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3, s4, s5, s6, s7, s8)
    for (int64_t p = from; p < to; p++) {
        const int in_x = (x[p] >= 0) & (x[p] <= right), in_y = (y[p] >= 0) & (y[p] <= bottom);
        float gx = in_x ? sx[p] : 0, gy = in_y ? sy[p] : 0;
        if (kind == HOMOGRAPHY) {
            const float scale = 1 / (w0 * X[p] + (w1 * Y[p] + t[8]));
            gx *= scale, gy *= scale;
            const float gw = -(gx * (in_x ? x[p] - mx : 0) + gy * (in_y ? y[p] - my : 0));
            s6 += gw * X[p], s7 += gw * Y[p], s8 += gw;
        }
        gx *= kx, gy *= ky;
        if (kind == SPLINE) {
            sx[p] = gx, sy[p] = gy;
        } else {
            s0 += gx * X[p], s1 += gx * Y[p], s2 += gx;
            s3 += gy * X[p], s4 += gy * Y[p], s5 += gy;
        }
    }
    const float block[9] = {ux * s0, uy * s1, s2, ux * s3, uy * s4, s5, ux * s6, uy * s7, s8};
    for (int i = 0; i < 3 * kind; i++) total[i] += block[i];
}

/* The slopes of one image, summed to its gradient: six sums for an affine, nine, or 2 K.
 * Blocks are summed in float32, then in float64. */
static void sum_transform(const Warp *c, int64_t b, Work *m)
{
    const int64_t n = c->H * c->W, size = c->kind == SPLINE ? 2 * c->K : 3 * c->kind;
    const float *t = c->transform + size * b;
    float *out = c->grad_transform + size * b;
    double total[9] = {0};
    place(c, b, m->x, m->y);
    for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t to = from + BLOCK < n ? from + BLOCK : n;
        if (c->kind == AFFINE) sum_block(c, AFFINE, t, m, from, to, total);
        else if (c->kind == HOMOGRAPHY) sum_block(c, HOMOGRAPHY, t, m, from, to, total);
        else sum_block(c, SPLINE, t, m, from, to, total);
    }
    for (int64_t i = 0; c->kind != SPLINE && i < size; i++) out[i] = total[i];
    const float *sx = m->sx, *sy = m->sy;
    for (int64_t k = 0; k < c->K; k++) {
        const float *basis = c->basis + k * n;
        double u = 0, v = 0;
        for (int64_t from = 0; from < n; from += BLOCK) {
            const int64_t to = from + BLOCK < n ? from + BLOCK : n;
            float su = 0, sv = 0;
#pragma omp simd reduction(+ : su, sv)
            for (int64_t p = from; p < to; p++) su += sx[p] * basis[p], sv += sy[p] * basis[p];
            u += su, v += sv;
        }
        out[2 * k] = u, out[2 * k + 1] = v;
    }
}

static void weigh(const Warp *c, Work *m)
{
    for (int64_t p = 0; p < c->H * c->W; p++) {
        const float x = m->x[p], y = m->y[p];
        m->weights[p] = (four){(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y};
    }
}

/* The gradient to one channel's pixels, and to the level around them. Each output pixel adds to
 * four neighbours: here to one place of four numbers, which is one load and one store. */
static void scatter(const Warp *c, int64_t number, const Work *m, const float *grad)
{
    const int64_t h = c->h, w = c->w, pitch = w + 3, cells = (h + 3) * pitch;
    const int32_t *at = m->at;
    const four *weights = m->weights;
    four *sums = m->sums;
    float *back = m->plane; /* its pixels are not needed any more */
    memset(sums - pitch - 1, 0, (pitch + 1 + cells) * sizeof *sums);
    for (int64_t p = 0; p < c->H * c->W; p++) sums[at[p]] += grad[p] * weights[p];
    const float *own = (float *)sums, *left = own - 4 + 1;
    const float *above = own - 4 * pitch + 2, *corner = own - 4 * (pitch + 1) + 3;
#pragma omp simd
    for (int64_t i = 0; i < cells; i++)
        back[i] = own[4 * i] + left[4 * i] + above[4 * i] + corner[4 * i];
    float *out = c->grad_images ? c->grad_images + number * h * w : 0;
    for (int64_t i = 0; out && i < h; i++)
        copy(out + i * w, back + (i + 1) * pitch + 1, w);
    double outside = 0;
    for (int64_t i = 0; i < h + 3 && (c->grad_fill || c->border); i++) {
        const int64_t row = i < 1 ? 0 : i > h ? h - 1 : i - 1;
        for (int64_t j = 0; j < pitch; j++) {
            const int64_t column = j < 1 ? 0 : j > w ? w - 1 : j - 1;
            if (i == row + 1 && j == column + 1) continue;
            outside += back[i * pitch + j];
            if (out && c->border) out[row * w + column] += back[i * pitch + j];
        }
    }
    if (c->grad_fill) c->grad_fill[number] = outside;
}

/* ------------------------------------------------------------------ the background */
/* The k-th smallest of n values (Hoare's selection); changes their order. */
static float smallest(float *v, int64_t n, int64_t k)
{
    for (int64_t low = 0, high = n - 1; low < high;) {
        const float pivot = v[(low + high) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot) i++;
            while (v[j] > pivot) j--;
            if (i <= j) {
                const float swapped = v[i];
                v[i++] = v[j], v[j--] = swapped;
            }
        }
        if (k <= j) high = j;
        else if (k >= i) low = i;
        else break;
    }
    return v[k];
}

static float pixel(const Warp *c, int64_t i)
{
    return c->uint8 ? ((const uint8_t *)c->images)[i] / 255.0f : ((const float *)c->images)[i];
}

/* The lower median of each plane's one-pixel border (of all of it, if it is less than 3 wide),
 * into out; NaN if there is one. The scratch must hold h * w floats. */
void warp_background(const Warp *c)
{
    const int64_t h = c->h, w = c->w, step = h < 3 || w < 3 ? 1 : w - 1;
    float *v = c->scratch;
    for (int64_t number = 0; number < c->batch * c->channels; number++) {
        int64_t n = 0, most = 0, invalid = 0;
        for (int64_t i = 0; i < h; i++)
            for (int64_t j = 0; j < w; j += i == 0 || i == h - 1 ? 1 : step)
                v[n++] = pixel(c, (number * h + i) * w + j);
        for (int64_t i = 0; i < n; i++) most += v[i] == v[0], invalid += v[i] != v[i];
        /* Most pictures have one level there: what more than half agree on is the median. */
        c->out[number] = invalid ? NAN : 2 * most > n ? v[0] : smallest(v, n, (n - 1) / 2);
    }
}

/* ------------------------------------------------------------------ the doors */
/* 1 if a transform is not finite, too large to calculate with, or has a horizon in sight. */
static int refused(const Warp *c)
{
    const int64_t size = c->kind == SPLINE ? 2 * c->K : 3 * c->kind;
    for (int64_t i = 0; i < c->batch * size; i++)
        if (!(fabsf(c->transform[i]) < 1e30f)) return 1;
    for (int64_t b = 0; c->kind == HOMOGRAPHY && b < c->batch; b++) {
        const float *t = c->transform + 9 * b;
        int ahead = 0, behind = 0;
        for (int corner = 0; corner < 4; corner++) {
            float X = centre(corner & 1 ? c->W - 1 : 0, c->W, c->align_corners);
            float Y = centre(corner & 2 ? c->H - 1 : 0, c->H, c->align_corners);
            float w = t[6] * X + (t[7] * Y + t[8]);
            ahead += w > 0, behind += w < 0;
        }
        if (ahead < 4 && behind < 4) return 1;
    }
    return 0;
}

int warp_forward(const Warp *c)
{
    if (refused(c)) return 1;
    centres(c);
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (int64_t b = 0; b < c->batch; b++) {
        Work m = work_of(c, omp_get_thread_num());
        place(c, b, m.x, m.y);
        split(c, &m);
        for (int64_t i = b * c->channels; i < (b + 1) * c->channels; i++) {
            pad(c, i, m.plane);
            read_plane(c, &m, c->out + i * c->H * c->W);
        }
    }
    return 0;
}

int warp_backward(const Warp *c)
{
    if (refused(c)) return 1;
    centres(c);
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (int64_t b = 0; b < c->batch; b++) {
        Work m = work_of(c, omp_get_thread_num());
        place(c, b, m.x, m.y);
        split(c, &m);
        if (c->grad_images || c->grad_fill) weigh(c, &m);
        memset(m.sx, 0, 2 * pixels(c) * sizeof *m.sx); /* sx and sy */
        for (int64_t i = b * c->channels; i < (b + 1) * c->channels; i++) {
            const float *grad = c->grad + i * c->H * c->W;
            if (c->grad_transform) pad(c, i, m.plane), slopes(c, &m, grad);
            if (c->grad_images || c->grad_fill) scatter(c, i, &m, grad);
        }
        if (c->grad_transform) sum_transform(c, b, &m);
    }
    return 0;
}
