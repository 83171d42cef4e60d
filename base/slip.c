/* slip: see slip.h. Called by the command line and by the readers of configuration. */
#include "base/slip.h"

#include <limits.h>
#include <string.h>

unsigned slip_distance(const char *a, const char *b)
{
    size_t la = strlen(a);
    size_t lb = strlen(b);
    if (la > SLIP_WORD_MAX || lb > SLIP_WORD_MAX) {
        return UINT_MAX;
    }
    unsigned row[SLIP_WORD_MAX + 1];
    for (size_t j = 0; j <= lb; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= la; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[lb];
}

void slip_offer(const char *word, const char *known, const char **nearest, unsigned *distance)
{
    unsigned now = slip_distance(word, known);
    size_t len = strlen(word) < strlen(known) ? strlen(word) : strlen(known);
    if (now < *distance && now < len) {
        *distance = now;
        *nearest = known;
    }
}
