/* The warp on the processor: coordinates, bilinear reading and all gradients, piece by piece.
 *
 * `compiler.py` compiles this with the machine's own compiler, `cpu.py` calls it. Plain C without
 * any header of torch's, so that it takes less than a second.
 *
 * A piece of the output is all of a small image, or a tile of a large one, and it reads a window
 * of the input. A plane of h x w is thought of as lying in the middle of (h+3) x (w+3), with what
 * lies outside around it (one more row and column before, two behind). In there everything
 * further out looks like the rim, so coordinates are clamped and nothing else needs an `if`. A
 * window inside a large image is read where it is; any other is copied first, with its rim.
 *
 * Small images of many channels are read by stripes, as many channels at once as a vector has
 * lanes. The numbers read are those of one channel at a time, to the bit.
 *
 * Threads share the pieces, also those of one image. What is added is added in an order that the
 * sizes alone decide: results do not depend on the number of threads.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif
#if defined __AVX512F__ && !defined __clang__
#pragma GCC target("prefer-vector-width=512")
#endif
#ifdef _OPENMP
int omp_get_thread_num(void);
#else
static int omp_get_thread_num(void) { return 0; }
#endif

enum { AFFINE = 2, HOMOGRAPHY = 3, SPLINE = 0, GRID = 1 }; /* rows of theta, and what has none */
enum { LANES = 16, BLOCK = 256 };                /* floats of a line; of a float32 sum */
enum { TILE = 4096, TILE_COLUMNS = 64 };         /* pixels of a tile; of a row of it, at most */
enum { WINDOW = 1 << 16, CHUNKS = 64 };          /* pixels copied for a tile; sums of an image */
enum { STRIPE = 1 << 14 };                       /* pixels of a stripe, at most */
typedef float four __attribute__((vector_size(16)));

typedef struct {
    int64_t batch, channels, h, w, H, W; /* input h x w, output H x W */
    int64_t kind, K, uint8, border, align_corners, threads;
    int64_t pictures;            /* of the input, of which `batch` transforms read one each */
    int64_t mirror;              /* places outside are mirrored at the edges; border is set, too */
    int64_t whole;               /* images of more pixels, in or out, are cut into tiles */
    int64_t bytes;               /* `out` is uint8: 255 times what is read, rounded */
    const void *images;          /* [pictures, C, h, w], float or uint8 (k is read as k / 255) */
    const float *transform;      /* [B, 2, 3], [B, 3, 3], [B, K, 2], or a grid [B, H, W, 2] */
    const int64_t *index;        /* [B] which picture each reads; NULL: its own */
    const int64_t *order;        /* [B] transforms by picture, backward only ... */
    const int64_t *starts;       /* [pictures + 1] ... and where those of each picture begin */
    const float *basis;          /* [K, H*W], splines only */
    const float *fill;           /* [pictures, C], or NULL for zeros and border */
    const float *grad;           /* [B, C, H, W], backward only */
    void *out;                   /* [B, C, H, W], forward only */
    float *grad_images;          /* like images, or NULL */
    float *grad_transform;       /* like transform, or NULL */
    float *grad_fill;            /* [B, C], for each transform, or NULL */
    float *scratch;              /* scratch_floats() of them, aligned to 64 bytes */
} Warp;

/* ------------------------------------------------------------------ vectors */
#ifdef __AVX512F__
#define VECTOR 16
#elif defined __AVX2__
#define VECTOR 8
#else
#define VECTOR 4
#endif
typedef float vec __attribute__((vector_size(4 * VECTOR)));
typedef float loose __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));

static inline vec load(const float *from, int64_t n) /* n or more of them, or zeros behind */
{
    if (n >= VECTOR) return *(const loose *)from;
#ifdef __AVX512F__
    return _mm512_maskz_loadu_ps((1u << n) - 1, from);
#endif
    vec v = {0};
    for (int64_t i = 0; i < n; i++) v[i] = from[i];
    return v;
}

static inline void store(float *to, vec v, int64_t n)
{
    if (n >= VECTOR) {
        *(loose *)to = v;
        return;
    }
#ifdef __AVX512F__
    _mm512_mask_storeu_ps(to, (1u << n) - 1, v);
#else
    for (int64_t i = 0; i < n; i++) to[i] = v[i];
#endif
}

/* The lanes of two vectors in turns: of their lower halves, and of their upper. */
#if VECTOR == 16
#define LOWER 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VECTOR == 8
#define LOWER 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOWER 0, 4, 1, 5
#define UPPER 2, 6, 3, 7
#endif
#ifdef __clang__
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t lanes __attribute__((vector_size(4 * VECTOR)));
#define MIX(a, b, ...) __builtin_shuffle(a, b, (lanes){__VA_ARGS__})
#endif

/* v[i][j] becomes v[j][i]: mixing all vectors log2(VECTOR) times. */
static inline __attribute__((always_inline)) void turn(vec *v)
{
    for (int n = 1; n < VECTOR; n *= 2) {
        vec mixed[VECTOR];
        for (int i = 0; i < VECTOR / 2; i++) {
            mixed[2 * i] = MIX(v[i], v[i + VECTOR / 2], LOWER);
            mixed[2 * i + 1] = MIX(v[i], v[i + VECTOR / 2], UPPER);
        }
        for (int i = 0; i < VECTOR; i++) v[i] = mixed[i];
    }
}

/* The sum of the lanes of each of VECTOR vectors. */
static inline __attribute__((always_inline)) vec sums_of(vec *v)
{
    for (int n = VECTOR / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            v[i] = MIX(v[i], v[i + n], LOWER) + MIX(v[i], v[i + n], UPPER);
    return v[0];
}

/* A piece of the output: a tile, or all of an image as one long row. */
typedef struct {
    int64_t row, column, rows, columns;
    int64_t pitch; /* from row to row in the arrays of Work */
} Piece;

/* The part of the padded plane that a piece reads. */
typedef struct {
    int64_t top, left, rows, columns;
    int64_t pitch;  /* from row to row where it is read ... */
    int64_t direct; /* ... which is the image itself, or else a copy */
} Window;

/* One thread's piece, and its working memory. */
typedef struct {
    Piece piece;
    Window window;
    float *X, *Y;      /* [n] the output's pixels counted from its middle: halves and wholes, so
                          exact: an identity reads every pixel exactly where it is */
    float *x, *y;      /* [n] where each reads, in pixels of the padded plane ... */
    int32_t *at;       /* [n] ... split into the pixel up and left of it; x, y keep the rest */
    float *sx, *sy;    /* [n] slopes of the loss along x and y */
    four *weights;     /* [n] how much of each of the four neighbours is read */
    float *plane;      /* one channel of the window */
    vec *stripe;       /* VECTOR channels of it, those of a pixel side by side ... */
    vec *back;         /* ... and what flows back to them */
    four *sums;        /* what flows back to a pixel of the window and its three neighbours;
                          before it, zeros for the neighbours of the first row */
    double *total;     /* the gradient to one image's transform, and to its fill */
    int64_t from, to;  /* the rows of the input to which this thread adds; none: from = to */
    float *into;       /* the picture [C, h, w] whose rows they are */
} Work;

/* ------------------------------------------------------------------ pieces, and their memory */
static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t within(int64_t a, int64_t low, int64_t high)
{
    return a < low ? low : lesser(a, high);
}
static int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }
static int64_t rounded(int64_t n) { return parts(n, LANES) * LANES; }

