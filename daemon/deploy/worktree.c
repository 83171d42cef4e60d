/* worktree: asks git where a path is. Called by the API for every request that
 * names a path; loop thread. Two short git runs: `rev-parse --show-toplevel`, then
 * `worktree list --porcelain`. */
#include "daemon/deploy/worktree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "daemon/deploy/digest.h"
#include "daemon/git.h"
#include "daemon/store/store.h"
#include "routing/host.h"

#define LOOKUP_MAGIC 0x574c4b50u
enum { SLUG_MAX = 48 };

struct worktree_lookup {
    uint32_t magic;
    struct loop *loop; /* borrowed */
    char *home;        /* owned */
    char *path;        /* owned */
    char *root;        /* owned: known after the first git run */
    worktree_done_fn *on_done;
    void *arg;      /* borrowed */
    struct err err; /* of a start that failed at once */
    bool cancelled; /* a git run is under way that must end quietly */
};

bool worktree_entry_next(struct str *rest, struct worktree_entry *out)
{
    struct worktree_entry entry = {0};
    bool any = false;
    struct str line;
    while (rest->ptr != NULL && str_next(rest, '\n', &line)) {
        if (line.len == 0) {
            if (any) {
                break;
            }
            continue;
        }
        size_t at = str_find(line, ' ');
        struct str key = {line.ptr, at};
        struct str value =
            at == line.len ? STR_NONE : (struct str){line.ptr + at + 1, line.len - at - 1};
        struct str heads = STR("refs/heads/");
        any = true;
        if (str_eq(key, STR("worktree"))) {
            entry.path = value;
        } else if (str_eq(key, STR("HEAD"))) {
            entry.head = value;
        } else if (str_eq(key, STR("branch"))) {
            entry.branch = str_starts(value, heads)
                               ? (struct str){value.ptr + heads.len, value.len - heads.len}
                               : value;
        } else if (str_eq(key, STR("bare"))) {
            entry.bare = true;
        } else if (str_eq(key, STR("detached"))) {
            entry.detached = true;
        }
    }
    if (any) {
        *out = entry;
    }
    return any;
}

bool worktree_pick_source(struct str porcelain, struct worktree_entry *out)
{
    struct worktree_entry entry;
    bool any = false;
    while (worktree_entry_next(&porcelain, &entry)) {
        if (!entry.bare && !entry.detached) {
            *out = entry;
            return true;
        }
        if (!any) {
            *out = entry;
            any = true;
        }
    }
    return any;
}

static bool byte_is_plain(char c)
{
    char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || ascii_is_digit(c) || c == '.' || c == '_' || c == '-';
}

/* File names that other systems treat as devices; kept for shared home folders. */
static bool name_is_device(const char *name)
{
    static const char *const words[] = {"con", "prn", "aux", "nul"};
    struct str stem = str_of(name);
    stem.len = str_find(stem, '.');
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (str_eq_nocase(stem, str_of(words[i]))) {
            return true;
        }
    }
    struct str head = {stem.ptr, 3};
    return stem.len == 4 && stem.ptr[3] >= '1' && stem.ptr[3] <= '9' &&
           (str_eq_nocase(head, STR("com")) || str_eq_nocase(head, STR("lpt")));
}

static bool session_name_is_plain(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 200 || name[len - 1] == '.' || name[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!byte_is_plain(name[i])) {
            return false;
        }
    }
    return !name_is_device(name);
}

static char *session_name_hashed(const char *root, const char *slug_from)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    digest_sha256(str_of(root), digest);
    autofree char *hex = digest_hex(digest, 10);
    struct buf slug = {0};
    for (const char *p = slug_from; *p != '\0' && slug.len < SLUG_MAX; p++) {
        bool plain = byte_is_plain(*p) && !(*p == '.' && slug.len == 0);
        char c = plain ? *p : '-';
        if (c != '-' || (slug.len > 0 && slug.ptr[slug.len - 1] != '-')) {
            buf_add_char(&slug, c);
        }
    }
    while (slug.len > 0 && slug.ptr[slug.len - 1] == '-') {
        slug.len--;
    }
    if (slug.len == 0) {
        buf_add_text(&slug, "worktree");
    }
    char *name = xasprintf("%s--%s", buf_cstr(&slug), hex);
    buf_fini(&slug);
    return name;
}

