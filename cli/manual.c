/* manual: see manual.h. Called by `wos help` and `wos completion`. */
#include "cli/manual.h"

#include <string.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/manual_words.h"

static const char intro[] =
    "wos runs the services of git worktrees side by side, each at its own HTTPS name.";

static const char *const global_options[][2] = {
    {"--cwd PATH", "act on the worktree there (before the command)"},
    {"--json", "one JSON object on stdout, for programs (every command)"},
    {"--help", "what a command takes, with an example (every command)"},
    {"--version", "the version (in place of a command)"},
};

static const char *const exit_codes[][2] = {
    {"0", "done"},
    {"1", "failed"},
    {"2", "wrong usage"},
    {"3", "git or configuration"},
    {"5", "the session is busy with another operation"},
    {"124", "timed out"},
    {"130", "interrupted; the operation goes on"},
};

static const char *const environment[][2] = {
    {"WOS_HOME", "the home of the daemon, its configuration and state; else ~/.wos"},
    {"WOS_LOG", "what the daemon logs: error, warn, info (the default) or debug"},
};

/* Help texts end lines with "Example:" or "Examples:"; the rest is indented. */
void manual_markdown(struct buf *out)
{
    buf_printf(out,
               "# The command line\n\n%s This page is `wos help --markdown`; the man pages "
               "`wos(1)` and `wos-<command>(1)` say the same.\n\n"
               "    wos [--cwd PATH] COMMAND [ARGUMENTS]\n\n",
               intro);
    for (size_t i = 0; i < COUNT_OF(global_options); i++) {
        buf_printf(out, "- `%s` %s\n", global_options[i][0], global_options[i][1]);
    }
    buf_add_text(out, "\n| exit code | |\n|---|---|\n");
    for (size_t i = 0; i < COUNT_OF(exit_codes); i++) {
        buf_printf(out, "| %s | %s |\n", exit_codes[i][0], exit_codes[i][1]);
    }
    buf_add_text(out, "\n| environment | |\n|---|---|\n");
    for (size_t i = 0; i < COUNT_OF(environment); i++) {
        buf_printf(out, "| `%s` | %s |\n", environment[i][0], environment[i][1]);
    }
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *c = commands[i];
        if (c->summary != NULL) {
            buf_printf(out, "\n## wos %s\n\n%s.\n\n```\nwos %s%s%s\n\n%s```\n", c->name, c->summary,
                       c->name, c->args[0] == '\0' ? "" : " ", c->args, c->help);
        }
    }
}

/* --- man pages, man(7) ---------------------------------------------------------------------- */

/* Text that troff prints as it stands. */
static void add_roff(struct buf *out, const char *text)
{
    bool is_start = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (is_start && (*c == '.' || *c == '\'')) {
            buf_add_text(out, "\\&");
        }
        if (*c == '\\') {
            buf_add_text(out, "\\e");
        } else if (*c == '-') {
            buf_add_text(out, "\\-");
        } else {
            buf_add_char(out, *c);
        }
        is_start = *c == '\n';
    }
}

static void add_head(struct buf *out, const char *name, const char *summary)
{
    buf_printf(out, ".TH \"%s\" \"1\" \"\" \"wos %s\" \"wos\"\n.SH NAME\n", name, build_version());
    add_roff(out, name);
    buf_add_text(out, " \\- ");
    add_roff(out, summary);
    buf_add_text(out, "\n.SH SYNOPSIS\n");
}

static void add_table(struct buf *out, const char *title, const char *const (*rows)[2],
                      size_t count)
{
    buf_printf(out, ".SH \"%s\"\n", title);
    for (size_t i = 0; i < count; i++) {
        buf_add_text(out, ".TP\n.B ");
        add_roff(out, rows[i][0]);
        buf_add_char(out, '\n');
        add_roff(out, rows[i][1]);
        buf_add_char(out, '\n');
    }
}