static int tiled(const Warp *c)
{
    return (c->h + 3) * (c->w + 3) > c->whole || c->H * c->W > c->whole;
}
static int64_t tile_columns(const Warp *c) { return lesser(c->W, TILE_COLUMNS); }
static int64_t tile_rows(const Warp *c) { return TILE / rounded(tile_columns(c)); }
static int64_t pieces(const Warp *c)
{
    return tiled(c) ? parts(c->H, tile_rows(c)) * parts(c->W, tile_columns(c)) : 1;
}

static Piece piece_of(const Warp *c, int64_t number)
{
    if (!tiled(c)) return (Piece){0, 0, 1, c->H * c->W, rounded(c->H * c->W)};
    const int64_t across = parts(c->W, tile_columns(c));
    const int64_t row = number / across * tile_rows(c);
    const int64_t column = number % across * tile_columns(c);
    const int64_t columns = lesser(tile_columns(c), c->W - column);
    return (Piece){row, column, lesser(tile_rows(c), c->H - row), columns, rounded(columns)};
}

static int64_t points(const Warp *c) { return tiled(c) ? TILE : rounded(c->H * c->W); }
static int64_t cells(const Warp *c)
{
    return tiled(c) ? WINDOW : rounded((c->h + 3) * (c->w + 3));
}
static int64_t margin(const Warp *c) { return rounded(tiled(c) ? WINDOW / 2 + 1 : c->w + 4); }
/* The numbers of one transform; how many of them are sums over the output when flowing back. */
static int64_t unknowns(const Warp *c)
{
    if (c->kind == GRID) return 2 * c->H * c->W;
    return c->kind == SPLINE ? 2 * c->K : 3 * c->kind;
}
static int64_t summed(const Warp *c) { return c->kind == GRID ? 0 : unknowns(c); }
static int64_t totals(const Warp *c) { return summed(c) + c->channels; }
static int64_t picture(const Warp *c, int64_t b) { return c->index ? c->index[b] : b; }
static int64_t chunks(const Warp *c) { return lesser(pieces(c), CHUNKS); }
static int64_t shared(const Warp *c) /* X and Y of a whole image, or the sums of all chunks */
{
    if (!tiled(c)) return 2 * points(c);
    return c->grad ? rounded(2 * c->batch * chunks(c) * totals(c)) : 0;
}
/* What flows back to one picture by one of its transforms: added to the others' when it is whole,
 * so that the sum has the bits of a sum over copies of the picture. */
static int64_t spare(const Warp *c)
{
    return tiled(c) && c->index && c->grad_images ? rounded(c->channels * c->h * c->w) : 0;
}
/* Whether VECTOR channels are read at once, as often as there are so many of them. */
static int striped(const Warp *c)
{
    return !tiled(c) && !c->uint8 && !c->bytes && c->channels >= VECTOR && cells(c) <= STRIPE &&
           points(c) <= STRIPE;
}
static int64_t stripes(const Warp *c)
{
    return striped(c) ? VECTOR * cells(c) * (c->grad ? 2 : 1) : 0;
}
static int64_t one_thread(const Warp *c)
{
    const int64_t own = tiled(c) ? 2 * points(c) : rounded(2 * totals(c));
    return stripes(c) + spare(c) + own + 9 * points(c) + 5 * cells(c) + 4 * margin(c);
}
int64_t warp_pieces(const Warp *c) { return c->batch * pieces(c); }
int64_t scratch_floats(const Warp *c) { return shared(c) + c->threads * one_thread(c); }

static Work work_of(const Warp *c, int64_t thread)
{
    const int64_t n = points(c);
    float *end = c->scratch + shared(c) + (thread + 1) * one_thread(c);
    float *plane = end - 5 * cells(c) - 4 * margin(c), *a = plane - 9 * n;
    vec *stripe = (vec *)(end - one_thread(c));
    float *first = (float *)stripe + stripes(c) + spare(c), *X = tiled(c) ? first : c->scratch;
    return (Work){
        .stripe = stripe, .back = stripe + cells(c),
        .X = X, .Y = X + n, .x = a, .y = a + n, .at = (int32_t *)(a + 2 * n), .sx = a + 3 * n,
        .sy = a + 4 * n, .weights = (four *)(a + 5 * n), .plane = plane,
        .sums = (four *)(plane + cells(c)) + margin(c), .total = (double *)first,
        .into = first - spare(c)};
}

/* ------------------------------------------------------------------ where to read */
static float centre(int64_t i, int64_t n, int64_t align_corners)
{
    if (align_corners) return i * (2.0f / (n > 1 ? n - 1 : 1)) - (n > 1);
    return (2 * i + 1) / (float)n - 1;
}

/* X and Y of output pixels row by row; behind a row's end its last pixel again. */
static void centres(const Warp *c, Piece t, float *X, float *Y)
{
    const float mx = (c->W - 1) / 2.0f, my = (c->H - 1) / 2.0f;
    for (int64_t i = 0; i < t.rows; i++) {
        float *to = X + i * t.pitch, *down = Y + i * t.pitch;
        const float left = t.column - mx, y = t.row + i - my;
#pragma omp simd
        for (int32_t j = 0; j < (int32_t)t.columns; j++) to[j] = left + j, down[j] = y;
        for (int64_t j = t.columns; j < t.pitch; j++) to[j] = to[t.columns - 1], down[j] = y;
    }
}

