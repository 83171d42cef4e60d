"""The home: one daemon each, and what happens where it cannot be written."""
import json
import os
import subprocess

import pytest

import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")


@pytest.fixture
def small_home(make_wos):
    """A wos whose home is a tmpfs of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    wos = make_wos()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "wos-test", wos.home],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode != 0:
        pytest.skip("no tmpfs can be mounted here: %s" % made.stdout.strip())
    try:
        wos.write_config()
        yield wos
    finally:
        subprocess.run(["mount", "-o", "remount,rw", wos.home], check=False)
        (wos.home / "filler").unlink(missing_ok=True)
        problems = wos.close()
        subprocess.run(["umount", "-l", wos.home], check=True)
    assert not problems, "\n".join(problems)


def fill(wos):
    with open(wos.home / "filler", "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError:
            pass


def test_two_daemons_never_share_a_home(wos):
    wos.ok("start")
    first = wos.daemon_pid()
    second = wos.run("start", "--foreground", timeout=60)
    assert second.code != 0 and "already" in second.err, second
    assert wos.daemon_pid() == first and harness.alive(first)


def test_disk_full_loses_nothing(small_home):
    wos = small_home
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    state = wos.state("alpha")
    fill(wos)
    # What runs goes on; what must be written says what is wrong, and with which file.
    assert wos.get("alpha-web", "/hello").status == 200
    result = wos.run("up", cwd="beta")
    assert result.code == 1 and "No space left on device" in result.err, result
    assert str(wos.home) in result.err
    again = wos.run("up", cwd="alpha")
    assert again.code == 1 and "No space left on device" in again.err, again
    assert wos.state("alpha")["portAssignments"] == state["portAssignments"]
    wos.run("stop")
    (wos.home / "filler").unlink()
    wos.ok("start")
    json.loads((wos.session_dir("alpha") / "state.json").read_text())
    wos.up("alpha")
    wos.up("beta")
    assert wos.get("alpha-web", "/hello").status == 200
    assert wos.get("beta-web", "/hello").status == 200
    assert wos.state("alpha")["hostnames"] == state["hostnames"]
    assert not list(wos.home.rglob("*.tmp*"))


def test_unwritable_home(small_home):
    wos = small_home
    subprocess.run(["mount", "-o", "remount,ro", wos.home], check=True)
    result = wos.run("start", timeout=60)
    assert result.code == 1 and "Read-only file system" in result.err, result
    assert str(wos.home) in result.err and not wos.processes()
    subprocess.run(["mount", "-o", "remount,rw", wos.home], check=True)
    wos.ok("start")