static void command_page(const struct command *c, struct buf *out)
{
    autofree char *name = xasprintf("wos-%s", c->name);
    add_head(out, name, c->summary);
    autofree char *synopsis =
        xasprintf("wos [--cwd PATH] %s%s%s\n", c->name, c->args[0] == '\0' ? "" : " ", c->args);
    add_roff(out, synopsis);
    buf_add_text(out, ".SH DESCRIPTION\n.nf\n");
    add_roff(out, c->help);
    buf_add_text(out, ".fi\n.SH \"SEE ALSO\"\nwos(1)\n");
}

static void main_page(struct buf *out)
{
    add_head(out, "wos", "every git worktree's services, each at its own HTTPS name");
    add_roff(out, "wos [--cwd PATH] COMMAND [ARGUMENTS]\n");
    buf_add_text(out, ".SH DESCRIPTION\n");
    add_roff(out, intro);
    buf_add_text(out, "\n.SH COMMANDS\n");
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            buf_printf(out, ".TP\n.B wos\\-%s(1)\n", commands[i]->name);
            add_roff(out, commands[i]->summary);
            buf_add_char(out, '\n');
        }
    }
    add_table(out, "OPTIONS", global_options, COUNT_OF(global_options));
    add_table(out, "EXIT STATUS", exit_codes, COUNT_OF(exit_codes));
    add_table(out, "ENVIRONMENT", environment, COUNT_OF(environment));
}

static int page_write(const char *dir, const char *name, struct buf *page, struct err *err)
{
    autofree char *path = xasprintf("%s/%s.1", dir, name);
    int rc = file_write_atomic(path, buf_str(page), 0644, err);
    buf_fini(page);
    return rc;
}

int manual_write_man(const char *dir, struct err *err)
{
    struct buf page = {0};
    main_page(&page);
    int rc = page_write(dir, "wos", &page, err);
    for (size_t i = 0; rc == 0 && commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            autofree char *name = xasprintf("wos-%s", commands[i]->name);
            struct buf one = {0};
            command_page(commands[i], &one);
            rc = page_write(dir, name, &one, err);
        }
    }
    return rc;
}

/* --- completion ---------------------------------------------------------------------------------
 */

static void add_words(struct buf *out, const struct command *c, char separator)
{
    struct manual_words words;
    manual_words_read(&words, c);
    for (size_t i = 0; i < words.count; i++) {
        if (i > 0) {
            buf_add_char(out, separator);
        }
        buf_add_str(out, words.items[i].word);
    }
}

static void bash_script(struct buf *out)
{
    buf_add_text(out,
                 "# bash completion of wos; made by `wos completion bash`.\n"
                 "_wos() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} i=1\n"
                 "    if [ \"$prev\" = --cwd ]; then\n"
                 "        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n"
                 "        return\n"
                 "    fi\n"
                 "    while [[ ${COMP_WORDS[i]} == --* && $i -lt $COMP_CWORD ]]; do\n"
                 "        [ \"${COMP_WORDS[i]}\" = --cwd ] && i=$((i + 1))\n"
                 "        i=$((i + 1))\n"
                 "    done\n"
                 "    local words=''\n"
                 "    if [ \"$i\" -ge \"$COMP_CWORD\" ]; then\n"
                 "        words='");
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            buf_printf(out, "%s ", commands[i]->name);
        }
    }
    buf_add_text(out, "--cwd --json --help --version'\n"
                      "    else\n"
                      "        case ${COMP_WORDS[i]} in\n");
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            buf_printf(out, "        %s) words='", commands[i]->name);
            add_words(out, commands[i], ' ');
            buf_add_text(out, " --json --help' ;;\n");
        }
    }
    buf_add_text(out, "        esac\n"
                      "    fi\n"
                      "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
                      "}\n"
                      "complete -F _wos wos\n");
}

/* What all three shells take inside single quotes: ' is written outside of them, \ left out. */
static void add_quotable(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'') {
            buf_add_text(out, "'\\''");
        } else if (text.ptr[i] != '\\' && text.ptr[i] != '\n') {
            buf_add_char(out, text.ptr[i]);
        }
    }
}