/* False when the directory's state.json names another worktree. */
static bool session_dir_is_ours(const char *home, const char *name, const char *root)
{
    autojson cJSON *state = store_load_state(home, name, NULL);
    const char *owner = json_get_str(state, "worktreeRoot", NULL);
    return owner == NULL || strcmp(owner, root) == 0;
}

char *worktree_session_name(const char *home, const char *root)
{
    char *plain = xstrdup(root[0] == '/' ? root + 1 : root);
    for (char *p = plain; *p != '\0'; p++) {
        *p = *p == '/' ? '-' : *p;
    }
    bool usable = session_name_is_plain(plain);
    if (!usable && strlen(plain) <= 200 && plain[0] != '.' && plain[0] != '\0') {
        autofree char *dir = store_session_dir(home, plain);
        usable = file_exists(dir);
    }
    if (usable && session_dir_is_ours(home, plain, root)) {
        return plain;
    }
    char *hashed = session_name_hashed(root, plain);
    free(plain);
    return hashed;
}

char *worktree_project_name(const char *root, const char *source)
{
    const char *slash = strrchr(source, '/');
    struct buf repo = {0};
    for (const char *p = slash == NULL ? source : slash + 1; *p != '\0'; p++) {
        char c = ascii_lower(*p);
        bool keep = (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '_';
        if (keep) {
            buf_add_char(&repo, c);
        } else if (repo.len > 0 && repo.ptr[repo.len - 1] != '-') {
            buf_add_char(&repo, '-');
        }
    }
    while (repo.len > 0 && repo.ptr[repo.len - 1] == '-') {
        repo.len--;
    }
    uint8_t digest[DIGEST_SHA1_SIZE];
    digest_sha1(str_of(root), digest);
    autofree char *hex = digest_hex(digest, 8);
    char *name = xasprintf("wos-%s-%s", repo.len == 0 ? "repo" : buf_cstr(&repo), hex);
    buf_fini(&repo);
    return name;
}

static char *dup_or_null(const char *text)
{
    return text == NULL ? NULL : xstrdup(text);
}

void worktree_copy(struct worktree *to, const struct worktree *from)
{
    *to = (struct worktree){.root = dup_or_null(from->root),
                            .source = dup_or_null(from->source),
                            .session_name = dup_or_null(from->session_name),
                            .session_dir = dup_or_null(from->session_dir),
                            .project_name = dup_or_null(from->project_name),
                            .label = dup_or_null(from->label),
                            .branch = dup_or_null(from->branch),
                            .head = dup_or_null(from->head),
                            .is_source = from->is_source};
}

void worktree_fini(struct worktree *wt)
{
    free(wt->root);
    free(wt->source);
    free(wt->session_name);
    free(wt->session_dir);
    free(wt->project_name);
    free(wt->label);
    free(wt->branch);
    free(wt->head);
    *wt = (struct worktree){0};
}

static void lookup_free(struct worktree_lookup *lookup)
{
    free(lookup->home);
    free(lookup->path);
    free(lookup->root);
    lookup->magic = 0;
    free(lookup);
}

static void lookup_fail(struct worktree_lookup *lookup, const struct err *err)
{
    worktree_done_fn *on_done = lookup->on_done;
    void *arg = lookup->arg;
    struct err copy = *err;
    lookup_free(lookup);
    on_done(arg, NULL, &copy);
}

/* A git that failed: outside a worktree gets our own sentence, else git's. */
static void lookup_fail_git(struct worktree_lookup *lookup, const struct subprocess_output *output)
{
    struct err err = {0};
    autofree char *said = str_dup(str_trim(output->err));
    said[strcspn(said, "\n")] = '\0';
    if (output->timed_out) {
        (void)err_set(&err, ERR_TIMEOUT, "git did not answer within %d s", GIT_TIMEOUT_MS / 1000);
    } else if (strstr(said, "not a git repository") != NULL ||
               strstr(said, "must be run in a work tree") != NULL || said[0] == '\0') {
        (void)err_set(&err, ERR_CONFIG, "%s", WORKTREE_NOT_GIT);
    } else {
        (void)err_set(&err, ERR_CONFIG, "git: %s", said);
    }
    lookup_fail(lookup, &err);
}

static void worktree_fill(struct worktree *wt, const struct worktree_lookup *lookup,
                          struct str porcelain)
{
    struct worktree_entry source = {0};
    (void)worktree_pick_source(porcelain, &source);
    wt->root = xstrdup(lookup->root);
    wt->source = source.path.len > 0 ? str_dup(source.path) : xstrdup(lookup->root);
    struct worktree_entry entry;
    while (worktree_entry_next(&porcelain, &entry)) {
        if (str_eq(entry.path, str_of(wt->root))) {
            wt->head = entry.head.ptr == NULL ? NULL : str_dup(entry.head);
            wt->branch = entry.branch.ptr == NULL ? NULL : str_dup(entry.branch);
        }
    }
    wt->is_source = strcmp(wt->root, wt->source) == 0;
    wt->session_name = worktree_session_name(lookup->home, wt->root);
    wt->session_dir = store_session_dir(lookup->home, wt->session_name);
    wt->project_name = worktree_project_name(wt->root, wt->source);
    const char *slash = strrchr(wt->root, '/');
    wt->label = host_label_sanitise(str_of(slash == NULL ? wt->root : slash + 1), "worktree");
}

static void lookup_on_list(void *arg, const struct subprocess_output *output)
{
    struct worktree_lookup *lookup = arg;
    CHECK(lookup->magic == LOOKUP_MAGIC);
    if (lookup->cancelled) {
        lookup_free(lookup);
        return;
    }
    if (!git_succeeded(output)) {
        lookup_fail_git(lookup, output);
        return;
    }
    struct worktree wt = {0};
    worktree_fill(&wt, lookup, output->out);
    worktree_done_fn *on_done = lookup->on_done;
    void *done_arg = lookup->arg;
    lookup_free(lookup);
    on_done(done_arg, &wt, NULL);
    worktree_fini(&wt);
}

static int git_run(struct worktree_lookup *lookup, const char *const *argv,
                   subprocess_output_fn *on_done, struct err *err)
{
    return git_start(lookup->loop, lookup->path, argv, on_done, lookup, err);
}

static void lookup_on_toplevel(void *arg, const struct subprocess_output *output)
{
    struct worktree_lookup *lookup = arg;
    CHECK(lookup->magic == LOOKUP_MAGIC);
    if (lookup->cancelled) {
        lookup_free(lookup);
        return;
    }
    struct str top = output->out;
    while (top.len > 0 && top.ptr[top.len - 1] == '\n') {
        top.len--;
    }
    if (!git_succeeded(output) || top.len == 0) {
        lookup_fail_git(lookup, output);
        return;
    }
    lookup->root = str_dup(top);
    static const char *const argv[] = {"git", "worktree", "list", "--porcelain", NULL};
    struct err err = {0};
    if (git_run(lookup, argv, lookup_on_list, &err) < 0) {
        lookup_fail(lookup, &err);
    }
}

static void lookup_on_early_failure(void *arg)
{
    struct worktree_lookup *lookup = arg;
    CHECK(lookup->magic == LOOKUP_MAGIC);
    if (lookup->cancelled) {
        lookup_free(lookup);
        return;
    }
    struct err err = lookup->err;
    lookup_fail(lookup, &err);
}

struct worktree_lookup *worktree_resolve(struct loop *loop, const char *home, const char *path,
                                         worktree_done_fn *on_done, void *arg)
{
    static const char *const argv[] = {"git", "rev-parse", "--show-toplevel", NULL};
    struct worktree_lookup *lookup = xcalloc(1, sizeof(*lookup));
    lookup->magic = LOOKUP_MAGIC;
    lookup->loop = loop;
    lookup->home = xstrdup(home);
    lookup->path = xstrdup(path);
    lookup->on_done = on_done;
    lookup->arg = arg;
    struct stat st;
    int rc;
    if (path[0] != '/') {
        rc = err_set(&lookup->err, ERR_USAGE, "path %s is not absolute", path);
    } else if (stat(path, &st) < 0) {
        rc = err_set_sys(&lookup->err, "%s", path);
    } else if (!S_ISDIR(st.st_mode)) {
        rc = err_set(&lookup->err, ERR_CONFIG, "%s is not a directory", path);
    } else {
        rc = git_run(lookup, argv, lookup_on_toplevel, &lookup->err);
    }
    if (rc < 0) {
        loop_defer(loop, lookup_on_early_failure, lookup);
    }
    return lookup;
}

void worktree_lookup_cancel(struct worktree_lookup *lookup)
{
    if (lookup != NULL) {
        CHECK(lookup->magic == LOOKUP_MAGIC);
        lookup->cancelled = true;
    }
}
