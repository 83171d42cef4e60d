/* config_edit: changes to H/config.json, checked as a whole before anything is written.
 *
 *     struct config_edit *edit = config_edit_open(home, err);
 *     if (edit != NULL && config_edit_set(edit, "tunnel.hsts", value, err) == 0)
 *         autojson cJSON *errors = config_edit_errors(edit);
 *         if (cJSON_GetArraySize(errors) == 0) … config_edit_save(edit, err)
 *     config_edit_close(edit);
 *
 * An edit is refused for what it would make wrong, not for what was wrong before; unknown keys
 * that are there stay. The file is replaced whole, with mode 0600; a symbolic link stays one and
 * its target is replaced. Used by the daemon, and by `wos config` when no daemon runs. One thread;
 * small file I/O. Secrets are overwritten when it closes.
 */
#ifndef WOS_DAEMON_CONFIG_EDIT_H
#define WOS_DAEMON_CONFIG_EDIT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/err.h"

struct config_edit;

/* Reads the file; a missing one is empty. NULL with ERR_CONFIG when it holds no JSON object:
 * that has to be repaired by hand. */
struct config_edit *config_edit_open(const char *home, struct err *err);
void config_edit_close(struct config_edit *e);

/* Sets a key (or a block, to an object); the value is copied, null is as unset. ERR_USAGE for an
 * unknown key, with the nearest. */
int config_edit_set(struct config_edit *e, const char *key, const cJSON *value, struct err *err);
/* Removes a key or block; also an unknown one that is in the file. ERR_USAGE for any other. */
int config_edit_unset(struct config_edit *e, const char *key, struct err *err);
/* The draft takes the place of every known key that is no secret. Unknown keys, keys this version
 * only checks, `logging` and secrets stay unless the draft has them; null removes one. */
void config_edit_replace(struct config_edit *e, const cJSON *draft);

/* [{"field","message"}]: what would be wrong now and was not before; empty when it may be saved. */
cJSON *config_edit_errors(const struct config_edit *e);
int config_edit_save(struct config_edit *e, struct err *err);

/* What a file may show of itself: {"config": known keys without secrets and without those this
 * version only checks, "secrets": [keys of secrets that are set]}. */
cJSON *config_edit_json(const struct config_edit *e);

/* A value as it is written on a command line: by the key's type a word, a number, true or false, a
 * list a,b, or JSON. ERR_USAGE for an unknown key and for a text that cannot be one. */
cJSON *config_edit_value(const char *key, const char *text, struct err *err);
/* True for keys and blocks whose value must not be an argument of a program. */
bool config_edit_is_secret(const char *key);

#endif
