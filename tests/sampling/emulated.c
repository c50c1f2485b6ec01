/* One call of warp.c in a process of another processor: `emulated CALL RESULT`.
 *
 * CALL holds int64: which function (0 forward, 1 backward, 2 background), how many whole numbers
 * the struct Warp begins with, how many pointers follow; then the numbers; then of each pointer the
 * bytes it points to, as a length (-1: NULL) and what is there. RESULT gets what the function
 * returned, and the bytes of each pointer as they are afterwards. A pointer to scratch memory has
 * its length alone: 0 asks for what scratch_floats says.
 */
#include WARP_C
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 64 };

static int64_t number(FILE *from)
{
    int64_t n;
    if (fread(&n, sizeof n, 1, from) != 1) exit(3);
    return n;
}

int main(int count, char **words)
{
    if (count != 3) return 2;
    FILE *from = fopen(words[1], "rb"), *to = fopen(words[2], "wb");
    if (!from || !to) return 2;
    const int64_t function = number(from), numbers = number(from), pointers = number(from);
    int64_t raw[MOST], lengths[MOST];
    if ((numbers + pointers) * sizeof(int64_t) != sizeof(Warp)) return 4; /* another struct */
    for (int64_t k = 0; k < numbers; k++) raw[k] = number(from);
    for (int64_t k = 0; k < pointers; k++) {
        void *there = NULL;
        if ((lengths[k] = number(from)) >= 0) {
            there = aligned_alloc(64, (lengths[k] / 64 + 1) * 64);
            if (!there || fread(there, 1, lengths[k], from) != (size_t)lengths[k]) return 3;
        }
        raw[numbers + k] = (int64_t)there;
    }
    Warp call;
    memcpy(&call, raw, sizeof call);
    if (function < 2) call.scratch = aligned_alloc(64, (scratch_floats(&call) / 16 + 1) * 64);
    int64_t said = 0;
    if (function == 0) said = warp_forward(&call);
    else if (function == 1) said = warp_backward(&call);
    else warp_background(&call);
    fwrite(&said, sizeof said, 1, to);
    for (int64_t k = 0; k < pointers; k++)
        if (lengths[k] > 0) fwrite((void *)raw[numbers + k], 1, lengths[k], to);
    return fclose(to) ? 3 : 0;
}