static void add_quoted(struct buf *out, struct str text)
{
    buf_add_char(out, '\'');
    add_quotable(out, text);
    buf_add_char(out, '\'');
}

/* 'word:what it does', for _describe, which looks for the first colon. */
static void add_pair(struct buf *out, struct str word, struct str doc)
{
    buf_printf(out, "'%.*s:", STR_ARG(word));
    add_quotable(out, doc);
    buf_add_text(out, "' ");
}

static void zsh_script(struct buf *out)
{
    buf_add_text(out, "#compdef wos\n"
                      "# zsh completion of wos; made by `wos completion zsh`.\n"
                      "_wos() {\n"
                      "    local -a words_of\n"
                      "    local i=2\n"
                      "    if [[ $words[CURRENT-1] == --cwd ]]; then\n"
                      "        _directories\n"
                      "        return\n"
                      "    fi\n"
                      "    while [[ $words[i] == --* && $i -lt $CURRENT ]]; do\n"
                      "        [[ $words[i] == --cwd ]] && (( i++ ))\n"
                      "        (( i++ ))\n"
                      "    done\n"
                      "    if (( i >= CURRENT )); then\n"
                      "        words_of=(");
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (commands[i]->summary != NULL) {
            add_pair(out, str_of(commands[i]->name), str_of(commands[i]->summary));
        }
    }
    buf_add_text(out, ")\n    else\n        case $words[i] in\n");
    for (size_t i = 0; commands[i] != NULL; i++) {
        struct manual_words words;
        if (commands[i]->summary == NULL) {
            continue;
        }
        manual_words_read(&words, commands[i]);
        buf_printf(out, "        %s) words_of=(", commands[i]->name);
        for (size_t k = 0; k < words.count; k++) {
            add_pair(out, words.items[k].word, words.items[k].doc);
        }
        add_pair(out, STR("--json"), STR("one JSON object on stdout"));
        buf_add_text(out, ") ;;\n");
    }
    buf_add_text(out, "        esac\n"
                      "    fi\n"
                      "    _describe 'wos' words_of\n"
                      "}\n"
                      "_wos \"$@\"\n");
}

static void fish_word(struct buf *out, const char *command, const struct manual_word *word)
{
    buf_printf(out, "complete -c wos -n '__fish_seen_subcommand_from %s' ", command);
    if (str_starts(word->word, STR("--"))) {
        buf_printf(out, "-l %.*s", (int)word->word.len - 2, word->word.ptr + 2);
    } else if (str_starts(word->word, STR("-"))) {
        buf_printf(out, "-s %.*s", (int)word->word.len - 1, word->word.ptr + 1);
    } else {
        buf_printf(out, "-a %.*s", STR_ARG(word->word));
    }
    buf_add_text(out, " -d ");
    add_quoted(out, word->doc);
    buf_add_char(out, '\n');
}

static void fish_script(struct buf *out)
{
    buf_add_text(out, "# fish completion of wos; made by `wos completion fish`.\n"
                      "complete -c wos -f\n"
                      "complete -c wos -l cwd -r -a '(__fish_complete_directories)'\n"
                      "complete -c wos -l json -d 'one JSON object on stdout'\n"
                      "complete -c wos -l help -d 'what a command takes'\n");
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *c = commands[i];
        if (c->summary == NULL) {
            continue;
        }
        buf_printf(out, "complete -c wos -n __fish_use_subcommand -a %s -d ", c->name);
        add_quoted(out, str_of(c->summary));
        buf_add_char(out, '\n');
        struct manual_words words;
        manual_words_read(&words, c);
        for (size_t k = 0; k < words.count; k++) {
            fish_word(out, c->name, &words.items[k]);
        }
    }
}

int manual_completion(const char *shell, struct buf *out, struct err *err)
{
    static const struct {
        const char *shell;
        void (*write)(struct buf *out);
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        if (strcmp(scripts[i].shell, shell) == 0) {
            scripts[i].write(out);
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "there is completion for bash, zsh and fish, not '%s'", shell);
}
