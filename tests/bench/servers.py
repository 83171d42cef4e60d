"""servers: starts what scripts/bench compares, each with the same certificate, in front of the same
service, with as many workers as asked; and reads what their processes cost.

A server is one class: `write` its configuration, `command` to run it. Peers get what their manual says
a proxy in front of a keep-alive service should have (an idle pool large enough, no access log, no
buffering to disk); what they cannot do is in `cannot`. wos runs as its user has it: the daemon with its
defaults, access log, metrics and sandbox on."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

DOMAIN = "bench.localhost"
HOST = "a." + DOMAIN
IDLE_POOL = 1024
PATIENCE_S = 60


class Broken(Exception):
    """A measurement that is none: something failed, closed, or answered what it should not."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, probe):
    deadline = time.monotonic() + PATIENCE_S
    while not (got := probe()):
        if time.monotonic() > deadline:
            raise Broken("not within %d s: %s" % (PATIENCE_S, what))
        time.sleep(0.02)
    return got


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def children(pid):
    """The process and all that it started and is still there; what just ended is no error here."""
    found = []
    try:
        if " Z" in pathlib.Path("/proc/%d/stat" % pid).read_text(encoding="latin-1").rpartition(")")[2][:2]:
            return []
        found = [pid]
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task), encoding="ascii") as f:
                for child in f.read().split():
                    found += children(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def place(pid, cores):
    """Keeps a process to these cores: its threads, and what it starts from now on."""
    for _ in range(2):  # a thread may have begun others meanwhile
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                os.sched_setaffinity(int(task), cores)
        except (FileNotFoundError, ProcessLookupError):
            pass


def cpu_ns(pid):
    """User and system time of a process so far, of its ended threads too: its CPU clock."""
    try:
        return time.clock_gettime_ns(((~pid) << 3) | 2)
    except OSError:
        raise Broken("process %d is gone" % pid) from None


def status_kib(pid, field):
    try:
        with open("/proc/%d/status" % pid, encoding="utf-8", errors="replace") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    raise Broken("process %d is gone" % pid)


def make_certificate(work):
    """cert.pem and key.pem (0600) in the folder: ECDSA P-256, for HOST and all names beside it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=" + HOST, "-addext", "subjectAltName=DNS:*." + DOMAIN,
         "-keyout", "%s/key.pem" % work, "-out", "%s/cert.pem" % work],
        check=True, stderr=subprocess.DEVNULL)
    os.chmod("%s/key.pem" % work, 0o600)


class Server:
    """One server process (and its children) in a folder of its own."""

    name = ""
    cannot = ()  # cases this server has no way to do
    ticket_switch = True  # can be told to offer no tickets

    def __init__(self, work, backend_port, workers=1, tickets=True):
        self.dir = pathlib.Path(work) / ("%s-%d" % (self.name, free_port()))
        self.dir.mkdir()
        self.work = pathlib.Path(work)
        self.backend = backend_port
        self.workers = workers
        self.tickets = tickets
        self.port = free_port()
        self.process = None
        self.log = None

    def write(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def env(self):
        return {"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(self.dir), "LANG": "C.UTF-8"}

    def start(self):
        text = self.write()
        (self.dir / "config").write_text(text)
        self.log = open(self.dir / "output", "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            self.command(), cwd=self.dir, env=self.env(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True)  # as wos has: the scheduler shares a busy machine out by session
        until("%s listens" % self.name, self.ready)
        return self

    def ready(self):
        self.check()
        return answers(self.port)

    def check(self):
        if self.process.poll() is not None:
            raise Broken("%s ended: %s" % (self.name, (self.dir / "output").read_text(errors="replace")[-2000:]))

    def pids(self):
        self.check()
        return children(self.process.pid)

    def cpu_us(self):
        return sum(map(cpu_ns, self.pids())) / 1000

    def memory_kib(self):
        return sum(status_kib(pid, "VmRSS") for pid in self.pids())

    def reset_peak(self):
        for pid in self.pids():
            with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as f:
                f.write("5")

    def peak_kib(self):
        return sum(status_kib(pid, "VmHWM") for pid in self.pids())

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            pids = children(self.process.pid)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:  # some drain for long; they are ours
                for pid in reversed(pids):
                    try:
                        os.kill(pid, 9)
                    except ProcessLookupError:
                        pass
                self.process.wait()
        self.log.close()
        self.process = None
        shutil.rmtree(self.dir, ignore_errors=True)


class Backend(Server):
    """The service behind all of them: tests/bench/backend.c."""

    name = "backend"

    def __init__(self, work, program):
        super().__init__(work, 0)
        self.program = program

    def write(self):
        return ""

    def command(self):
        return [self.program, str(self.port)]


class Wos(Server):
    """The whole of it: `wos start` with a configuration file of the fewest keys."""

    name = "wos"
    binary = None

    def __init__(self, *args, config=None, routes=1, **keys):
        super().__init__(*args, **keys)
        self.routes = routes  # published ports; the first leads to the service
        self.home = self.dir / "h"
        self.changes = config or {}
        self.pid_list = []

    def write(self):
        self.home.mkdir(exist_ok=True)
        config = {
            "web": {"port": free_port()},
            "tunnel": {
                "enabled": True, "port": self.port, "domain": DOMAIN, "workers": self.workers,
                "ssl": {"enabled": True, "source": "files", "cert": str(self.work / "cert.pem"),
                        "key": str(self.work / "key.pem")},
                "tls": {"sessionTickets": self.tickets}, "serviceTunnels": {"enabled": True}, **self.changes}}
        (self.home / "config.json").write_text(json.dumps(config))
        ports = [{"name": "a", "port": self.backend}]
        ports += [{"name": "r%d" % i, "port": 9} for i in range(1, self.routes)]
        (self.home / "published.json").write_text(json.dumps({"published": ports}))
        (self.home / "published.json").chmod(0o600)
        return ""

    def env(self):
        return {**super().env(), "WOS_HOME": str(self.home)}

    def run(self, *args):
        done = subprocess.run([self.binary, *args], cwd=self.dir, env=self.env(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise Broken("wos %s: exit %d\n%s" % (" ".join(args), done.returncode, done.stdout))
        return done.stdout

    def start(self):
        self.write()
        self.process = self.home
        self.run("start")
        self.find_pids()
        return self

    def find_pids(self):
        until("wos has its gateway", self.gateway_is_there)

    def gateway_is_there(self):
        status = json.loads(self.run("status", "--all", "--json"))["data"]
        gateway = status["tunnel"].get("gatewayPid")
        if gateway is None or len(status["routes"]) < self.routes or not answers(self.port):
            return False
        self.pid_list = [status["daemon"]["pid"], gateway]
        return True

    def check(self):
        for pid in self.pid_list:
            if not os.path.exists("/proc/%d" % pid):
                raise Broken("wos: process %d ended" % pid)

    def pids(self):
        self.check()
        return self.pid_list

    def stop(self):
        if self.process is None:
            return
        self.process = None
        self.run("stop")
        shutil.rmtree(self.dir, ignore_errors=True)


class Edge(Server):
    """The gateway alone, with any number of routes; its access log on, as with the daemon."""

    name = "edge"

    def __init__(self, *args, program, routes=1, **keys):
        super().__init__(*args, **keys)
        self.program, self.routes = program, routes

    def write(self):
        return ""

    def env(self):
        return {**super().env(), "WOS_EDGE_ROUTES": str(self.routes),
                "WOS_EDGE_ACCESS_LOG": str(self.dir / "access.log")}

    def command(self):
        return [self.program, str(self.port), str(self.workers), str(self.work / "cert.pem"),
                str(self.work / "key.pem"), "%s=%d" % (HOST, self.backend)]

    def ready(self):
        self.check()
        return "ready" in (self.dir / "output").read_text(errors="replace")

    def pids(self):
        return super().pids()[1:]  # not the one that stands in for the daemon


class Relay(Server):
    """tests/bench/relay.c: no server, but the least that one with TLS can take."""

    name = "relay"
    binary = None
    cannot = ("h2", "download h2", "upload h2", "websocket h2")

    def write(self):
        return ""

    def command(self):
        return [self.binary, str(self.port), str(self.work / "cert.pem"), str(self.work / "key.pem"),
                str(self.backend)]


class WosNoLog(Wos):
    """The same without the access log, which the peers do not write either."""

    name = "wos-nolog"

    def __init__(self, *args, **keys):
        super().__init__(*args, config={"accessLog": {"enabled": False}}, **keys)


class Nginx(Server):
    name = "nginx"
    cannot = ("websocket h2",)

    def write(self):
        master = "worker_processes %d; master_process %s;" % (self.workers, "on" if self.workers > 1 else "off")
        user = "user root;" if os.getuid() == 0 else ""
        temp = "\n".join("    %s_temp_path %s/%s;" % (kind, self.dir, kind)
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return """
daemon off; pid %(dir)s/pid; error_log %(dir)s/error.log warn; worker_rlimit_nofile 20000;
%(user)s %(master)s
events { worker_connections 10000; }
http {
    access_log off;
%(temp)s
    keepalive_requests 1000000000;
    client_max_body_size 0;
    map $http_upgrade $connection_field { default ''; websocket upgrade; }
    upstream service { server 127.0.0.1:%(backend)d; keepalive %(pool)d; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:%(port)d ssl http2 backlog=4096 %(reuse)s;
        server_name %(host)s;
        ssl_certificate %(work)s/cert.pem; ssl_certificate_key %(work)s/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets %(tickets)s; ssl_session_cache shared:tls:10m;
        location / {
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection $connection_field;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
        }
    }
}
""" % {"dir": self.dir, "work": self.work, "user": user, "master": master, "temp": temp, "host": HOST,
            "backend": self.backend, "pool": IDLE_POOL, "port": self.port,
            "reuse": "reuseport" if self.workers > 1 else "", "tickets": "on" if self.tickets else "off"}

    def command(self):
        return ["nginx", "-p", str(self.dir), "-c", str(self.dir / "config")]


class Haproxy(Server):
    name = "haproxy"

    def write(self):
        (self.dir / "both.pem").write_text(
            (self.work / "cert.pem").read_text() + (self.work / "key.pem").read_text())
        return """
global
    nbthread %d
    maxconn 6000
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
    http-reuse always
    option forwardfor
frontend front
    bind 127.0.0.1:%d ssl crt %s/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.2 backlog 4096 %s
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %%[req.hdr(host)]
    use_backend service if { hdr(host),field(1,:) -i %s }
backend service
    server one 127.0.0.1:%d pool-max-conn %d
""" % (self.workers, self.port, self.dir, "" if self.tickets else "no-tls-tickets", HOST, self.backend, IDLE_POOL)

    def command(self):
        return ["haproxy", "-db", "-f", str(self.dir / "config")]


class Nghttpx(Server):
    name = "nghttpx"
    ticket_switch = False

    def write(self):
        return """
frontend=127.0.0.1,%d
backend=127.0.0.1,%d
workers=%d
private-key-file=%s/key.pem
certificate-file=%s/cert.pem
backlog=4096
backend-keep-alive-timeout=60s
add-x-forwarded-for=yes
no-server-push=yes
no-ocsp=yes
single-process=yes
errorlog-file=%s/error.log
pid-file=%s/pid
""" % (self.port, self.backend, self.workers, self.work, self.work, self.dir, self.dir)

    def command(self):
        return ["nghttpx", "--conf=%s/config" % self.dir]


class H2o(Server):
    name = "h2o"
    cannot = ("websocket h2",)
    ticket_switch = False

    def write(self):
        user = "user: root\n" if os.getuid() == 0 else ""
        return user + """
num-threads: %d
max-connections: 10000
pid-file: %s/pid
error-log: %s/error.log
ssl-session-resumption:
  mode: %s
hosts:
  "%s:%d":
    listen:
      host: 127.0.0.1
      port: %d
      ssl:
        certificate-file: %s/cert.pem
        key-file: %s/key.pem
        neverbleed: OFF
        ocsp-update-interval: 0
        minimum-version: TLSv1.2
    paths:
      "/":
        proxy.reverse.url: "http://127.0.0.1:%d/"
        proxy.timeout.keepalive: 60000
        proxy.preserve-host: ON
        proxy.websocket: ON
""" % (self.workers, self.dir, self.dir, "all" if self.tickets else "off", HOST, self.port, self.port,
            self.work, self.work, self.backend)

    def command(self):
        return ["h2o", "-c", str(self.dir / "config")]


class Caddy(Server):
    name = "caddy"
    cannot = ("websocket h2",)
    ticket_switch = False

    def write(self):
        return """
{
    admin off
    auto_https off
    servers {
        protocols h1 h2
    }
}
https://%s:%d {
    bind 127.0.0.1
    tls %s/cert.pem %s/key.pem
    reverse_proxy 127.0.0.1:%d {
        transport http {
            keepalive_idle_conns %d
            keepalive_idle_conns_per_host %d
            compression off
        }
    }
}
""" % (HOST, self.port, self.work, self.work, self.backend, IDLE_POOL, IDLE_POOL)

    def env(self):
        return {**super().env(), "GOMAXPROCS": str(self.workers)}

    def command(self):
        return ["caddy", "run", "--config", str(self.dir / "config"), "--adapter", "caddyfile"]


PEERS = {cls.name: cls for cls in (Nginx, Haproxy, Nghttpx, H2o, Caddy)}
SERVERS = {cls.name: cls for cls in (Wos, WosNoLog)} | PEERS


def version_of(name):
    """As the program says it, or None where it is not installed."""
    path = os.environ["PATH"] + ":/usr/sbin"
    program = shutil.which(name, path=path)
    if program is None:
        return None
    option = {"caddy": "version", "nghttpx": "--version"}.get(name, "-v")
    done = subprocess.run([program, option], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found.group(0) if found else "?"
