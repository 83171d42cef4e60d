#!/bin/sh
# sizes: no source file over 600 lines, no function over 70 (tests are exempt).
# A function's body is what stands between "{" and "}" in the first column.
# Usage: tests/lint/sizes.sh [FILE...]   Findings on stdout, exit 1 if there are any.
set -eu
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046 # file names in this repository have no spaces
    set -- $(find base certs routing acme gateway daemon cli \
        \( -name node_modules -o -name 'build*' -type d \) -prune -o -name '*.[ch]' -print \
        2>/dev/null | sort)
fi
[ $# -gt 0 ] || exit 0
awk -v file_max=600 -v function_max=70 '
    function end_file() {
        if (lines > file_max) {
            printf "%s:%d: file of %d lines, %d are allowed\n", file, file_max + 1, lines, file_max
            found = 1
        }
    }
    FNR == 1 {
        end_file()
        file = FILENAME
        start = 0
        head = 0
    }
    { lines = FNR }
    /^[a-zA-Z_].*\(/ { head = FNR; name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    /^{$/ { start = FNR }
    /^}/ && start > 0 {
        size = FNR - start + 1
        if (FILENAME ~ /\.c$/ && size > function_max) {
            at = head
            if (at == 0) { at = start; name = "?" }
            printf "%s:%d: function %s of %d lines, %d are allowed\n", FILENAME, at, name, size,
                function_max
            found = 1
        }
        start = 0
        head = 0
    }
    END {
        end_file()
        exit found
    }
' "$@"
