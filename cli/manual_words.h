/* manual_words: the options and subcommands that a command's help text lists. */
#ifndef WOS_CLI_MANUAL_WORDS_H
#define WOS_CLI_MANUAL_WORDS_H

#include <stddef.h>

#include "base/str.h"

struct command;

enum { MANUAL_WORDS_MAX = 40 };

/* Both borrowed from the help text. */
struct manual_word {
    struct str word; /* "--follow", "-f", "list" */
    struct str doc;  /* the first line about it */
};

struct manual_words {
    struct manual_word items[MANUAL_WORDS_MAX];
    size_t count;
};

/* In the order written, each once. */
void manual_words_read(struct manual_words *out, const struct command *command);

#endif
