#!/bin/sh
# banned: functions that cannot be used safely, or hide errors. Comments and
# string literals may name them. Tests are held to it, too.
# Usage: tests/lint/banned.sh [FILE...]   Findings on stdout, exit 1 if there are any.
set -eu
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046 # file names in this repository have no spaces
    set -- $(find base certs routing acme gateway daemon cli tests \
        \( -name node_modules -o -name 'build*' -type d \) -prune -o -name '*.[ch]' -print \
        2>/dev/null | sort)
fi
[ $# -gt 0 ] || exit 0
awk '
    BEGIN {
        instead["strcpy"] = "struct buf, snprintf or memcpy"
        instead["strcat"] = "struct buf or snprintf"
        instead["sprintf"] = "snprintf or buf_printf"
        instead["strtok"] = "str_next"
        instead["atoi"] = "str_to_u64 or strtol"
        instead["gets"] = "read or fgets"
        instead["alloca"] = "an array of fixed size, the arena or xmalloc"
        instead["strncpy"] = "snprintf or memcpy"
    }
    # The line without literals and comments; `inside` spans lines.
    function code_of(line,    out, i, c, two, quote) {
        out = ""
        quote = ""
        for (i = 1; i <= length(line); i++) {
            c = substr(line, i, 1)
            two = substr(line, i, 2)
            if (inside) {
                if (two == "*/") { inside = 0; i++; out = out " " }
            } else if (quote != "") {
                if (c == "\\") { i++ } else if (c == quote) { quote = "" }
            } else if (two == "/*") { inside = 1; i++
            } else if (two == "//") { break
            } else if (c == "\"" || c == "\047") { quote = c; out = out " "
            } else { out = out c }
        }
        return out
    }
    FNR == 1 { inside = 0 }
    {
        code = " " code_of($0)
        for (name in instead) {
            if (code ~ ("[^A-Za-z0-9_]" name "[ \t]*\\(")) {
                printf "%s:%d: %s is banned; allowed: %s\n", FILENAME, FNR, name, instead[name]
                found = 1
            }
        }
    }
    END { exit found }
' "$@"
