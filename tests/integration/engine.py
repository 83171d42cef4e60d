"""A Docker engine for tests: dockerd of its own, ended and cleaned up afterwards.

Needs root, dockerd, iptables and a static busybox (scripts/deps test-extra). The engine has
its own data, socket and pid file, no default bridge, and is the only one at a time (a lock
file), as all engines of a machine choose the same networks. Afterwards its bridges, firewall
rules and ip_forward are as before.

Compose comes in three kinds (COMPOSE): "v1" is the program docker-compose, "plugin" the same
behind a thin plugin of the docker command, "v2" the real plugin where one is installed, named
by $WOS_TEST_COMPOSE_V2 or fetched by scripts/compose-v2.
"""
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PLUGIN_DIRS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins",
               "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins")
COMPOSE = ("v1", "plugin", "v2")
IMAGE = "wos-test-busybox:local"


def missing():
    """Why no engine can run here, or None."""
    if os.geteuid() != 0:
        return "starting dockerd needs root"
    for tool in ("dockerd", "docker", "iptables-save", "iptables-restore"):
        if shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") is None:
            return "%s is not installed" % tool
    if busybox() is None:
        return "no static busybox"
    return None


def busybox():
    path = shutil.which("busybox")
    if path is None:
        return None
    with open(path, "rb") as f:
        return path if b"/ld-linux" not in f.read(4096) else None


def plugin_v2():
    """The path of a Compose v2 plugin, or None."""
    named = os.environ.get("WOS_TEST_COMPOSE_V2")
    fetched = Path(__file__).resolve().parents[2] / "build-compose-v2/root" / PLUGIN_DIRS[0][1:]
    for path in ([named] if named else []) + [
            "%s/docker-compose" % folder for folder in (*PLUGIN_DIRS, fetched)]:
        if os.access(path, os.X_OK):
            return path
    return None


def compose_missing(kind):
    if kind == "v2":
        return None if plugin_v2() else "no Compose v2 plugin (scripts/compose-v2 fetches one)"
    return None if shutil.which("docker-compose") else "docker-compose v1 is not installed"


def links():
    return {name for name in os.listdir("/sys/class/net")}


def lock_path():
    """One engine per network namespace: networks and firewall rules are what they would share.
    Who runs the tests in a namespace of their own names another lock."""
    return os.environ.get("WOS_TEST_ENGINE_LOCK", "/tmp/wos-test-docker.lock")


class Engine:
    def __init__(self):
        self.lock = open(lock_path(), "w", encoding="ascii")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.dir = Path(tempfile.mkdtemp(prefix="wos-dk-", dir="/tmp"))
        self.socket = "unix://%s/docker.sock" % self.dir
        self.links = links()
        self.forward = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii")
        self.rules = self._firewall("iptables-save")
        self.log = open(self.dir / "log", "wb")
        self.proc = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "dockerd", "--data-root", self.dir / "data", "--exec-root", self.dir / "exec",
             "-H", self.socket, "-p", self.dir / "pid", "--bridge", "none"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            start_new_session=True)
        try:
            self._wait()
            self._image()
        except BaseException:
            self.close()
            raise

    def _firewall(self, tool, text=None):
        return subprocess.run([tool], input=text, check=True, text=True, timeout=30,
                              stdout=subprocess.PIPE).stdout

    def _wait(self):
        deadline = time.monotonic() + 60
        while self.run("version", check=False).returncode != 0:
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("dockerd does not start: "
                                   + (self.dir / "log").read_text(errors="replace")[-3000:])
            time.sleep(0.1)

    def _image(self):
        root = self.dir / "root" / "bin"
        root.mkdir(parents=True)
        shutil.copy(busybox(), root / "busybox")
        names = subprocess.run([busybox(), "--list"], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.split()
        for name in names:
            if name != "busybox":
                (root / name).symlink_to("busybox")
        self._import(IMAGE)

    def _import(self, name):
        tar = subprocess.Popen(["tar", "-C", self.dir / "root", "-c", "."],
                               stdout=subprocess.PIPE)
        self.run("import", "-c", "ENV PATH=/bin", "-c",
                 "CMD [\"sh\", \"-c\", \"trap exit TERM; sleep 100000 & wait\"]",
                 "-", name, stdin=tar.stdout)
        tar.stdout.close()
        assert tar.wait(60) == 0

    def image(self, name, programs):
        """Another image: IMAGE with these shell scripts in its PATH."""
        paths = [self.dir / "root" / "bin" / program for program in programs]
        for path in paths:
            path.write_text("#!/bin/sh\n" + programs[path.name], encoding="utf-8")
            path.chmod(0o755)
        self._import(name)
        for path in paths:
            path.unlink()

    def env(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        env.update({"DOCKER_HOST": self.socket, "HOME": str(self.dir),
                    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
        return env

    def run(self, *args, check=True, stdin=subprocess.DEVNULL, timeout=120):
        return subprocess.run(["docker", *map(str, args)], env=self.env(), stdin=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=check, timeout=timeout)

    def containers(self, project):
        """service → state of every container of a project, those of `run` too."""
        out = self.run("ps", "-a", "--filter", "label=com.docker.compose.project=" + project,
                       "--format", '{{.Label "com.docker.compose.service"}} {{.State}}').stdout
        return dict(line.split() for line in out.splitlines())

    def container_id(self, project, service):
        return self.run("ps", "-aq", "--no-trunc",
                        "--filter", "label=com.docker.compose.project=" + project,
                        "--filter", "label=com.docker.compose.service=" + service).stdout.strip()

    def compose_env(self, kind, folder):
        """The variables that make wos use this engine with that kind of Compose."""
        config = Path(folder) / "docker-config"
        plugins = config / "cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        plugin = plugins / "docker-compose"
        if kind == "v2":
            plugin.symlink_to(plugin_v2())
        elif kind == "plugin":
            plugin.write_text(
                "#!/bin/sh\n"
                "if [ \"$1\" = docker-cli-plugin-metadata ]; then\n"
                "  echo '{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"test\",\"Version\":\"1\"}'\n"
                "  exit 0\n"
                "fi\n"
                "shift\n"
                "exec /usr/bin/docker-compose \"$@\"\n", encoding="ascii")
            plugin.chmod(0o755)
        return {"DOCKER_HOST": self.socket, "DOCKER_CONFIG": str(config)}

    def close(self):
        """Everything as it was; the list of what could not be."""
        problems = []
        if self.proc.poll() is None:
            ids = self.run("ps", "-aq", check=False).stdout.split()
            if ids:
                self.run("rm", "-f", *ids, check=False)
            self.run("network", "prune", "-f", check=False)
            self.proc.terminate()
            try:
                self.proc.wait(30)
            except subprocess.TimeoutExpired:
                problems.append("dockerd did not end by itself")
                os.killpg(self.proc.pid, signal.SIGKILL)
                self.proc.wait()
        self.log.close()
        for name in links() - self.links:
            if name.startswith(("docker", "br-", "veth")):
                subprocess.run(["ip", "link", "del", name], check=False)
        self._firewall("iptables-restore", self.rules)
        Path("/proc/sys/net/ipv4/ip_forward").write_text(self.forward, encoding="ascii")
        with open("/proc/mounts", encoding="utf-8") as f:
            mounts = [line.split()[1] for line in f if line.split()[1].startswith(str(self.dir))]
        for mount in reversed(mounts):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.lock.close()
        return problems
