"""One wos of its own for a test: home, repository, worktrees, services.

    with Wos() as wos:                 # temp home, config.json, repo with two worktrees
        wos.deploy("alpha", {...})     # writes .wos/deploy.yaml
        wos.up("alpha")                # runs the binary of $WOS_BIN
        wos.get("alpha-web", "/hello")

Everything lives under one short directory in /tmp (a Unix socket's path has room
for 107 bytes). Leaving runs `wos down` everywhere and `wos stop`, and then looks for
processes that still carry this home in their environment: only those are
ended, and any that there were make the test fail.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import clients

ROOT = Path(__file__).resolve().parents[2]
FAKES = ROOT / "tests" / "fakes"
BROWSER = ROOT / "tests" / "browser"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
BIN = Path(os.environ.get("WOS_BIN") or ROOT / "build-test" / "wos").resolve()
DOMAIN = "wos.localhost"
PATIENCE = float(os.environ.get("WOS_TEST_PATIENCE", "60"))

_handed_out = set()


def free_port():
    """A port free on every address, never the same twice before all were had. Below the
    ephemeral range and the default range of services, so that nobody takes it; each process of
    pytest-xdist has its own quarter, since some tests count on a port that nothing listens on."""
    quarter = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
    first, count = 10000 + quarter * 2500, 2500
    if len(_handed_out) > count - 100:
        _handed_out.clear()
    for i in range(count):
        port = first + (os.getpid() * 7 + i) % count
        if port in _handed_out:
            continue
        try:
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                with socket.socket(family) as s:
                    if family == socket.AF_INET6:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((host, port))
        except OSError:
            continue
        _handed_out.add(port)
        return port
    raise RuntimeError("no free port")


def until(what, probe, timeout=PATIENCE, pause=0.05):
    """Calls probe() until it gives something true, and returns that. An
    exception of the probe is kept as the reason of a failure."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            got = probe()
            if got:
                return got
            last = got
        except (OSError, AssertionError, ValueError, KeyError, clients.ClientError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError("not within %.0f s: %s (last: %r)" % (timeout, what, last))
        time.sleep(pause)


def alive(pid):
    """True unless gone or a zombie."""
    try:
        with open("/proc/%d/stat" % pid, encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def rss_bytes(pid, peak=False):
    """Now, or the most there was since its start."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith("VmHWM:" if peak else "VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def browser_script(name, options, **keys):
    """Runs tests/browser/NAME."""
    return subprocess.run(["node", str(BROWSER / name), json.dumps(options)], cwd=BROWSER,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=220, check=False, **keys)


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def data(self):
        return self.json["data"]

    def __repr__(self):
        return "wos %s: exit %s\n--- stdout\n%s--- stderr\n%s" % (
            " ".join(map(str, self.args)), self.code, self.out[-6000:], self.err[-6000:])


def python_service(name, extra="", **keys):
    """A shell-mode service: the Python fake on its first port."""
    service = {
        "script": ["exec %s %s/backend.py --port $WOS_SERVICE_PORT --name %s %s"
                   % (PYTHON, FAKES, name, extra)],
        "ports": [3000],
    }
    service.update(keys)
    return service


def shell_app(**services):
    return {"mode": "shell", "app": {"services": services}}


def to_yaml(value):
    """JSON is YAML; a string stands for itself (a hand-written file)."""
    return value if isinstance(value, str) else json.dumps(value, indent=2) + "\n"


class Wos:
    def __init__(self, config=None, tunnel=None, ssl=None, service_tunnels=None,
                 source="alpha", worktrees=("beta",)):
        self.dir = Path(tempfile.mkdtemp(prefix="wos-t-", dir="/tmp"))
        self.home = self.dir / "h"
        self.home.mkdir()
        self.user_home = self.dir / "user"
        self.user_home.mkdir()
        self.port = free_port()
        self.web_port = free_port()
        self.leftovers = []
        self.procs = []
        self.tls = True
        self._ca = None
        self.config = {
            "web": {"port": self.web_port},
            "tunnel": {
                "enabled": True, "port": self.port, "domain": DOMAIN,
                "ssl": ssl if ssl is not None else {"enabled": True, "source": "self-signed"},
                "serviceTunnels": {"enabled": True, **(service_tunnels or {})},
                **(tunnel or {}),
            },
            **(config or {}),
        }
        self.tls = bool(self.config["tunnel"].get("ssl", {}).get("enabled"))
        self.write_config()
        self.trees = {}
        self._repository(source, worktrees)

    # --- life -------------------------------------------------------------
    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        problems = self.close()
        if kind is None and problems:
            raise AssertionError("; ".join(problems))

    def close(self):
        """Ends everything; the list of what should not have been left."""
        problems = []
        for proc in self.procs:
            if proc.poll() is None:
                proc.terminate()
                try:
                    proc.wait(10)
                except subprocess.TimeoutExpired:
                    proc.kill()
                    proc.wait()
            for stream in (proc.stdin, proc.stdout, proc.stderr):
                if stream is not None:
                    stream.close()
        if BIN.exists() and (self.home / "sessions").exists():
            for tree in self.trees.values():
                if not tree.is_dir():
                    continue
                try:
                    self.run("down", cwd=tree, timeout=60)
                except subprocess.TimeoutExpired:
                    problems.append("wos down in %s hangs" % tree.name)
        if BIN.exists():
            try:
                self.run("stop", timeout=60)
            except subprocess.TimeoutExpired:
                problems.append("wos stop hangs")
        try:
            until("every process ended", lambda: not self.processes(), timeout=15)
        except AssertionError:
            left = self.processes()
            problems.append("left running after down and stop: %s" % left)
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        sanitizer = self.sanitizer_reports()
        if sanitizer:
            problems.append("sanitizer report: " + sanitizer)
        if not problems and not os.environ.get("WOS_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        elif problems:
            problems.append("kept: %s" % self.dir)
        return problems

    def processes(self):
        """pid → command line of what carries this home in its environment."""
        found = {}
        needle = ("WOS_HOME=%s" % self.home).encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open("/proc/%s/environ" % entry, "rb") as f:
                    if needle not in f.read().split(b"\0"):
                        continue
                with open("/proc/%s/cmdline" % entry, "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode("latin-1").strip()
            except OSError:
                continue
            if alive(int(entry)):
                found[int(entry)] = line
        return found

    def logs(self):
        """Every log of this home, for a failed test's report."""
        text = []
        for path in sorted(self.home.rglob("*")):
            if path.is_file() and (path.suffix == ".log" or path.name in (
                    "state.json", "daemon.json", "config.json", "last-up-failure.json")):
                body = path.read_bytes()[-12000:].decode("utf-8", "replace")
                text.append("===== %s\n%s" % (path.relative_to(self.dir), body))
        for path in sorted(self.dir.glob("san.*")):
            text.append("===== %s\n%s" % (path.name, path.read_text(errors="replace")[:12000]))
        return "\n".join(text)

    def sanitizer_reports(self):
        return "".join(p.read_text(errors="replace")[:3000] for p in self.dir.glob("san.*"))

    # --- files ------------------------------------------------------------
    def write_config(self, text=None):
        (self.home / "config.json").write_text(
            text if text is not None else json.dumps(self.config, indent=2))

    def git(self, *args, cwd):
        return subprocess.run(["git", *map(str, args)], cwd=cwd, env=self.env(), check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60).stdout

    def _repository(self, source, worktrees):
        base = self.dir / "w"
        base.mkdir()
        tree = base / source
        tree.mkdir()
        self.git("init", "-q", "-b", "main", ".", cwd=tree)
        (tree / "README").write_text("a sample\n")
        self.git("add", ".", cwd=tree)
        self.git("commit", "-q", "-m", "first", cwd=tree)
        self.source = tree
        self.trees[source] = tree
        for name in worktrees:
            self.add_worktree(name)

    def add_worktree(self, name):
        path = self.dir / "w" / name
        branch = "branch-%d" % len(self.trees)
        self.git("worktree", "add", "-q", "-b", branch, path, cwd=self.source)
        self.trees[path.name] = path
        return path

    def deploy(self, source=None, worktree=None):
        """Writes .wos/deploy.yaml and .wos/deploy.worktree.yaml of the source
        worktree; dicts or YAML text. Without `worktree` both are the same."""
        folder = self.source / ".wos"
        folder.mkdir(exist_ok=True)
        if source is not None:
            (folder / "deploy.yaml").write_text(to_yaml(source))
        if worktree is None:
            worktree = source
        if worktree is not None:
            (folder / "deploy.worktree.yaml").write_text(to_yaml(worktree))

    # --- the command --------------------------------------------------------
    def env(self, **extra):
        env = {k: v for k, v in os.environ.items()
               if k in ("PATH", "TERM", "TMPDIR", "TZ") or k.startswith(("WOS_TRACE", "LSAN_"))}
        env["PATH"] = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        env.update({
            "HOME": str(self.user_home), "WOS_HOME": str(self.home), "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example.com"})
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            given = os.environ.get(name)
            kind = "log_path=%s/san.%s" % (self.dir, name[:4].lower())
            env[name] = "%s:%s" % (given, kind) if given else kind
        env["UBSAN_OPTIONS"] += ":print_stacktrace=1"
        env.update(extra)
        return {k: v for k, v in env.items() if v is not None}

    def run(self, *args, cwd=None, timeout=120, env=None, text_input=None):
        """`wos args…`; cwd is a worktree's name, a path, or nothing special."""
        done = subprocess.run([str(BIN), *map(str, args)], cwd=self._cwd(cwd),
                              env=env or self.env(), timeout=timeout, text=True,
                              stdin=subprocess.DEVNULL if text_input is None else None,
                              input=text_input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              errors="replace", check=False)
        return Result(args, done.returncode, done.stdout, done.stderr)

    def ok(self, *args, **keys):
        result = self.run(*args, **keys)
        assert result.code == 0, result
        return result

    def popen(self, *args, cwd=None, env=None, **keys):
        keys.setdefault("stdout", subprocess.PIPE)
        keys.setdefault("stderr", subprocess.PIPE)
        keys.setdefault("stdin", subprocess.DEVNULL)
        proc = subprocess.Popen([str(BIN), *map(str, args)], cwd=self._cwd(cwd),
                                env=env or self.env(), text=True, **keys)
        self.procs.append(proc)
        return proc

    def _cwd(self, cwd):
        if cwd is None:
            return self.dir
        return self.trees.get(cwd, cwd) if isinstance(cwd, str) else cwd

    def up(self, tree="alpha", *args, **keys):
        return self.ok("up", *args, cwd=tree, **keys)

    def down(self, tree="alpha", **keys):
        return self.ok("down", cwd=tree, **keys)

    def status_all(self):
        return self.ok("status", "--all", "--json").data

    def routes(self):
        return {r["host"]: r for r in self.status_all()["routes"]}

    def certificate(self):
        return self.status_all()["certificate"]

    def gateway_pid(self):
        return self.status_all()["tunnel"].get("gatewayPid")

    def daemon_pid(self):
        return json.loads((self.home / "daemon.json").read_text())["pid"]

    def session_dir(self, tree="alpha"):
        for path in sorted((self.home / "sessions").glob("*/state.json")):
            if json.loads(path.read_text()).get("worktreeRoot") == str(self.trees[tree]):
                return path.parent
        raise AssertionError("no session of %s under %s" % (tree, self.home))

    def state(self, tree="alpha"):
        return json.loads((self.session_dir(tree) / "state.json").read_text())

    def service_pids(self, tree="alpha"):
        services = (self.state(tree).get("shell") or {}).get("services") or {}
        return {name: s["pid"] for name, s in services.items()}

    def host_port(self, tree="alpha", service="web", port=3000):
        return self.state(tree)["portAssignments"][service][str(port)]

    # --- through the gateway ------------------------------------------------
    def host(self, label):
        return label if "." in label else "%s.%s" % (label, DOMAIN)

    def url(self, label, path="/"):
        scheme = "https" if self.tls else "http"
        return "%s://%s:%d%s" % (scheme, self.host(label), self.port, path)

    @property
    def ca(self):
        """Path of the CA certificate to trust."""
        if self._ca is None and self.tls:
            self._ca = self.ok("cert", "path", "--ca").out.strip()
        return self._ca

    def h1(self, label, **keys):
        return clients.Http1(self.port, self.host(label), ca=self.ca, **keys)

    def h2(self, label, **keys):
        return clients.Http2(self.port, self.host(label), ca=self.ca, **keys)

    def get(self, label, path="/", method="GET", headers=(), body=None, http="h1", **keys):
        """One request on a connection of its own."""
        open_it = self.h1 if http == "h1" else self.h2
        with open_it(label) as client:
            return client.request(method, path, headers=headers, body=body, **keys)

    def wait_route(self, label, path="/", status=200, timeout=PATIENCE):
        def probe():
            answer = self.get(label, path)
            assert answer.status == status, answer
            return answer
        return until("%s answers %d" % (label, status), probe, timeout)

    def ws(self, label, path="/ws", http="h1", **keys):
        open_it = clients.WebSocket1 if http == "h1" else clients.WebSocket2
        return open_it(self.port, self.host(label), path, ca=self.ca, **keys)

    def curl(self, *args, timeout=120):
        """curl with the CA given; (exit code, stdout bytes, stderr text)."""
        trust = ["--cacert", self.ca] if self.tls else []
        done = subprocess.run(["curl", "-sS", *trust, *map(str, args)], env=self.env(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, check=False)
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")

    # --- things wos did not start --------------------------------------------
    def start(self, argv, ready_port=None, **keys):
        """A process of the test's own, ended with it."""
        log = open(self.dir / ("own-%d.log" % len(self.procs)), "wb")
        env = keys.pop("env", None) or self.env(WOS_HOME=None)
        proc = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log, env=env, **keys)
        log.close()
        self.procs.append(proc)
        if ready_port:
            def listening():
                assert proc.poll() is None, "%s ended with %s" % (argv[0], proc.poll())
                socket.create_connection(("127.0.0.1", ready_port), 2).close()
                return True
            until("%s listens" % argv[0], listening)
        return proc

    def backend(self, name="own", hosts=("127.0.0.1",), port=None):
        """The Python fake outside of wos, for `wos publish`; its port."""
        port = port or free_port()
        flags = [x for h in hosts for x in ("--host", h)]
        proc = self.start([PYTHON, FAKES / "backend.py", "--port", port, "--name", name, *flags])

        def listening():
            assert proc.poll() is None, "the backend ended"
            socket.create_connection((hosts[0], port), 2).close()
            return True
        until("the backend listens", listening)
        return port
