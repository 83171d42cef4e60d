/* manual_words: see manual_words.h. Called by manual.c.
 *
 * A line of the list is "  left  right": two blanks, what is typed, at least two blanks, what it
 * does. The left side may name several: "-f, --follow", "revoke --all", "set KEY VALUE". */
#include "cli/manual_words.h"

#include <string.h>

#include "cli/command.h"

/* Cuts "  left  right" apart; false when the line is none. */
static bool line_split(struct str line, struct str *out_left, struct str *out_right)
{
    if (line.len < 4 || line.ptr[0] != ' ' || line.ptr[1] != ' ' || line.ptr[2] == ' ') {
        return false;
    }
    struct str text = {line.ptr + 2, line.len - 2};
    for (size_t i = 1; i + 1 < text.len; i++) {
        if (text.ptr[i] == ' ' && text.ptr[i + 1] == ' ') {
            *out_left = (struct str){text.ptr, i};
            *out_right = str_trim((struct str){text.ptr + i, text.len - i});
            return true;
        }
    }
    return false;
}

/* What is typed as it stands: an option, or a word of small letters. */
static bool is_literal(struct str word)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        bool is_letter = c >= 'a' && c <= 'z';
        if (!is_letter && c != '-') {
            return false;
        }
    }
    return word.len > 1;
}

static void add(struct manual_words *out, struct str word, struct str doc)
{
    for (size_t i = 0; i < out->count; i++) {
        if (str_eq(out->items[i].word, word)) {
            return;
        }
    }
    if (out->count < MANUAL_WORDS_MAX && is_literal(word)) {
        out->items[out->count++] = (struct manual_word){word, doc};
    }
}

void manual_words_read(struct manual_words *out, const struct command *command)
{
    *out = (struct manual_words){0};
    struct str rest = str_of(command->help);
    struct str line;
    struct str left;
    struct str right;
    while (str_next(&rest, '\n', &line)) {
        if (str_starts(line, STR("Example"))) {
            return;
        }
        if (!line_split(line, &left, &right)) {
            continue;
        }
        struct str word;
        while (str_next(&left, ' ', &word)) {
            bool has_comma = word.len > 0 && word.ptr[word.len - 1] == ',';
            word.len -= has_comma ? 1 : 0;
            add(out, word, right);
        }
    }
}
