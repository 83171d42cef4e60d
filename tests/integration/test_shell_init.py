"""`wos init`: what it sees, what it writes, and that this runs with `wos up`."""
import json
import shutil

import pytest

import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")

SERVER = """
import http.server, os, sys
port = int(sys.argv[1] if len(sys.argv) > 1 else os.environ["PORT"])
http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SERVE = "%s server.py" % harness.PYTHON


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text))


RUNNABLE = {
    "procfile": ({"Procfile": "# comment\nweb: %s $PORT\nworker: exec sleep 1000\n" % SERVE,
                  "server.py": SERVER}, {"web", "worker"}, "Procfile: web"),
    "makefile": ({"Makefile": "all:\n\ttrue\ndev:\n\t%s\n" % SERVE, "server.py": SERVER},
                 {"web"}, "Makefile: target dev"),
    "static": ({"index.html": "<p>hi"}, {"web"}, "index.html"),
    "manage": ({"manage.py": "import sys\nsys.argv = ['', sys.argv[2].split(':')[1]]\n" + SERVER},
               {"web"}, "manage.py: Django"),
}
NODE = {
    "node": ({"package.json": {"scripts": {"dev": SERVE}}, "server.py": SERVER}, {"web"},
             "script dev"),
    "workspaces": ({"package.json": {"workspaces": ["apps/*"], "scripts": {"dev": "all"}},
                    "apps/shop/package.json": {"scripts": {"start": SERVE}},
                    "apps/admin/package.json": {"scripts": {"dev": SERVE}},
                    "apps/shop/server.py": SERVER, "apps/admin/server.py": SERVER,
                    "apps/lib/package.json": {"name": "lib"}}, {"shop", "admin"},
                   "apps/shop/package.json"),
}


@pytest.mark.parametrize("kind", [*RUNNABLE, *NODE])
def test_what_init_writes_runs(wos, kind):
    files, services, saw = {**RUNNABLE, **NODE}[kind]
    if kind in NODE and shutil.which("npm", path=wos.env()["PATH"]) is None:
        pytest.skip("npm is not installed")
    write(wos.source, files)
    result = wos.ok("init", cwd="alpha")
    assert saw in result.out and "wrote %s" % (wos.source / ".wos" / "deploy.yaml") in result.out
    up = wos.up("alpha", "--json")
    rows = wos.run("status", "--json", cwd="alpha").data["services"]
    assert {row["service"] for row in rows} == services, up
    listening = next(iter(services - {"worker"}))
    assert wos.get("alpha-%s" % listening, "/").status == 200


DETECTED = {
    "vite": ({"package.json": {"scripts": {"dev": "vite"}, "devDependencies": {"vite": "5"}},
              "package-lock.json": {}},
             ["npm run dev -- --port $WOS_SERVICE_PORT --strictPort", "ports: [5173]", "npm ci",
              "key: {files: [package-lock.json]}"]),
    "next": ({"package.json": {"scripts": {"dev": "next dev"}}, "pnpm-lock.yaml": ""},
             ["pnpm run dev -p $WOS_SERVICE_PORT", "ports: [3000]"]),
    "fastapi": ({"pyproject.toml": "dependencies = ['fastapi']", "uv.lock": "", "app/main.py": ""},
                ["uv run uvicorn app.main:app", "ports: [8000]"]),
    "flask": ({"requirements.txt": "Flask==3"}, ["flask run --host 127.0.0.1"]),
    "go": ({"go.mod": "module x", "cmd/api/main.go": ""}, ["go run ./cmd/api", "    api:"]),
    "rails": ({"bin/rails": "#!/usr/bin/env ruby\n", "Gemfile": "gem 'rails'"},
              ["bin/rails server -b 127.0.0.1 -p $WOS_SERVICE_PORT", "ports: [3000]",
               "bundle install"]),
    "cargo": ({"Cargo.toml": "[package]", "src/main.rs": ""}, ["cargo run"]),
}


@pytest.mark.parametrize("kind", DETECTED)
def test_what_init_sees(wos, kind):
    files, parts = DETECTED[kind]
    write(wos.source, files)
    wos.ok("init", cwd="alpha")
    text = (wos.source / ".wos" / "deploy.yaml").read_text()
    for part in parts:
        assert part in text
    # The file is good: up gets past its reading (the programs may be missing here).
    result = wos.run("up", "nobody", cwd="alpha")
    assert "no service named nobody" in result.err, result


def test_init_compose_file(wos):
    write(wos.source, {"docker-compose.yml": """
