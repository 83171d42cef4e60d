/* args: see args.h. Called by main.c and the commands, in the one thread there is. */
#include "cli/args.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/slip.h"
#include "base/str.h"

static const struct arg_option *option_find(const struct arg_option *options, size_t count,
                                            const char *word, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        const struct arg_option *o = &options[i];
        if (strlen(o->name) == len && memcmp(o->name, word, len) == 0) {
            return o;
        }
        if (o->alias != NULL && strlen(o->alias) == len && memcmp(o->alias, word, len) == 0) {
            return o;
        }
    }
    return NULL;
}

static int option_unknown(const struct arg_option *options, size_t count, const char *word,
                          size_t len, struct err *err)
{
    const char *nearest = NULL;
    unsigned distance = SLIP_MAX + 1;
    autofree char *name = xstrndup(word, len);
    for (size_t i = 0; i < count; i++) {
        slip_offer(name + strspn(name, "-"), options[i].name + 2, &nearest, &distance);
    }
    return err_set(err, ERR_USAGE, "unknown option %s%s%s%s", name,
                   nearest == NULL ? "" : "; did you mean --", nearest == NULL ? "" : nearest,
                   nearest == NULL ? "" : "?");
}

static void args_add_word(struct args *args, const char *word)
{
    args->words = xrealloc(args->words, (args->word_count + 1) * sizeof *args->words);
    args->words[args->word_count++] = word;
}

static void args_add_given(struct args *args, const char *name, const char *value)
{
    args->given = xrealloc(args->given, (args->given_count + 1) * sizeof *args->given);
    args->given[args->given_count++] = (struct arg_given){.name = name, .value = value};
}

/* One option at argv[*at]; moves *at onto a value that is a word of its own. */
static int args_take_option(struct args *args, const struct arg_option *options, size_t count,
                            int argc, char **argv, int *at, struct err *err)
{
    const char *word = argv[*at];
    const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const struct arg_option *o = option_find(options, count, word, len);
    if (o == NULL) {
        return option_unknown(options, count, word, len, err);
    }
    const char *value = NULL;
    if (o->takes_value) {
        if (equals != NULL) {
            value = equals + 1;
        } else if (*at + 1 < argc) {
            value = argv[++*at];
        }
        if (value == NULL || value[0] == '\0') {
            return err_set(err, ERR_USAGE, "%s needs a value", o->name);
        }
    } else if (equals != NULL) {
        return err_set(err, ERR_USAGE, "%s takes no value", o->name);
    }
    args_add_given(args, o->name, value);
    return 0;
}

int args_parse(struct args *out, const struct arg_option *options, size_t option_count, int argc,
               char **argv, struct err *err)
{
    struct args args = {0};
    bool options_ended = false;
    for (int i = 0; i < argc; i++) {
        if (options_ended || argv[i][0] != '-' || argv[i][1] == '\0') {
            args_add_word(&args, argv[i]);
        } else if (strcmp(argv[i], "--") == 0) {
            options_ended = true;
        } else if (args_take_option(&args, options, option_count, argc, argv, &i, err) < 0) {
            args_fini(&args);
            return -1;
        }
    }
    *out = args;
    return 0;
}

void args_fini(struct args *args)
{
    free(args->given);
    free(args->words);
    *args = (struct args){0};
}

bool args_has(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->given_count; i++) {
        if (strcmp(args->given[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

const char *args_value(const struct args *args, const char *name)
{
    for (size_t i = args->given_count; i-- > 0;) {
        if (strcmp(args->given[i].name, name) == 0) {
            return args->given[i].value;
        }
    }
    return NULL;
}

static int globals_cwd(struct arg_globals *g, const char *value,
                       bool (*is_command)(const char *name), struct err *err)
{
    if (value == NULL || value[0] == '\0') {
        return err_set(err, ERR_USAGE, "--cwd needs a path");
    }
    if (value[0] == '-' || is_command(value)) {
        return err_set(err, ERR_USAGE, "--cwd needs a path, not '%s' (write ./%s for a directory)",
                       value, value);
    }
    g->cwd = value;
    return 0;
}

/* Takes --json and --help out of the command's own words, up to a `--`; behind the service
 * of `exec` all words belong to somebody else's command. */
static void globals_take_common(struct arg_globals *g)
{
    int kept = 0;
    bool options_ended = false;
    for (int i = 0; i < g->argc; i++) {
        char *word = g->argv[i];
        options_ended = options_ended || strcmp(word, "--") == 0;
        if (!options_ended && strcmp(word, "--json") == 0) {
            g->json = true;
        } else if (!options_ended && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            g->help = true;
        } else {
            g->argv[kept++] = word;
            options_ended = options_ended || (strcmp(g->command, "exec") == 0 && word[0] != '-');
        }
    }
    g->argc = kept;
}

int args_globals(struct arg_globals *out, int argc, char **argv,
                 bool (*is_command)(const char *name), struct err *err)
{
    struct arg_globals g = {0};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--cwd") == 0) {
            i++;
            if (globals_cwd(&g, i < argc ? argv[i] : NULL, is_command, err) < 0) {
                return -1;
            }
        } else if (strncmp(argv[i], "--cwd=", 6) == 0) {
            if (globals_cwd(&g, argv[i] + 6, is_command, err) < 0) {
                return -1;
            }
        } else if (strcmp(argv[i], "--json") == 0) {
            g.json = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            g.help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            g.version = true;
        } else {
            return err_set(err, ERR_USAGE, "unknown command: %s", argv[i]);
        }
    }
    if (i < argc) {
        g.command = argv[i];
        g.argc = argc - i - 1;
        g.argv = argv + i + 1;
        globals_take_common(&g);
    }
    *out = g;
    return 0;
}

int args_duration(const char *text, uint64_t *out_ms, struct err *err)
{
    struct str s = str_trim(str_of(text));
    size_t at = 0;
    while (at < s.len && ascii_is_digit(s.ptr[at])) {
        at++;
    }
    bool ok = at > 0 && at <= 12;
    if (ok && at < s.len && s.ptr[at] == '.') {
        size_t first = ++at;
        while (at < s.len && ascii_is_digit(s.ptr[at])) {
            at++;
        }
        ok = at > first && at - first <= 12;
    }
    double factor = 0;
    struct str unit = {s.ptr + at, s.len - at};
    if (unit.len == 0 || str_eq_nocase(unit, STR("ms"))) {
        factor = 1;
    } else if (str_eq_nocase(unit, STR("s"))) {
        factor = 1000;
    } else if (str_eq_nocase(unit, STR("m"))) {
        factor = 60000;
    }
    if (ok && factor > 0) {
        /* The number ends at the unit, which strtod does not take for its own. */
        double ms = strtod(s.ptr, NULL) * factor + 0.5; /* rounded by the cut below */
        if (ms >= 1 && ms < 1e15) {
            *out_ms = (uint64_t)ms;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE,
                   "'%s' is no duration: a positive number, with ms, s or m behind (90s, 1.5m)",
                   text);
}

int args_port(const char *text, uint16_t *out_port, struct err *err)
{
    uint16_t port = 0;
    if (!str_to_u16(str_of(text), &port) || port == 0) {
        return err_set(err, ERR_USAGE, "'%s' is no port (1 to 65535)", text);
    }
    *out_port = port;
    return 0;
}