/* Of a whole image, once for all; zeros in the rest of its last line. */
static void all_centres(const Warp *c)
{
    float *X = c->scratch, *Y = X + points(c);
    memset(X, 0, 2 * points(c) * sizeof *X);
    centres(c, (Piece){0, 0, c->H, c->W, c->W}, X, Y);
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

/* A spline's offsets alone, into x and y: they are small, and so is the rounding of their sum. */
static void place_offsets(const Warp *c, int64_t b, Work *m)
{
    const Piece t = m->piece;
    const float *offsets = c->transform + 2 * c->K * b;
    const float kx = span(c->w, c->align_corners), ky = span(c->h, c->align_corners);
    memset(m->x, 0, t.rows * t.pitch * sizeof *m->x);
    memset(m->y, 0, t.rows * t.pitch * sizeof *m->y);
    for (int64_t i = 0; i < t.rows; i++)
        for (int64_t from = 0; from < t.columns; from += BLOCK) {
            const int64_t n = lesser(t.columns - from, BLOCK);
            float *x = m->x + i * t.pitch + from, *y = m->y + i * t.pitch + from;
            for (int64_t k = 0; k < c->K; k++) {
                const float u = kx * offsets[2 * k], v = ky * offsets[2 * k + 1];
                const float *basis = c->basis + (k * c->H + t.row + i) * c->W + t.column + from;
#pragma omp simd
                for (int64_t p = 0; p < n; p++) x[p] += u * basis[p], y[p] += v * basis[p];
            }
        }
}

/* Places that the caller gives; behind a row's end its last one again. */
static void place_grid(const Warp *c, int64_t b, Work *m)
{
    const Piece t = m->piece;
    const float kx = span(c->w, c->align_corners), ky = span(c->h, c->align_corners);
    const float mx = middle(c->w), my = middle(c->h);
    for (int64_t i = 0; i < t.rows; i++) {
        const float *from = c->transform + 2 * ((b * c->H + t.row + i) * c->W + t.column);
        float *x = m->x + i * t.pitch, *y = m->y + i * t.pitch;
#pragma omp simd
        for (int64_t p = 0; p < t.columns; p++)
            x[p] = kx * from[2 * p] + mx, y[p] = ky * from[2 * p + 1] + my;
        for (int64_t p = t.columns; p < t.pitch; p++) x[p] = x[p - 1], y[p] = y[p - 1];
    }
}

/* Places along one axis of the padded plane mirrored at its n pixels' edges, or at the centres of
 * the outermost, until they lie inside. Slopes `s`, if any, become those along the way there. */
static void mirror(float *x, float *s, int64_t count, int64_t n, int64_t align)
{
    const float first = align ? 1 : 0.5f, across = align ? n - 1 : n;
    for (int64_t p = 0; p < count; p++) {
        float away = fabsf(x[p] - first), turn = x[p] < first ? -1 : 1;
        if (away >= 2 * across) away = across > 0 && away < 1e38f ? fmodf(away, 2 * across) : 0;
        if (!(away > 0)) away = 0; /* NaN: infinity has no place */
        if (away > across) away = 2 * across - away, turn = -turn;
        const float in = away + first, to = in < 1 ? 1 : in > n ? n : in;
        if (s) s[p] *= in == to && across > 0 ? turn : 0;
        else x[p] = to;
    }
}

static void place(const Warp *c, int64_t b, Work *m)
{
    const int64_t n = m->piece.rows * m->piece.pitch, align = c->align_corners;
    const float *X = m->X, *Y = m->Y;
    float *x = m->x, *y = m->y;
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
    } else if (c->kind == GRID) {
        place_grid(c, b, m);
    } else {
        place_offsets(c, b, m);
#pragma omp simd
        for (int64_t p = 0; p < n; p++) x[p] += xx * X[p] + mx, y[p] += yy * Y[p] + my;
    }
}

/* The window that a tile reads; `copied`: it shall not be the image itself. */
static Window window_of(const Warp *c, const Work *m, int copied)
{
    const float right = c->w + 1, bottom = c->h + 1, *x = m->x, *y = m->y;
    int32_t left = c->w + 1, top = c->h + 1, last = 0, lowest = 0;
#pragma omp simd reduction(min : left, top) reduction(max : last, lowest)
    for (int64_t p = 0; p < m->piece.rows * m->piece.pitch; p++) {
        float u = x[p] > 0 ? x[p] : 0, v = y[p] > 0 ? y[p] : 0;
        u = u < right ? u : right, v = v < bottom ? v : bottom;
        const int32_t column = (int32_t)u, row = (int32_t)v;
        left = column < left ? column : left, last = column > last ? column : last;
        top = row < top ? row : top, lowest = row > lowest ? row : lowest;
    }
    Window a = {top, left, lowest - top + 2, last - left + 2, last - left + 2, 0};
    if (!copied && !c->uint8 && top && left && lowest < c->h && last < c->w)
        a.pitch = c->w, a.direct = 1;
    return a;
}

/* x, y into the pixel up and left of them and the rest in [0, 1). Positive: (int) is floor. */
static void split(const Warp *c, Work *m)
{
    const int64_t n = m->piece.rows * m->piece.pitch;
    const float right = c->w + 1, bottom = c->h + 1;
    const int32_t pitch = m->window.pitch, top = m->window.top, left = m->window.left;
    float *x = m->x, *y = m->y;
    int32_t *at = m->at;
#pragma omp simd
    for (int64_t p = 0; p < n; p++) {
        float u = x[p] > 0 ? x[p] : 0, v = y[p] > 0 ? y[p] : 0;
        u = u < right ? u : right, v = v < bottom ? v : bottom;
        int32_t column = (int32_t)u, row = (int32_t)v;
        x[p] = u - column, y[p] = v - row;
        at[p] = (row - top) * pitch + (column - left);
    }
}

/* Do something with a piece once it is known what it reads; with each half if that is too much. */
typedef void Act(const Warp *c, int64_t b, Work *m);

