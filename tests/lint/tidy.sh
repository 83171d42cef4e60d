#!/bin/bash
# clang-tidy with .clang-tidy over every source, two files at a time; prints its
# findings and fails if there are any. A machine without clang-tidy is an error:
# scripts/deps test installs it.
set -u
cd "$(dirname "$0")/../.." || exit 1

command -v clang-tidy >/dev/null || {
    echo 'clang-tidy is missing; scripts/deps test installs it'
    exit 1
}
cmake -S . -B build-tidy -G Ninja >/dev/null || exit 1
findings=$(git ls-files 'base/*.c' 'certs/*.c' 'routing/*.c' 'acme/*.c' 'gateway/*.c' \
    'daemon/*.c' 'cli/*.c' |
    xargs -P 2 -n 6 clang-tidy -p build-tidy --quiet 2>/dev/null |
    grep -E '(warning|error):' | sed "s#^$PWD/##" | sort -u)
[ -z "$findings" ] || {
    printf '%s\n' "$findings"
    exit 1
}
