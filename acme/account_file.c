/* account_file: see account_file.h. Called by account.c alone. */
#include "acme/account_file.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acme/account.h"
#include "acme/when.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "certs/cert.h"
#include "certs/issue.h"

enum { FILE_LIMIT_BYTES = 64 * 1024, HASH_BYTES = 8, ACCOUNTS_MAX = 1000 };

char *account_path(const char *dir, const char *directory, const char *email)
{
    autofree char *text = xasprintf("%s\n%s", directory, email);
    for (char *at = text + strlen(directory); *at != '\0'; at++) {
        *at = ascii_lower(*at);
    }
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const uint8_t *)text, strlen(text), digest);
    char hash[2 * HASH_BYTES + 1];
    for (size_t i = 0; i < HASH_BYTES; i++) {
        (void)snprintf(hash + 2 * i, 3, "%02x", digest[i]);
    }
    return xasprintf("%s/accounts/%s/account.json", dir, hash);
}

void account_file_fini(struct account_file *file)
{
    free(file->url);
    EVP_PKEY_free(file->key);
    *file = (struct account_file){.url = NULL};
}

bool account_file_load(const char *path, const char *directory, struct account_file *out)
{
    struct buf text = {0};
    if (file_read(path, FILE_LIMIT_BYTES, &text, NULL) < 0) {
        buf_fini(&text);
        return false;
    }
    cJSON *json = json_parse(buf_str(&text), path, NULL);
    const char *pem = json_get_str(json, "privateKeyPem", "");
    bool matches = strcmp(json_get_str(json, "directory", ""), directory) == 0;
    EVP_PKEY *key = matches ? cert_key_parse(str_of(pem), NULL) : NULL;
    if (key != NULL) {
        *out = (struct account_file){
            .url = xstrdup(json_get_str(json, "accountUrl", "")),
            .key = key,
            .created_at = when_get(json, "createdAt"),
        };
    }
    char *secret = cJSON_GetStringValue(json_get(json, "privateKeyPem"));
    if (secret != NULL) {
        OPENSSL_cleanse(secret, strlen(secret));
    }
    cJSON_Delete(json);
    issue_buf_wipe(&text);
    return key != NULL;
}

int account_file_save(const char *path, const char *directory, const char *email,
                      const struct account_file *file, struct err *err)
{
    char created[32];
    struct buf pem = {0};
    autofree char *parent = xstrndup(path, strlen(path) - strlen("/account.json"));
    if (dir_make(parent, 0700, err) < 0 || issue_key_pem(file->key, &pem, err) < 0) {
        issue_buf_wipe(&pem);
        return err_wrap(err, "the ACME account");
    }
    cert_time_format(file->created_at, created, sizeof created);
    cJSON *json = cJSON_CreateObject();
    CHECK(json != NULL);
    json_add_str(json, "directory", directory);
    json_add_str(json, "email", email);
    json_add_str(json, "accountUrl", file->url);
    json_add_str(json, "privateKeyPem", buf_cstr(&pem));
    json_add_str(json, "createdAt", created);
    char *text = json_print(json);
    int result = file_write_atomic(path, str_of(text), 0600, err);
    OPENSSL_cleanse(text, strlen(text));
    free(text);
    char *secret = cJSON_GetStringValue(json_get(json, "privateKeyPem"));
    OPENSSL_cleanse(secret, strlen(secret));
    cJSON_Delete(json);
    issue_buf_wipe(&pem);
    return result < 0 ? err_wrap(err, "the ACME account") : 0;
}

/* Calls fn for account.json in every folder until it says stop. */
typedef void visit_fn(void *arg, const char *path);

static void visit(const char *dir, visit_fn *fn, void *arg)
{
    autofree char *accounts = path_join(dir, "accounts");
    DIR *list = opendir(accounts);
    struct dirent *entry;
    for (int i = 0; list != NULL && i < ACCOUNTS_MAX && (entry = readdir(list)) != NULL; i++) {
        if (entry->d_name[0] != '.') {
            autofree char *path = xasprintf("%s/%s/account.json", accounts, entry->d_name);
            fn(arg, path);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

struct search {
    const char *directory;
    struct account_file best;
};

static void search_visit(void *arg, const char *path)
{
    struct search *search = arg;
    struct account_file file = {.url = NULL};
    if (!account_file_load(path, search->directory, &file)) {
        return;
    }
    bool better = file.url[0] != '\0' &&
                  (search->best.key == NULL || file.created_at > search->best.created_at);
    if (better) {
        account_file_fini(&search->best);
        search->best = file;
    } else {
        account_file_fini(&file);
    }
}

bool account_file_find(const char *dir, const char *directory, struct account_file *out)
{
    struct search search = {.directory = directory};
    visit(dir, search_visit, &search);
    if (search.best.key == NULL) {
        return false;
    }
    *out = search.best;
    return true;
}

static void delete_visit(void *arg, const char *path)
{
    const char *url = arg;
    struct buf text = {0};
    bool is_it = false;
    if (file_read(path, FILE_LIMIT_BYTES, &text, NULL) == 0) {
        autojson cJSON *json = json_parse(buf_str(&text), path, NULL);
        is_it = strcmp(json_get_str(json, "accountUrl", ""), url) == 0;
    }
    issue_buf_wipe(&text);
    if (is_it) {
        autofree char *parent = xstrndup(path, strlen(path) - strlen("/account.json"));
        (void)path_remove_all(parent, NULL); /* what stays is useless: the CA knows it no more */
    }
}

void account_file_delete(const char *dir, const char *url)
{
    visit(dir, delete_visit, (void *)(uintptr_t)url);
}
