"""Starts one proxy in front of a recorder: wos (the edge program) or a peer.

Each has a port, a directory and a process group of its own; `stop` ends exactly that.
Every configuration is the smallest that makes a reverse proxy with TLS, HTTP/2,
keep-alive to the service and the X-Forwarded fields."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ("wos", "nginx", "haproxy", "nghttpx", "h2o", "caddy")

NGINX = """
worker_processes 1; master_process off; daemon off;
pid {dir}/pid; error_log {dir}/error.log warn;
events {{ worker_connections 500; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream service {{ server 127.0.0.1:{service}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
    location / {{
      proxy_pass http://service; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  http-reuse always
  option forwardfor
frontend front
  bind 127.0.0.1:{port} ssl crt {dir}/both.pem alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto https
  default_backend service
backend service
  server one 127.0.0.1:{service}
"""
H2O = """
listen: {{host: 127.0.0.1, port: {port}, ssl: {{certificate-file: {dir}/cert.pem, key-file: {dir}/key.pem}}}}
num-threads: 1
user: {user}
hosts: {{default: {{paths: {{"/": {{proxy.reverse.url: "http://127.0.0.1:{service}/", proxy.preserve-host: ON}}}}}}}}
error-log: {dir}/error.log
pid-file: {dir}/pid
"""
CADDY = """
{{
  admin off
  auto_https off
}}
https://:{port} {{
  bind 127.0.0.1
  tls {dir}/cert.pem {dir}/key.pem
  reverse_proxy 127.0.0.1:{service}
}}
"""


class Missing(Exception):
    """The server is not installed, or does not start here."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def find(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin")
    if path is None:
        raise Missing("%s is not installed" % program)
    return path


def make_certificate(where):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a.wos.localhost",
                    "-addext", "subjectAltName=DNS:a.wos.localhost", "-keyout", where / "key.pem",
                    "-out", where / "cert.pem"], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    (where / "both.pem").write_bytes((where / "cert.pem").read_bytes() +
                                     (where / "key.pem").read_bytes())


class Server:
    def __init__(self, name, service_port, edge=None):
        self.name = name
        self.proc = None
        self.edge = edge
        self.dir = Path(tempfile.mkdtemp(prefix="conform-%s-" % name, dir="/tmp"))
        self.port = free_port()
        self.service = service_port
        try:
            make_certificate(self.dir)
            self._start(self._command())
        except BaseException:
            self.stop()
            raise

    def _write(self, name, template):
        text = template.format(dir=self.dir, port=self.port, service=self.service,
                               user="root" if os.getuid() == 0 else os.environ.get("USER", "nobody"))
        (self.dir / name).write_text(text)
        return self.dir / name

    def _command(self):
        d = self.dir
        if self.name == "wos":
            if not self.edge or not Path(self.edge).exists():
                raise Missing("the edge program is not built")
            return [self.edge, self.port, 1, d / "cert.pem", d / "key.pem",
                    "a.wos.localhost=%d" % self.service]
        if self.name == "nginx":
            return [find("nginx"), "-p", d, "-c", self._write("nginx.conf", NGINX)]
        if self.name == "haproxy":
            return [find("haproxy"), "-q", "-db", "-f", self._write("haproxy.cfg", HAPROXY)]
        if self.name == "nghttpx":
            return [find("nghttpx"), "--conf=/dev/null", "-f127.0.0.1,%d" % self.port,
                    "-b127.0.0.1,%d" % self.service, "--workers=1", "--add-x-forwarded-for",
                    "--no-ocsp", "--pid-file=%s" % (d / "pid"), "--errorlog-file=%s" % (d / "error.log"),
                    "--accesslog-file=/dev/null", d / "key.pem", d / "cert.pem"]
        if self.name == "h2o":
            return [find("h2o"), "-m", "worker", "-c", self._write("h2o.conf", H2O)]
        if self.name == "caddy":
            return [find("caddy"), "run", "--adapter", "caddyfile", "--config",
                    self._write("Caddyfile", CADDY)]
        raise Missing("there is no server %s" % self.name)

    def _start(self, command):
        log = open(self.dir / "log", "wb")
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.dir),
               "XDG_DATA_HOME": str(self.dir), "XDG_CONFIG_HOME": str(self.dir)}
        env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        with log:
            self.proc = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE,
                                         stdout=log, stderr=log, env=env, cwd=self.dir,
                                         start_new_session=True)
        deadline = time.monotonic() + 20
        while True:
            if self.proc.poll() is not None:
                raise Missing("%s ended at once: %s" % (self.name, self.log()[-500:]))
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if self.name != "wos" or "ready" in self.log():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise Missing("%s does not listen: %s" % (self.name, self.log()[-500:]))
            time.sleep(0.02)

    def log(self):
        path = self.dir / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def answers(self):
        """False once the process has ended or its port is closed."""
        if self.proc is None or self.proc.poll() is not None:
            return False
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def stop(self):
        """Ends the process and what it started, and removes the directory."""
        if self.proc is not None:
            for sig in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.proc.pid, sig)
                except ProcessLookupError:
                    pass
                try:
                    self.proc.wait(5)
                    break
                except subprocess.TimeoutExpired:
                    continue
            try:
                os.killpg(self.proc.pid, signal.SIGKILL)  # what is left of the group
            except ProcessLookupError:
                pass
            self.proc.stdin.close()
            self.proc = None
        shutil.rmtree(self.dir, ignore_errors=True)
