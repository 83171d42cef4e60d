"""`wos trust` and `wos untrust`: stores in a root of the test's own, and a real browser."""
import os
import shutil
import subprocess

import pytest

import harness
from test_realworld import CHROMIUM

CERTUTIL = shutil.which("certutil")
UPDATE = shutil.which("update-ca-certificates", path=os.environ.get("PATH", "") + ":/usr/sbin")
pytestmark = [
    pytest.mark.own_network,
    pytest.mark.no_tsan(
        "the daemon has one thread; its gateway is seen in the tests of the gateway"),
]
needs_certutil = pytest.mark.skipif(CERTUTIL is None, reason="certutil is not installed")
needs_update = pytest.mark.skipif(UPDATE is None, reason="update-ca-certificates is not installed")


@pytest.fixture(scope="module")
def world():
    wos = harness.Wos()
    try:
        wos.deploy(harness.shell_app(web=harness.python_service("web")))
        wos.up("alpha")
        yield wos
    finally:
        problems = wos.close()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def debian(world, tmp_path):
    """A root like Debian's, with another CA in it; wos(…) acts on it with an empty HOME."""
    root = tmp_path / "root"
    for folder in ("usr/local/share/ca-certificates", "usr/share/ca-certificates/x",
                   "etc/ssl/certs", "etc/ca-certificates/update.d"):
        (root / folder).mkdir(parents=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.devnull, "-subj",
                    "/CN=another CA", "-out", root / "usr/share/ca-certificates/x/other.crt"],
                   check=True, capture_output=True)
    (root / "etc/ca-certificates.conf").write_text("x/other.crt\n")
    home = tmp_path / "home"
    home.mkdir()
    return Machine(world, root, home)


class Machine:
    def __init__(self, world, root, home):
        self.world, self.root, self.home = world, root, home

    def run(self, *args, **env):
        return self.world.run(*args, env=self.world.env(
            HOME=str(self.home), WOS_TRUST_ROOT=str(self.root), **env))

    def stores(self, *args, **env):
        result = self.run(*args, "--json", **env)
        assert result.code == 0, result
        return {s["store"] + ":" + os.path.basename(s["path"]): s["state"]
                for s in result.data["stores"]}

    def anchors(self):
        return list((self.root / "usr/local/share/ca-certificates").iterdir())

    @property
    def bundle(self):
        return self.root / "etc/ssl/certs/ca-certificates.crt"

    def nss(self, folder=".pki/nssdb"):
        return subprocess.run([CERTUTIL, "-L", "-d", "sql:%s" % (self.home / folder)], check=True,
                              capture_output=True, text=True).stdout


@needs_update
@needs_certutil
def test_put_in_and_taken_out(debian, world):
    ca = (world.home / "certs/ca.crt").read_text()
    assert set(debian.stores("trust").values()) == {"added"}
    [anchor] = debian.anchors()
    assert anchor.read_text() == ca and anchor.stat().st_mode & 0o777 == 0o644
    assert ca.split("-----")[2] in debian.bundle.read_text()
    assert "wos local CA" in debian.nss() and "C,," in debian.nss()
    assert set(debian.stores("trust").values()) == {"present"}  # idempotent
    assert debian.nss().count("wos local CA") == 1
    assert set(debian.stores("untrust").values()) == {"removed"}
    assert debian.anchors() == [] and "wos local CA" not in debian.nss()
    left = debian.bundle.read_text()
    assert ca.split("-----")[2] not in left and "BEGIN CERTIFICATE" in left  # the other one stays
    assert not list((debian.root / "etc/ssl/certs").glob("wos-*"))
    assert set(debian.stores("untrust").values()) == {"absent"}
    assert not (world.home / "certs/trusted").exists()


def failing_update(tmp_path):
    """A PATH whose update-ca-certificates fails."""
    tools = tmp_path / "failing"
    tools.mkdir()
    (tools / "update-ca-certificates").write_text("#!/bin/sh\necho the disk is full >&2\nexit 1\n")
    (tools / "update-ca-certificates").chmod(0o755)
    return "%s:%s:/usr/sbin:/sbin" % (tools, os.environ["PATH"])


@needs_update
def test_a_failed_update_is_made_up_for(debian, world, tmp_path):
    """The file is written or gone after it; the bundle is what counts."""
    ca = (world.home / "certs/ca.crt").read_text().split("-----")[2]
    path = failing_update(tmp_path)
    for _ in range(2):
        failed = debian.run("trust", PATH=path)
        assert failed.code == 1 and "update-ca-certificates" in failed.err, failed
    assert not debian.bundle.exists()
    debian.stores("trust")
    assert ca in debian.bundle.read_text()
    for _ in range(2):
        failed = debian.run("untrust", PATH=path)
        assert failed.code == 1 and "update-ca-certificates" in failed.err, failed
        assert ca in debian.bundle.read_text() and (world.home / "certs/trusted").exists()
    debian.stores("untrust")
    assert ca not in debian.bundle.read_text()


@needs_update
@needs_certutil
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root")
def test_browsers_that_were_skipped_are_not_forgotten(debian, world):
    """certutil is hidden from one command, in a mount namespace of its own."""
    debian.stores("trust")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount --bind /dev/null "$0" && exec "$@"',
         os.path.realpath(CERTUTIL), str(harness.BIN), "untrust"],
        capture_output=True, text=True, timeout=60,
        env=world.env(HOME=str(debian.home), WOS_TRUST_ROOT=str(debian.root)))
    if "mount:" in done.stderr:
        pytest.skip("no bind mounts here")
    assert done.returncode == 0 and "libnss3-tools" in done.stdout, done
    assert "wos local CA" in debian.nss() and (world.home / "certs/trusted").exists()
    debian.stores("untrust")
    assert "wos local CA" not in debian.nss()
    assert not (world.home / "certs/trusted").exists()


