#!/bin/bash
# docs/SECURITY.md names every key of tunnel.limits once in its table, no other, the fixed bounds with the
# numbers they have, and only files and fuzzers that there are.
# shellcheck disable=SC2016 # the back quotes are those of the page
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
page=docs/SECURITY.md
bad=0

complain() {
    printf '%s: %s\n' "$page" "$1"
    bad=1
}

keys=$(grep -o '"tunnel\.limits\.[A-Za-z][A-Za-z]*"' daemon/config_keys.c | tr -d '"' | sed 's/.*\.//' | sort -u)
table=$(sed -n '/^## Limits/,/^## /p' "$page" | sed -n 's/^| `\([A-Za-z]*\)` |.*/\1/p' | sort)
# Two empty lists would agree: a key is looked for wrongly, or the table is gone.
[ "$(printf '%s\n' "$keys" | wc -l)" -ge 20 ] || complain "too few limits found in config_keys.c"
[ "$(printf '%s\n' "$table" | wc -l)" -ge 20 ] || complain "the table of limits was not found"
difference=$(diff <(printf '%s\n' "$keys") <(printf '%s\n' "$table")) ||
    complain "limits (< only in config_keys.c, > only here): $difference"

fixed=$(sed -n '/^## Fixed bounds/,/^## /p' "$page" | sed -n 's/^| `\([A-Z0-9_]*\)` | \([0-9]*\) |.*/\1 = \2/p')
[ "$(printf '%s\n' "$fixed" | wc -l)" -ge 10 ] || complain "the table of fixed bounds was not found"
while read -r bound; do
    grep -qw "$bound" gateway/*.[ch] || complain "there is no $bound"
done <<<"$fixed"

for name in $(grep -o '`[A-Za-z0-9_/]*\.[ch]`\|`[A-Za-z0-9_/]*\.py`' "$page" | tr -d '`' | sort -u); do
    [ -n "$(git ls-files "$name" "*/$name")" ] || complain "there is no $name"
done

for name in $(grep -o 'fuzzers\? `[a-z0-9_`, ]*\( and `[a-z0-9_]*`\)\?' "$page" | grep -o '`[a-z0-9_]*`' | tr -d '`' | sort -u); do
    [ -e "tests/fuzz/fuzz_$name.c" ] || complain "there is no fuzzer $name"
done
exit "$bad"