services:
  web: {image: nginx, ports: ["127.0.0.1:8080:80/tcp"]}
  api: {image: x, ports: [{target: 3000, published: 1}]}
  db: {image: postgres}
"""})
    result = wos.ok("init", "--json", cwd="alpha")
    assert result.data["services"] == ["web", "api"]
    text = (wos.source / ".wos" / "deploy.yaml").read_text()
    assert "mode: compose" in text and "config: docker-compose.yml" in text
    assert "- 'web:80'" in text and "- 'api:3000'" in text and "db" not in text


def test_init_never_overwrites(wos):
    write(wos.source, {"index.html": "x", ".env": "A=1", ".wos/deploy.worktree.yaml": "mine"})
    result = wos.run("init", cwd="beta")
    assert result.code == 1 and "deploy.worktree.yaml exists; --force replaces it" in result.err
    assert not (wos.source / ".wos" / "deploy.yaml").exists()
    wos.ok("init", "--force", cwd="beta")
    assert "clone_volumes: [.env]" in (wos.source / ".wos" / "deploy.worktree.yaml").read_text()
    assert "clone_volumes" not in (wos.source / ".wos" / "deploy.yaml").read_text().split("\n\n", 1)[1]
    assert not (wos.trees["beta"] / ".wos").exists()


def test_init_elsewhere(wos):
    assert wos.run("init", "x", cwd="alpha").code == 2
    outside = wos.run("init", cwd=wos.dir)
    assert outside.code == 3 and "wos must be run from inside a Git worktree" in outside.err
    result = wos.ok("init", cwd="alpha")
    assert "found nothing to start" in result.out
    assert "declares no services" in wos.run("up", cwd="alpha").err


def test_init_writes_config_json(wos):
    """Options of the system before: config.json, and no deploy.yaml."""
    config = wos.home / "config.json"
    before = config.read_text() if config.exists() else None
    saved = "Saved configuration to %s\n" % config
    try:
        config.write_text(json.dumps({"mine": {"a": 1}, "web": {"port": 4950, "theirs": 2}}))
        result = wos.ok("init", "--host=127.0.0.2", "--install-plugins", cwd=wos.dir)
        assert result.out == saved and "no agent plugins" in result.err
        assert json.loads(config.read_text()) == {
            "mine": {"a": 1}, "web": {"port": 4950, "host": "127.0.0.2", "theirs": 2},
            "terminalBackend": "default"}
        result = wos.ok("init", "--port", "4951", "--backend=tmux", "--install-tmux", "--yes", cwd="alpha")
        assert result.out == saved and "Debian's package: tmux" in result.err
        now = json.loads(config.read_text())
        assert now["web"]["port"] == 4951 and now["web"]["host"] == "127.0.0.2"
        assert now["terminalBackend"] == "tmux" and not (wos.source / ".wos").exists()
        # What could not be used changes nothing.
        result = wos.run("init", "--host", "0.0.0.0")
        assert result.code == 1 and "web.host: 0.0.0.0 is no loopback address" in result.err
        assert wos.run("init", "--host", "nowhere").code == 1
        for wrong in (["--port", "0"], ["--port=65536"], ["--backend=screen"], ["--host"], ["--host="],
                      ["--yes", "--force"], ["--yes", "x"]):
            assert wos.run("init", *wrong).code == 2, wrong
        assert json.loads(config.read_text()) == now
        # With the secret it goes, and is warned of.
        now["tunnel"] = {"webUi": {"secret": "correct horse"}}
        config.write_text(json.dumps(now))
        result = wos.ok("init", "--host", "0.0.0.0")
        assert result.out == saved and "0.0.0.0 is no loopback address" in result.err
        data = wos.ok("init", "--yes", "--json").data
        assert data["path"] == str(config) and data["notes"]
    finally:
        config.unlink() if before is None else config.write_text(before)
