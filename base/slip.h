/* slip: is one word another one, mistyped? For "did you mean" in errors.
 *
 * slip_distance counts the letters to change, add or leave out (Levenshtein); a word of more than
 * SLIP_WORD_MAX bytes is no slip of anything: UINT_MAX. Up to SLIP_MAX a slip is worth naming.
 * Pure.
 */
#ifndef WOS_BASE_SLIP_H
#define WOS_BASE_SLIP_H

enum { SLIP_WORD_MAX = 40, SLIP_MAX = 3 };

unsigned slip_distance(const char *a, const char *b);
/* Keeps in *nearest the best of those offered one after the other; *distance starts at
 * SLIP_MAX + 1. A word that would have to be changed as a whole is not taken. */
void slip_offer(const char *word, const char *known, const char **nearest, unsigned *distance);

#endif
