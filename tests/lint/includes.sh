#!/bin/sh
# includes: layers depend strictly downward, by root-relative includes, and a
# library is used by one layer (or one file) only. The table is docs/ARCHITECTURE.md's.
# Usage: tests/lint/includes.sh [FILE...]   Findings on stdout, exit 1 if there are any.
set -eu
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046 # file names in this repository have no spaces
    set -- $(find base certs routing acme gateway daemon cli \
        \( -name node_modules -o -name 'build*' -type d \) -prune -o -name '*.[ch]' -print \
        2>/dev/null | sort)
fi
[ $# -gt 0 ] || exit 0
awk '
    BEGIN {
        # What a layer may include: whole layers, or single headers.
        may["base"] = "base"
        may["certs"] = "base certs"
        may["routing"] = "base certs routing"
        may["acme"] = "base certs acme"
        may["gateway"] = "base certs routing gateway"
        may["daemon"] = "base certs routing acme daemon gateway/link_protocol.h gateway/throttle.h"
        may["cli"] = "base cli gateway/link_protocol.h daemon/daemon.h daemon/forward.h daemon/config.h daemon/config_edit.h certs/fingerprint.h"
        # Where a library may be used: layers or single files.
        uses["curl"] = "base/fetch.c"
        uses["nghttp2"] = "gateway"
        uses["openssl"] = "certs routing acme gateway daemon"
        uses["wslay"] = "daemon gateway cli"
    }
    # Is `path`, or the layer it is in, one of the words of `list`?
    function listed(list, path,    words, count, i, top) {
        top = path
        sub(/\/.*/, "", top)
        count = split(list, words, " ")
        for (i = 1; i <= count; i++) {
            if (words[i] == path || words[i] == top) { return 1 }
        }
        return 0
    }
    function report(what) {
        printf "%s:%d: %s\n", FILENAME, FNR, what
        found = 1
    }
    FNR == 1 {
        file = FILENAME
        sub(/^\.\//, "", file)
        layer = file
        sub(/\/.*/, "", layer)
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        path = $0
        sub(/^[^"]*"/, "", path)
        sub(/".*/, "", path)
        top = path
        sub(/\/.*/, "", top)
        if (!(top in may)) {
            report("\"" path "\" is not a path from the root; allowed: \"<layer>/<file>.h\", <...> for libraries")
        } else if (path ~ /(^|\/)\.\.?\//) {
            report("\"" path "\" has a relative part; allowed: \"<layer>/<file>.h\"")
        } else if (!listed(may[layer], path)) {
            report(layer " includes \"" path "\"; allowed: " may[layer])
        }
    }
    /^[ \t]*#[ \t]*include[ \t]*</ {
        path = $0
        sub(/^[^<]*</, "", path)
        sub(/>.*/, "", path)
        library = path
        sub(/\/.*/, "", library)
        if (path ~ /\// && (library in uses) && !listed(uses[library], file)) {
            report("<" path "> is used outside " uses[library])
        }
        if (library in may) {
            report("<" path "> is ours; allowed: \"" path "\"")
        }
    }
    END { exit found }
' "$@"
