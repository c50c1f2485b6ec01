/* Random warps for valgrind: `guarded SEED TIMES` prints how many it made.
 *
 * Each buffer has just the size that warp.c says, so that the first byte beyond it is seen, and each
 * number that comes out decides about something, so that one that was never written is.
 */
#include <stdio.h>
#include <stdlib.h>
#include "warp.c"

static uint64_t state;

static int64_t draw(int64_t low, int64_t high) /* from low to high, both of them too */
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return low + (int64_t)(state % (uint64_t)(high - low + 1));
}

static float number(float most) { return most * (draw(-1000, 1000) / 1000.0f); }

static void *kept[16];
static int count;

static void *empty(size_t bytes)
{
    return kept[count++] = malloc(bytes);
}

static float *floats(int64_t n, float most)
{
    float *made = empty(n * sizeof *made);
    for (int64_t i = 0; i < n; i++) made[i] = number(most);
    return made;
}

static void draw_transform(Warp *c)
{
    const float far = draw(0, 5) ? 0.4f : 40;
    const int64_t each = unknowns(c);
    float *t = floats(c->batch * each, far);
    for (int64_t b = 0; b < c->batch && c->kind; b++, t += each) {
        t[0] += 1, t[4] += 1;
        if (c->kind == HOMOGRAPHY) t[6] = number(0.3f), t[7] = number(0.3f), t[8] = 1;
    }
    c->transform = kept[count - 1];
    if (c->kind == SPLINE) c->basis = floats(c->K * c->H * c->W, 0.8f);
}

static void draw_case(Warp *c)
{
    const int64_t many = !draw(0, 2), most = many || draw(0, 5) ? 24 : 140;
    *c = (Warp){.batch = draw(1, 3), .threads = draw(1, 3)};
    c->channels = many ? draw(VECTOR, 3 * VECTOR) : draw(1, 3); /* stripes, too */
    c->h = draw(1, most), c->w = draw(1, most), c->H = draw(1, most), c->W = draw(1, most);
    c->kind = draw(0, 2), c->kind += c->kind > 0, c->K = c->kind ? 0 : draw(4, 9);
    c->pictures = c->batch; /* each its own */
    c->uint8 = draw(0, 1), c->border = draw(0, 1), c->mirror = c->border && draw(0, 1);
    c->align_corners = draw(0, 1);
    c->whole = draw(0, 1) ? 60000 : 50; /* small ones in tiles, too */
    const int64_t pixels = c->batch * c->channels * c->h * c->w;
    if (c->uint8) {
        uint8_t *bytes = empty(pixels);
        for (int64_t i = 0; i < pixels; i++) bytes[i] = draw(0, 255);
        c->images = bytes;
    } else
        c->images = floats(pixels, 1);
    draw_transform(c);
    if (!c->border && draw(0, 1)) c->fill = floats(c->batch * c->channels, 1);
}

static void *scratch(const Warp *c)
{
    void *made = 0;
    if (posix_memalign(&made, 64, scratch_floats(c) * sizeof(float))) exit(3);
    return kept[count++] = made;
}

static int64_t odd; /* how many numbers are none: valgrind says which were never written */
static volatile int64_t bright;

static void look(const float *v, int64_t n)
{
    for (int64_t i = 0; v && i < n; i++)
        if (!(v[i] - v[i] == 0)) odd++;
}

static void forward(Warp *c)
{
    const int64_t n = c->batch * c->channels * c->H * c->W;
    c->bytes = draw(0, 1);
    c->out = empty(c->bytes ? n : n * (int64_t)sizeof(float));
    c->scratch = scratch(c);
    if (warp_forward(c)) return;
    if (!c->bytes) look(c->out, n);
    for (int64_t i = 0; c->bytes && i < n; i++)
        if (((uint8_t *)c->out)[i] > 254) bright++;
}

static void backward(Warp *c)
{
    const int64_t planes = c->batch * c->channels, pixels = planes * c->h * c->w;
    c->grad = floats(planes * c->H * c->W, 1);
    if (draw(0, 2)) c->grad_images = empty(pixels * sizeof(float));
    if (draw(0, 2)) c->grad_transform = empty(c->batch * unknowns(c) * sizeof(float));
    if (c->fill && draw(0, 2)) c->grad_fill = empty(planes * sizeof(float));
    c->scratch = scratch(c);
    if (warp_backward(c)) return;
    look(c->grad_images, pixels);
    look(c->grad_transform, c->batch * unknowns(c));
    look(c->grad_fill, planes);
}

int main(int n, char **words)
{
    if (n != 3) return 2;
    state = strtoull(words[1], 0, 10);
    int64_t made = 0, times = atoll(words[2]);
    for (; made < times; made++) {
        Warp c;
        draw_case(&c);
        Warp back = c, level = c;
        forward(&c);
        backward(&back);
        level.out = empty(c.batch * c.channels * sizeof(float));
        level.scratch = empty(c.h * c.w * sizeof(float));
        warp_background(&level);
        look(level.out, c.batch * c.channels);
        while (count) free(kept[--count]);
    }
    printf("%lld\n", (long long)made);
    return odd ? 4 : 0;
}
