#!/bin/sh
# build.sh MODE OUT : makes OUT/web_assets_data.c, the web UI as C. Called by CMake.
# MODE auto: where npm cannot fetch what package-lock.json names (no network), the page that says
# so takes the UI's place. MODE on: that is an error. MODE off: that page.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mode=$1
out=$2
modules=$out/npm

instead() {
    cp "$here/none.c.in" "$out/web_assets_data.c"
    exit 0
}

mkdir -p "$modules"
[ "$mode" != off ] || instead
# Beside the build, not in the source tree; again only when the lock file changed.
if ! cmp -s "$here/package-lock.json" "$modules/installed.json"; then
    cp "$here/package.json" "$here/package-lock.json" "$modules/"
    if ! (cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) \
        >"$out/npm.log" 2>&1; then
        tail -n 5 "$out/npm.log" >&2
        if [ "$mode" = auto ]; then
            echo 'web UI: npm could not install what it is made with; this build has none.' >&2
            instead
        fi
        exit 1
    fi
    cp "$here/package-lock.json" "$modules/installed.json"
fi
node "$here/build.mjs" "$out" "$modules/node_modules"
