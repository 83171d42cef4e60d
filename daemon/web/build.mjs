/* Bundles the web UI and writes it as one C file for daemon/api/web_assets.h.
 *
 *     node build.mjs OUT [MODULES]
 *
 * OUT/dist gets the bundle, OUT/web_assets_data.c the bytes of every file of it, plain, gzip and
 * brotli. MODULES is the node_modules to use (default: beside this file). Called by CMake; prints
 * the size of the script that a page loads first. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2]);
const modules = resolve(process.argv[3] ?? join(here, 'node_modules'));
const esbuild = createRequire(join(modules, '_'))('esbuild');
const dist = join(out, 'dist');
const INITIAL_MAX = 60 * 1024;

const TYPES = {
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.svg': 'image/svg+xml',
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(join(dist, 'assets'), { recursive: true });
const result = await esbuild.build({
    absWorkingDir: here,
    entryPoints: { app: 'src/main.tsx', boot: 'src/boot.ts' },
    bundle: true,
    splitting: true,
    format: 'esm',
    minify: true,
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    nodePaths: [modules],
    outdir: join(dist, 'assets'),
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
});

const outputs = Object.entries(result.metafile.outputs);
const entry = outputs.find(([, o]) => o.entryPoint === 'src/main.tsx');
const boot = outputs.find(([, o]) => o.entryPoint === 'src/boot.ts');
const url = (path) => '/' + resolve(here, path).slice(dist.length + 1);
const initial = new Set([boot[0]]);
(function walk(path) {
    if (!initial.has(path)) {
        initial.add(path);
        for (const i of result.metafile.outputs[path].imports) {
            if (i.kind === 'import-statement') {
                walk(i.path);
            }
        }
    }
})(entry[0]);

const page = readFileSync(join(here, 'src/index.html'), 'utf8')
    .replace('BOOT', url(boot[0]))
    .replace('SCRIPT', url(entry[0]))
    .replace('STYLE', url(entry[1].cssBundle));
writeFileSync(join(dist, 'index.html'), page);
writeFileSync(join(dist, 'icon.svg'), readFileSync(join(here, 'src/icon.svg')));

/* --- the C file ---------------------------------------------------------------------- */

function files(folder, prefix) {
    return readdirSync(folder, { withFileTypes: true }).flatMap((e) => e.isDirectory()
        ? files(join(folder, e.name), `${prefix}${e.name}/`) : [`${prefix}${e.name}`]).sort();
}

function array(name, bytes) {
    const lines = [];
    for (let i = 0; i < bytes.length; i += 24) {
        lines.push(Array.from(bytes.subarray(i, i + 24)).join(','));
    }
    return `static const unsigned char ${name}[] = {\n${lines.join(',\n')}\n};\n`;
}

const arrays = [];
const rows = [];
let initialBytes = 0;
for (const path of files(dist, '')) {
    const plain = readFileSync(join(dist, path));
    const gzip = gzipSync(plain, { level: 9 });
    const brotli = brotliCompressSync(plain, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 11 },
    });
    const n = rows.length;
    const tag = createHash('sha256').update(plain).digest('hex').slice(0, 24);
    const slice = (kind, bytes) => {
        arrays.push(array(`${kind}_${n}`, bytes));
        return `{(const char *)${kind}_${n}, sizeof ${kind}_${n}}`;
    };
    rows.push(`    {"/${path}", "${TYPES[extname(path)]}", "${tag}", ${path.startsWith('assets/')},\n`
        + `     ${slice('plain', plain)},\n     ${slice('gzip', gzip)},\n`
        + `     ${slice('brotli', brotli)}},\n`);
    if ([...initial].some((i) => url(i) === `/${path}`)) {
        initialBytes += gzip.length;
    }
}
writeFileSync(join(out, 'web_assets_data.c'),
    `/* Made by daemon/web/build.mjs. */\n#include "daemon/api/web_assets_data.h"\n\n`
    + `${arrays.join('\n')}\nconst struct web_asset web_assets[] = {\n${rows.join('')}};\n`
    + `const size_t web_asset_count = ${rows.length};\n`);
console.log(`web UI: the first script is ${initialBytes} bytes (gzip)`);
if (initialBytes > INITIAL_MAX) {
    console.error(`that is more than ${INITIAL_MAX}`);
    process.exit(1);
}