static void visit(const Warp *c, int64_t b, Piece t, Work *m, Act *act)
{
    m->piece = t;
    if (tiled(c)) centres(c, t, m->X, m->Y);
    place(c, b, m);
    if (c->mirror) {
        mirror(m->x, 0, t.rows * t.pitch, c->w, c->align_corners);
        mirror(m->y, 0, t.rows * t.pitch, c->h, c->align_corners);
    }
    m->window = (Window){0, 0, c->h + 3, c->w + 3, c->w + 3, 0};
    if (tiled(c)) {
        const Window a = m->window = window_of(c, m, m->to > m->from);
        const int64_t top = within(a.top - 1, 0, c->h - 1);
        const int64_t last = within(a.top + a.rows - 2, 0, c->h - 1);
        if (m->to > m->from && (last < m->from || top >= m->to)) return; /* other threads' rows */
        if (a.rows > (a.direct ? INT32_MAX : WINDOW) / a.pitch) {
            Piece one = t, two = t;
            if (t.rows > t.columns)
                one.rows /= 2, two.rows -= one.rows, two.row += one.rows;
            else
                one.columns /= 2, two.columns -= one.columns, two.column += one.columns;
            one.pitch = rounded(one.columns), two.pitch = rounded(two.columns);
            visit(c, b, one, m, act);
            visit(c, b, two, m, act);
            return;
        }
    }
    split(c, m);
    act(c, b, m);
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

static float pixel(const Warp *c, int64_t i)
{
    return c->uint8 ? ((const uint8_t *)c->images)[i] / 255.0f : ((const float *)c->images)[i];
}

/* How many columns of the window lie before the image, and how many in it. */
static int64_t before(const Window *a) { return a->left > 0 ? 0 : lesser(1, a->columns); }
static int64_t inside(const Warp *c, const Window *a)
{
    const int64_t n = lesser(a->left + a->columns, c->w + 1) - (a->left > 0 ? a->left : 1);
    return n > 0 ? n : 0;
}

/* One channel of the window, with what lies outside. */
static void pad(const Warp *c, int64_t number, const Window *a, float *plane)
{
    const float level = c->fill ? c->fill[number] : 0;
    const int64_t lead = before(a), n = inside(c, a), skipped = a->left + lead - 1;
    for (int64_t i = 0; i < a->rows; i++) {
        float *to = plane + i * a->pitch;
        const int64_t row = a->top + i - 1, from = within(row, 0, c->h - 1);
        if (!c->border && row != from) {
            for (int64_t j = 0; j < a->columns; j++) to[j] = level;
            continue;
        }
        const int64_t start = (number * c->h + from) * c->w;
        if (c->uint8) {
            const uint8_t *source = (const uint8_t *)c->images + start + skipped;
            for (int64_t j = 0; j < n; j++) to[lead + j] = source[j] / 255.0f;
        } else {
            copy(to + lead, (const float *)c->images + start + skipped, n);
        }
        if (lead) to[0] = c->border ? pixel(c, start) : level;
        const float right = c->border ? pixel(c, start + c->w - 1) : level;
        for (int64_t j = lead + n; j < a->columns; j++) to[j] = right;
    }
}

/* One channel of what transform b reads. */
static const float *plane_of(const Warp *c, int64_t b, int64_t channel, const Work *m)
{
    const Window *a = &m->window;
    const int64_t number = picture(c, b) * c->channels + channel;
    if (a->direct) {
        const int64_t start = (number * c->h + a->top - 1) * c->w + a->left - 1;
        const float *first = (const float *)c->images + start;
        /* Rows too short for the processor to guess; of a much shrunk image most is not read. */
        const int64_t lines = a->rows * parts(a->columns, LANES);
        const int64_t fetched = 2 * lines <= m->piece.rows * m->piece.columns ? a->rows : 0;
        for (int64_t i = 0; i < fetched; i++)
            for (int64_t j = 0; j < a->columns; j += LANES)
                __builtin_prefetch(first + i * c->w + j);
        return first;
    }
    pad(c, number, a, m->plane);
    return m->plane;
}

/* The four neighbours of as many pixels as a vector holds. */
typedef struct { vec a, b, c, d; } Corners;

#ifdef __AVX512F__
/* Two neighbours are one load of 64 bits: the four corners of 16 pixels in four gathers. */
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
#elif defined __AVX2__
/* Two neighbours are one load of 64 bits; eight such loads are faster than two gathers. */
static inline __m256 pairs(const float *p, const int32_t *at, int i, int j, int k, int l)
{
    const __m128 none = _mm_setzero_ps();
    const __m128 a = _mm_loadh_pi(_mm_loadl_pi(none, (const __m64 *)(p + at[i])),
                                  (const __m64 *)(p + at[j]));
    const __m128 b = _mm_loadh_pi(_mm_loadl_pi(none, (const __m64 *)(p + at[k])),
                                  (const __m64 *)(p + at[l]));
    return _mm256_insertf128_ps(_mm256_castps128_ps256(a), b, 1);
}

static inline Corners corners(const float *plane, int64_t pitch, const int32_t *at)
{
    const float *below = plane + pitch;
    const __m256 top0 = pairs(plane, at, 0, 1, 4, 5), top1 = pairs(plane, at, 2, 3, 6, 7);
    const __m256 bottom0 = pairs(below, at, 0, 1, 4, 5), bottom1 = pairs(below, at, 2, 3, 6, 7);
    return (Corners){
        _mm256_shuffle_ps(top0, top1, 0x88), _mm256_shuffle_ps(top0, top1, 0xdd),
        _mm256_shuffle_ps(bottom0, bottom1, 0x88), _mm256_shuffle_ps(bottom0, bottom1, 0xdd)};
}
#else
static inline Corners corners(const float *plane, int64_t pitch, const int32_t *at)
{
    Corners v;
    for (int i = 0; i < VECTOR; i++) {
        const float *p = plane + at[i];
        v.a[i] = p[0], v.b[i] = p[1], v.c[i] = p[pitch], v.d[i] = p[pitch + 1];
    }
    return v;
}
#endif

/* One channel of a piece; `to` is its first pixel, `pitch` how far its rows are apart there. */
static void read_plane(const Work *m, const float *plane, float *to, int64_t pitch)
{
    const Piece t = m->piece;
    for (int64_t i = 0; i < t.rows; i++) {
        const float *x = m->x + i * t.pitch, *y = m->y + i * t.pitch;
        for (int64_t p = 0; p < t.columns; p += VECTOR) {
            const Corners v = corners(plane, m->window.pitch, m->at + i * t.pitch + p);
            const vec right = load(x + p, VECTOR), down = load(y + p, VECTOR);
            const vec top = v.a + right * (v.b - v.a), bottom = v.c + right * (v.d - v.c);
            store(to + i * pitch + p, top + down * (bottom - top), t.columns - p);
        }
    }
}

static void round_to_bytes(const float *from, uint8_t *to, int64_t n)
{
#pragma omp simd
    for (int64_t p = 0; p < n; p++) {
        float v = from[p] * 255 + 0.5f;
        v = v > 0 ? v : 0;
        to[p] = (int32_t)(v < 255 ? v : 255);
    }
}

/* ------------------------------------------------------------------ many channels at once */
/* Images of many channels are small, and every channel is read at the same places. So VECTOR
 * channels are turned until those of a pixel lie side by side: a neighbour is then one load. */

/* The cell of the padded plane that an image's pixel lies in; from row to row there are 3 more. */
static int64_t cell_of(const Warp *c, int64_t row) { return (row + 1) * (c->w + 3) + 1; }

static inline vec in_all_lanes(float v) { return v - (vec){0}; }

/* VECTOR pixels of as many channels, `apart` from each other, those of a pixel side by side; and
 * back. `n` of the pixels are there. */
static inline __attribute__((always_inline)) void
take(vec *v, const float *from, int64_t apart, int64_t n)
{
    for (int j = 0; j < VECTOR; j++) v[j] = load(from + j * apart, n);
    turn(v);
}
static inline __attribute__((always_inline)) void
give(vec *v, float *to, int64_t apart, int64_t n)
{
    turn(v);
    for (int j = 0; j < VECTOR; j++) store(to + j * apart, v[j], n);
}

/* What lies around the image, in a stripe that has the image in it. */
static void pad_stripe(const Warp *c, int64_t number, vec *stripe)
{
    const int64_t h = c->h, w = c->w, pitch = w + 3;
    const vec level = c->fill ? load(c->fill + number, VECTOR) : (vec){0};
    for (int64_t i = 0; i < h; i++) {
        vec *row = stripe + cell_of(c, i);
        row[-1] = c->border ? row[0] : level;
        row[w] = row[w + 1] = c->border ? row[w - 1] : level;
    }
    for (int64_t j = 0; j < pitch; j++) {
        const vec *last = stripe + h * pitch;
        const vec above = c->border ? stripe[pitch + j] : level, below = c->border ? last[j] : level;
        stripe[j] = above, stripe[(h + 1) * pitch + j] = stripe[(h + 2) * pitch + j] = below;
    }
}

/* VECTOR channels of what transform b reads, from `channel` on, with what lies outside. */
static void fill_stripe(const Warp *c, int64_t b, int64_t channel, vec *stripe)
{
    const int64_t n = c->h * c->w, number = picture(c, b) * c->channels + channel;
    const float *from = (const float *)c->images + number * n;
    int64_t column = 0;
    vec *to = stripe + cell_of(c, 0);
    for (int64_t p = 0; p < n; p += VECTOR) {
        vec v[VECTOR];
        take(v, from + p, n, n - p);
        for (int64_t i = 0; i < lesser(VECTOR, n - p); i++) {
            *to++ = v[i];
            if (++column == c->w) column = 0, to += 3;
        }
    }
    pad_stripe(c, number, stripe);
}

static void read_stripe(const Warp *c, int64_t b, int64_t channel, const Work *m)
{
    const int64_t n = c->H * c->W, pitch = c->w + 3;
    float *out = (float *)c->out + (b * c->channels + channel) * n;
    fill_stripe(c, b, channel, m->stripe);
    for (int64_t p = 0; p < n; p += VECTOR) {
        vec v[VECTOR];
        /* Where small, the next stripe of the output is asked for while this one is written. */
        for (int i = 0; i < VECTOR && n <= BLOCK; i++)
            __builtin_prefetch(out + (n + p + i) * VECTOR, 1);
        for (int i = 0; i < VECTOR; i++) { /* there is room behind the last */
            const vec *s = m->stripe + m->at[p + i], right = in_all_lanes(m->x[p + i]);
            const vec top = s[0] + right * (s[1] - s[0]);
            const vec bottom = s[pitch] + right * (s[pitch + 1] - s[pitch]);
            v[i] = top + in_all_lanes(m->y[p + i]) * (bottom - top);
        }
        give(v, out + p, n, n - p);
    }
}

static void read_piece(const Warp *c, int64_t b, Work *m)
{
    const Piece t = m->piece;
    int64_t i = 0;
    for (; striped(c) && i + VECTOR <= c->channels; i += VECTOR) read_stripe(c, b, i, m);
    for (; i < c->channels; i++) {
        const int64_t start = ((b * c->channels + i) * c->H + t.row) * c->W + t.column;
        const float *plane = plane_of(c, b, i, m);
        if (!c->bytes) {
            read_plane(m, plane, (float *)c->out + start, c->W);
            continue;
        }
        read_plane(m, plane, m->sx, t.pitch);
        for (int64_t row = 0; row < t.rows; row++)
            round_to_bytes(m->sx + row * t.pitch, (uint8_t *)c->out + start + row * c->W, t.columns);
    }
}

/* ------------------------------------------------------------------ what flows back */
/* How the loss changes with x and y of every output pixel, by one channel; added to sx, sy. */
static void slopes(const Warp *c, const Work *m, const float *plane, const float *grad)
{
    const Piece t = m->piece;
    for (int64_t i = 0; i < t.rows; i++) {
        const float *x = m->x + i * t.pitch, *y = m->y + i * t.pitch;
        float *sx = m->sx + i * t.pitch, *sy = m->sy + i * t.pitch;
        for (int64_t p = 0; p < t.columns; p += VECTOR) {
            const Corners v = corners(plane, m->window.pitch, m->at + i * t.pitch + p);
            const vec g = load(grad + i * c->W + p, t.columns - p);
            const vec right = load(x + p, VECTOR), down = load(y + p, VECTOR);
            const vec top = v.b - v.a, across = v.d - v.c - top;
            store(sx + p, load(sx + p, VECTOR) + g * (top + down * across), VECTOR);
            store(sy + p, load(sy + p, VECTOR) + g * (v.c - v.a + right * across), VECTOR);
        }
    }
}

/* One block of the sums below. `kind` is written out where this is called: the compiler makes one
 * loop for each. Slopes are left in normalised units. Where a coordinate was clamped, nothing. */
static inline __attribute__((always_inline)) void
sum_block(const Warp *c, int kind, const float *t, const Work *m, int64_t from, int64_t to)
{
    const float *X = m->X, *Y = m->Y, *x = m->x, *y = m->y;
    const float kx = span(c->w, c->align_corners), ky = span(c->h, c->align_corners);
    const float mx = middle(c->w), my = middle(c->h), low = c->mirror ? -INFINITY : 0;
    const float right = c->mirror ? INFINITY : c->w + 1, bottom = c->mirror ? INFINITY : c->h + 1;
    const float ux = unit(c->W, c->align_corners), uy = unit(c->H, c->align_corners);
    const float w0 = kind == HOMOGRAPHY ? ux * t[6] : 0, w1 = kind == HOMOGRAPHY ? uy * t[7] : 0;
    float *sx = m->sx, *sy = m->sy;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0, s8 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3, s4, s5, s6, s7, s8)
    for (int64_t p = from; p < to; p++) {
        const int in_x = (x[p] >= low) & (x[p] <= right), in_y = (y[p] >= low) & (y[p] <= bottom);
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
    for (int i = 0; i < 3 * kind; i++) m->total[i] += block[i];
}

/* A spline's 2 K sums over one row of a piece: its slopes with each of the basis functions. */
static void sum_offsets(const Warp *c, const Work *m, int64_t row)
{
    const Piece t = m->piece;
    const float *sx = m->sx + row * t.pitch, *sy = m->sy + row * t.pitch;
    for (int64_t k = 0; k < c->K; k++) {
        const float *basis = c->basis + (k * c->H + t.row + row) * c->W + t.column;
        double u = 0, v = 0;
        for (int64_t from = 0; from < t.columns; from += BLOCK) {
            const int64_t to = lesser(from + BLOCK, t.columns);
            float su = 0, sv = 0;
#pragma omp simd reduction(+ : su, sv)
            for (int64_t p = from; p < to; p++) su += sx[p] * basis[p], sv += sy[p] * basis[p];
            u += su, v += sv;
        }
        m->total[2 * k] += u, m->total[2 * k + 1] += v;
    }
}

/* A grid's gradient is its slopes themselves, one row of a piece. */
static void hand_slopes(const Warp *c, int64_t b, const Work *m, int64_t row)
{
    const Piece t = m->piece;
    const float *sx = m->sx + row * t.pitch, *sy = m->sy + row * t.pitch;
    float *to = c->grad_transform + 2 * ((b * c->H + t.row + row) * c->W + t.column);
    for (int64_t p = 0; p < t.columns; p++) to[2 * p] = sx[p], to[2 * p + 1] = sy[p];
}

/* The slopes of one piece, summed to its part of the transform's gradient: six sums for an affine,
 * nine, or 2 K. Blocks are summed in float32, then in float64. */
static void sum_transform(const Warp *c, int64_t b, Work *m)
{
    const Piece piece = m->piece;
    const float *t = c->transform + unknowns(c) * b;
    place(c, b, m);
    if (c->mirror) {
        mirror(m->x, m->sx, piece.rows * piece.pitch, c->w, c->align_corners);
        mirror(m->y, m->sy, piece.rows * piece.pitch, c->h, c->align_corners);
    }
    for (int64_t i = 0; i < piece.rows; i++) {
        for (int64_t start = 0; start < piece.columns; start += BLOCK) {
            const int64_t from = i * piece.pitch + start;
            const int64_t to = i * piece.pitch + lesser(start + BLOCK, piece.columns);
            if (c->kind == AFFINE) sum_block(c, AFFINE, t, m, from, to);
            else if (c->kind == HOMOGRAPHY) sum_block(c, HOMOGRAPHY, t, m, from, to);
            else sum_block(c, SPLINE, t, m, from, to);
        }
        if (c->kind == SPLINE) sum_offsets(c, m, i);
        if (c->kind == GRID) hand_slopes(c, b, m, i);
    }
}

static void weigh(Work *m)
{
    for (int64_t p = 0; p < m->piece.rows * m->piece.pitch; p++) {
        const float x = m->x[p], y = m->y[p];
        m->weights[p] = (four){(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y};
    }
}

static inline four column(const four *s, int k)
{
    return (four){s[0][k], s[1][k], s[2][k], s[3][k]};
}

/* The gradient to the pixels of one channel's window, into the plane. Each output pixel adds to
 * four neighbours: here to one place of four numbers, which is one load and one store. */
static void scatter(const Warp *c, const Work *m, const float *grad)
{
    const Piece t = m->piece;
    const int64_t pitch = m->window.pitch, n = m->window.rows * pitch;
    four *sums = m->sums;
    float *back = m->plane; /* its pixels are not needed any more */
    memset(sums - pitch - 1, 0, (pitch + 1 + n) * sizeof *sums);
    for (int64_t i = 0; i < t.rows; i++) {
        const int32_t *at = m->at + i * t.pitch;
        const four *weights = m->weights + i * t.pitch;
        for (int64_t p = 0; p < t.columns; p++) sums[at[p]] += grad[i * c->W + p] * weights[p];
    }
    for (int64_t i = 0; i < n; i += 4) { /* a whole line at the end: there is room */
        const four *own = sums + i, *above = own - pitch;
        const four sum = column(own, 0) + column(own - 1, 1) + column(above, 2) +
                         column(above - 1, 3);
        memcpy(back + i, &sum, sizeof sum);
    }
}

/* What came back to a whole plane of transform b: to its pixels, and to the level around them. */
static void settle(const Warp *c, int64_t b, int64_t channel, float *back)
{
    const int64_t h = c->h, w = c->w, pitch = w + 3;
    double outside = 0;
    for (int64_t i = 0; i < h + 3 && (c->grad_fill || c->border); i++) {
        const int64_t row = within(i - 1, 0, h - 1);
        for (int64_t j = 0; j < pitch; j++) {
            const int64_t column = within(j - 1, 0, w - 1);
            if (i == row + 1 && j == column + 1) continue;
            outside += back[i * pitch + j];
            if (c->border) back[(row + 1) * pitch + column + 1] += back[i * pitch + j];
        }
    }
    if (c->grad_fill) c->grad_fill[b * c->channels + channel] = outside;
    if (!c->grad_images) return;
    float *out = c->grad_images + (picture(c, b) * c->channels + channel) * h * w;
    for (int64_t i = 0; i < h; i++) {
        const float *row = back + (i + 1) * pitch + 1;
        if (!c->index) copy(out + i * w, row, w);
        for (int64_t j = 0; j < w && c->index; j++) out[i * w + j] += row[j];
    }
}

/* What came back to a tile's window, added to this thread's rows of the picture. */
static void add_window(const Warp *c, int64_t channel, const Work *m)
{
    const Window *a = &m->window;
    const int64_t lead = before(a), n = inside(c, a);
    for (int64_t i = 0; i < a->rows; i++) {
        const int64_t row = a->top + i - 1, to = within(row, 0, c->h - 1);
        if (to < m->from || to >= m->to || (!c->border && to != row)) continue;
        const float *back = m->plane + i * a->pitch;
        float *out = m->into + (channel * c->h + to) * c->w;
        float *first = out + a->left + lead - 1;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) first[j] += back[lead + j];
        if (!c->border) continue;
        if (lead) out[0] += back[0];
        for (int64_t j = lead + n; j < a->columns; j++) out[c->w - 1] += back[j];
    }
}

/* How much of each of a tile's pixels comes from outside: a warp of what is 1 there. */
static float *outside(const Warp *c, const Work *m)
{
    const Window *a = &m->window;
    const int64_t lead = before(a), n = inside(c, a);
    float *found = (float *)m->weights;
    for (int64_t i = 0; i < a->rows; i++) {
        const int64_t row = a->top + i - 1, in = row >= 0 && row < c->h;
        for (int64_t j = 0; j < a->columns; j++)
            m->plane[i * a->pitch + j] = !(in && j >= lead && j < lead + n);
    }
    read_plane(m, m->plane, found, m->piece.pitch);
    return found;
}

static double sum_outside(const Warp *c, const Work *m, const float *share, const float *grad)
{
    double sum = 0;
    for (int64_t i = 0; i < m->piece.rows; i++) {
        const float *part = share + i * m->piece.pitch, *g = grad + i * c->W;
        float line = 0;
#pragma omp simd reduction(+ : line)
        for (int64_t p = 0; p < m->piece.columns; p++) line += part[p] * g[p];
        sum += line;
    }
    return sum;
}

static const float *grad_of(const Warp *c, int64_t b, int64_t channel, const Work *m)
{
    return c->grad + ((b * c->channels + channel) * c->H + m->piece.row) * c->W + m->piece.column;
}

/* What came back to a stripe: to its pixels, and to the level around them. */
static void settle_stripe(const Warp *c, int64_t b, int64_t channel, vec *back)
{
    const int64_t h = c->h, w = c->w, pitch = w + 3, n = h * w;
    double outside[VECTOR] = {0};
    for (int64_t i = 0; i < h + 3 && (c->grad_fill || c->border); i++) {
        const int64_t row = within(i, 1, h);
        for (int64_t j = 0; j < pitch; j += i == row && j == 0 ? w + 1 : 1) {
            const vec v = back[i * pitch + j];
            for (int k = 0; k < VECTOR; k++) outside[k] += v[k];
            if (c->border) back[row * pitch + within(j, 1, w)] += v;
        }
    }
    for (int k = 0; k < VECTOR && c->grad_fill; k++)
        c->grad_fill[b * c->channels + channel + k] = outside[k];
    if (!c->grad_images) return;
    float *out = c->grad_images + (picture(c, b) * c->channels + channel) * n;
    const vec *from = back + cell_of(c, 0);
    for (int64_t p = 0, column = 0; p < n; p += VECTOR) {
        vec v[VECTOR] = {{0}};
        for (int64_t i = 0; i < lesser(VECTOR, n - p); i++) {
            v[i] = *from++;
            if (++column == w) column = 0, from += 3;
        }
        turn(v);
        for (int j = 0; j < VECTOR; j++) {
            const vec old = c->index ? load(out + j * n + p, n - p) : (vec){0};
            store(out + j * n + p, old + v[j], n - p);
        }
    }
}

/* `slopes` of as many pixels as a vector holds, by a stripe's channels. */
static void slopes_of_stripe(const Warp *c, const Work *m, int64_t p, const vec *grad)
{
    const int64_t pitch = c->w + 3;
    vec sx[VECTOR], sy[VECTOR];
    for (int i = 0; i < VECTOR; i++) {
        const vec *s = m->stripe + m->at[p + i], top = s[1] - s[0];
        const vec across = s[pitch + 1] - s[pitch] - top;
        sx[i] = grad[i] * (top + in_all_lanes(m->y[p + i]) * across);
        sy[i] = grad[i] * (s[pitch] - s[0] + in_all_lanes(m->x[p + i]) * across);
    }
    store(m->sx + p, load(m->sx + p, VECTOR) + sums_of(sx), VECTOR);
    store(m->sy + p, load(m->sy + p, VECTOR) + sums_of(sy), VECTOR);
}

/* What flows back through a stripe; sx and sy are added to. */
static void flow_back_stripe(const Warp *c, int64_t b, int64_t channel, const Work *m)
{
    const int64_t n = c->H * c->W, pitch = c->w + 3, spreads = c->grad_images || c->grad_fill;
    const float *from = c->grad + (b * c->channels + channel) * n;
    if (c->grad_transform) fill_stripe(c, b, channel, m->stripe);
    if (spreads) memset(m->back, 0, cells(c) * sizeof *m->back);
    for (int64_t p = 0; p < n; p += VECTOR) {
        vec grad[VECTOR];
        take(grad, from + p, n, n - p);
        if (c->grad_transform) slopes_of_stripe(c, m, p, grad);
        for (int64_t i = 0; i < VECTOR && spreads; i++) { /* behind the last are zeros */
            vec *to = m->back + m->at[p + i];
            const four weights = m->weights[p + i];
            to[0] += weights[0] * grad[i], to[1] += weights[1] * grad[i];
            to[pitch] += weights[2] * grad[i], to[pitch + 1] += weights[3] * grad[i];
        }
    }
    if (spreads) settle_stripe(c, b, channel, m->back);
}

/* Everything that flows back through a whole image. */
static void flow_back(const Warp *c, int64_t b, Work *m)
{
    if (c->grad_images || c->grad_fill) weigh(m);
    memset(m->sx, 0, 2 * points(c) * sizeof *m->sx); /* sx and sy */
    int64_t i = 0;
    for (; striped(c) && i + VECTOR <= c->channels; i += VECTOR) flow_back_stripe(c, b, i, m);
    for (; i < c->channels; i++) {
        const float *grad = grad_of(c, b, i, m);
        if (c->grad_transform) slopes(c, m, plane_of(c, b, i, m), grad);
        if (c->grad_images || c->grad_fill) scatter(c, m, grad), settle(c, b, i, m->plane);
    }
    if (c->grad_transform) sum_transform(c, b, m);
}

/* A tile's part of the sums: the gradients to transform and fill. */
static void sum_tile(const Warp *c, int64_t b, Work *m)
{
    const float *share = c->grad_fill && !m->window.direct ? outside(c, m) : 0;
    memset(m->sx, 0, 2 * points(c) * sizeof *m->sx);
    for (int64_t i = 0; i < c->channels; i++) {
        const float *grad = grad_of(c, b, i, m);
        if (c->grad_transform) slopes(c, m, plane_of(c, b, i, m), grad);
        if (share) m->total[summed(c) + i] += sum_outside(c, m, share, grad);
    }
    if (c->grad_transform) sum_transform(c, b, m);
}

/* A tile's part of the gradient to the image. */
static void spread_tile(const Warp *c, int64_t b, Work *m)
{
    weigh(m);
    for (int64_t i = 0; i < c->channels; i++)
        scatter(c, m, grad_of(c, b, i, m)), add_window(c, i, m);
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

/* The lower median of each plane's one-pixel border (of all of it, if it is less than 3 wide),
 * into out; NaN if there is one. The scratch must hold h * w floats. */
void warp_background(const Warp *c)
{
    const int64_t h = c->h, w = c->w, step = h < 3 || w < 3 ? 1 : w - 1;
    float *v = c->scratch, *out = c->out;
    for (int64_t number = 0; number < c->batch * c->channels; number++) {
        int64_t n = 0, most = 0, invalid = 0;
        for (int64_t i = 0; i < h; i++)
            for (int64_t j = 0; j < w; j += i == 0 || i == h - 1 ? 1 : step)
                v[n++] = pixel(c, (number * h + i) * w + j);
        for (int64_t i = 0; i < n; i++) most += v[i] == v[0], invalid += v[i] != v[i];
        /* Most pictures have one level there: what more than half agree on is the median. */
        out[number] = invalid ? NAN : 2 * most > n ? v[0] : smallest(v, n, (n - 1) / 2);
    }
}

/* ------------------------------------------------------------------ the doors */
/* 1 if a transform is not finite, too large to calculate with, or has a horizon in sight. */
static int refused(const Warp *c)
{
    int32_t bad = 0;
#pragma omp simd reduction(| : bad)
    for (int64_t i = 0; i < c->batch * unknowns(c); i++) bad |= !(fabsf(c->transform[i]) < 1e30f);
    if (bad) return 1;
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

/* One image's sums, chunk after chunk. */
static void finish(const Warp *c, int64_t b, const double *total, int64_t n)
{
    for (int64_t i = 0; i < totals(c); i++) {
        const int64_t channel = i - summed(c);
        double sum = 0;
        for (int64_t k = 0; k < n; k++) sum += total[k * totals(c) + i];
        if (channel < 0 && c->grad_transform) c->grad_transform[unknowns(c) * b + i] = sum;
        if (channel >= 0 && c->grad_fill) c->grad_fill[c->channels * b + channel] = sum;
    }
}

static void backward_whole(const Warp *c)
{
    all_centres(c);
#pragma omp parallel for num_threads(c->threads) schedule(static)
    for (int64_t b = 0; b < c->batch; b++) {
        Work m = work_of(c, omp_get_thread_num());
        memset(m.total, 0, totals(c) * sizeof *m.total);
        visit(c, b, piece_of(c, 0), &m, flow_back);
        for (int64_t i = 0; c->grad_transform && i < summed(c); i++)
            c->grad_transform[unknowns(c) * b + i] = m.total[i];
    }
}

/* What several transforms send back to one picture: one thread adds it up, in their order. */
static void spread_pictures(const Warp *c)
{
    const int64_t size = c->channels * c->h * c->w;
    Warp images = *c; /* nothing else is asked for */
    images.grad_transform = images.grad_fill = 0;
    all_centres(c);
#pragma omp parallel for num_threads(c->threads) schedule(dynamic)
    for (int64_t i = 0; i < c->pictures; i++) {
        Work m = work_of(c, omp_get_thread_num());
        memset(c->grad_images + i * size, 0, size * sizeof *c->grad_images);
        for (int64_t k = c->starts[i]; k < c->starts[i + 1]; k++)
            visit(&images, c->order[k], piece_of(c, 0), &m, flow_back);
    }
}

/* A chunk is some of an image's tiles; one thread sums them in order. */
static void sum_tiles(const Warp *c)
{
    const int64_t n = pieces(c), k = chunks(c), size = totals(c);
    double *sums = (double *)c->scratch;
    memset(sums, 0, c->batch * k * size * sizeof *sums);
#pragma omp parallel for num_threads(c->threads) schedule(dynamic)
    for (int64_t i = 0; i < c->batch * k; i++) {
        Work m = work_of(c, omp_get_thread_num());
        m.total = sums + i * size;
        for (int64_t t = i % k * n / k; t < (i % k + 1) * n / k; t++)
            visit(c, i / k, piece_of(c, t), &m, sum_tile);
    }
    for (int64_t b = 0; b < c->batch; b++) finish(c, b, sums + b * k * size, k);
}

/* A band is some of an input's rows; one thread adds to them, tile after tile and transform after
 * transform, whatever band a row is in. */
static void spread_tiles(const Warp *c)
{
    const int64_t h = c->h, plane = h * c->w, own = c->channels * plane;
    const int64_t bands = c->threads > 1 ? lesser(h, parts(2 * c->threads, c->pictures)) : 1;
#pragma omp parallel for num_threads(c->threads) schedule(dynamic)
    for (int64_t i = 0; i < c->pictures * bands; i++) {
        const int64_t number = i / bands;
        Work m = work_of(c, omp_get_thread_num());
        m.from = i % bands * h / bands, m.to = (i % bands + 1) * h / bands;
        const int64_t first = m.from * c->w, n = (m.to - m.from) * c->w;
        float *back = c->grad_images + number * own, *spare = m.into;
        for (int64_t j = 0; j < c->channels; j++)
            memset(back + j * plane + first, 0, n * sizeof *back);
        if (!c->index) {
            m.into = back;
            for (int64_t t = 0; t < pieces(c); t++) visit(c, number, piece_of(c, t), &m, spread_tile);
            continue;
        }
        for (int64_t k = c->starts[number]; k < c->starts[number + 1]; k++) {
            for (int64_t j = 0; j < c->channels; j++)
                memset(spare + j * plane + first, 0, n * sizeof *spare);
            for (int64_t t = 0; t < pieces(c); t++)
                visit(c, c->order[k], piece_of(c, t), &m, spread_tile);
            for (int64_t j = 0; j < c->channels; j++)
                for (int64_t p = j * plane + first; p < j * plane + first + n; p++)
                    back[p] += spare[p];
        }
    }
}

int warp_forward(const Warp *c)
{
    if (refused(c)) return 1;
    const int64_t n = pieces(c), step = tiled(c) ? 4 : parts(c->batch, c->threads);
    if (!tiled(c)) all_centres(c);
#pragma omp parallel for num_threads(c->threads) schedule(dynamic, step)
    for (int64_t i = 0; i < c->batch * n; i++) {
        Work m = work_of(c, omp_get_thread_num());
        visit(c, i / n, piece_of(c, i % n), &m, read_piece);
    }
    return 0;
}

int warp_backward(const Warp *c)
{
    if (refused(c)) return 1;
    if (!tiled(c)) {
        Warp sums = *c;
        if (c->index) sums.grad_images = 0; /* several transforms may read one picture */
        if (!c->index || c->grad_transform || c->grad_fill) backward_whole(&sums);
        if (c->index && c->grad_images) spread_pictures(c);
        return 0;
    }
    if (c->grad_transform || c->grad_fill) sum_tiles(c);
    if (c->grad_images) spread_tiles(c);
    return 0;
}