@needs_update
def test_programs_with_the_systems_bundle(debian, world):
    def curl():
        return subprocess.run(["curl", "-sS", "--cacert", debian.bundle, world.url("alpha-web", "/hello")],
                              capture_output=True, text=True, timeout=60)
    debian.stores("trust")
    done = curl()
    assert done.returncode == 0 and "hello" in done.stdout, done
    debian.stores("untrust")
    assert curl().returncode == 60  # nobody it knows


@needs_update
@needs_certutil
def test_dry_run_changes_nothing(debian):
    assert set(debian.stores("trust", "--dry-run").values()) == {"would-add"}
    assert debian.anchors() == [] and not (debian.home / ".pki").exists()
    debian.stores("trust")
    assert set(debian.stores("untrust", "--dry-run").values()) == {"would-remove"}
    assert len(debian.anchors()) == 1 and "wos local CA" in debian.nss()
    debian.stores("untrust")


@needs_certutil
def test_firefox_profiles(debian):
    folders = [".mozilla/firefox/abc.default", "snap/firefox/common/.mozilla/firefox/x.y",
               ".var/app/org.mozilla.firefox/.mozilla/firefox/z"]
    for folder in folders:
        path = debian.home / folder
        path.mkdir(parents=True)
        subprocess.run([CERTUTIL, "-N", "-d", "sql:%s" % path, "--empty-password"], check=True)
    (debian.home / ".mozilla/firefox/Crash Reports").mkdir()
    states = debian.stores("trust")
    assert [states["nss:" + os.path.basename(f)] for f in folders] == ["added"] * 3
    for folder in folders:
        assert "wos local CA" in debian.nss(folder)
    debian.stores("untrust")
    for folder in folders:
        assert "wos local CA" not in debian.nss(folder)


@pytest.mark.parametrize("folder,update", [
    ("etc/pki/ca-trust/source/anchors", "update-ca-trust"),
    ("etc/ca-certificates/trust-source/anchors", "trust extract-compat")])
def test_other_families(world, tmp_path, folder, update):
    """Their programs are stand-ins: what is tested is where the file goes."""
    (tmp_path / "root" / folder).mkdir(parents=True)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / update.split()[0]).write_text("#!/bin/sh\nexit 0\n")
    (tools / update.split()[0]).chmod(0o755)
    machine = Machine(world, tmp_path / "root", tmp_path)
    path = "%s:/usr/bin:/bin" % tools
    machine.stores("trust", PATH=path)
    [anchor] = list((tmp_path / "root" / folder).iterdir())
    assert anchor.read_text() == (world.home / "certs/ca.crt").read_text()
    machine.stores("untrust", PATH=path)
    assert list((tmp_path / "root" / folder).iterdir()) == []


@needs_update
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_without_root_the_command_is_named(debian, world, tmp_path):
    """Everything but the system's part is done; the sentence has the command for that."""
    anchors = debian.root / "usr/local/share/ca-certificates"
    copy = tmp_path / "wos-home"
    shutil.copytree(world.home / "certs", copy / "certs")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and "pytest" in str(folder):
            os.chmod(folder, 0o755)
    for path in [copy, *copy.rglob("*"), debian.home]:
        os.chown(path, 65534, 65534)
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                           str(harness.BIN), "trust"], capture_output=True, text=True, cwd="/",
                          timeout=60, env=world.env(
                              HOME=str(debian.home), WOS_TRUST_ROOT=str(debian.root),
                              WOS_HOME=str(copy), ASAN_OPTIONS="detect_leaks=0"))
    assert done.returncode == 0, done
    assert "sudo install -m 644" in done.stdout and "update-ca-certificates" in done.stdout
    assert list(anchors.iterdir()) == []
    if CERTUTIL:
        assert "wos local CA" in debian.nss()


def test_hints_and_errors(debian, world):
    out = debian.run("trust", "--dry-run").out
    for text in ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "iPhone", "Android",
                 str(world.home / "certs/ca.crt")):
        assert text in out
    assert debian.run("trust", "now").code == 2
    result = debian.run("trust", PATH="/nonexistent")
    assert "libnss3-tools" in result.out or shutil.which("certutil", path="/usr/bin")


def test_no_local_ca(make_wos):
    wos = make_wos(config={"tunnel": {"enabled": False}})
    result = wos.run("trust", "--dry-run")
    assert result.code == 1 and "there is no local CA" in result.err, result
    assert wos.ok("untrust", "--json", env=wos.env(WOS_TRUST_ROOT="/nonexistent")).data["stores"] == []


@needs_certutil
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_chromium_shows_no_warning(debian, world):
    """A fresh HOME: an error page before, the service's page after, an error page again."""
    def look():
        profile = debian.home / "profile"
        shutil.rmtree(profile, ignore_errors=True)
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--user-data-dir=%s" % profile, "--dump-dom", "--timeout=20000",
             world.url("alpha-web", "/hello")],
            capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
            env={**world.env(HOME=str(debian.home)), "XDG_CONFIG_HOME": str(debian.home / ".config")})
        return done.stdout + done.stderr[-2000:]
    assert "hello from" not in look()
    debian.stores("trust")
    page = look()
    assert "hello from" in page, page
    debian.stores("untrust")
    assert "hello from" not in look()
