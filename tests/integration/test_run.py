"""scripts/run as somebody calls it who has just cloned this: the sample, again, their own
repository, a port that is taken, the end of it all.

The binary is the tested one (WOS_SAMPLE_BUILD), so nothing is installed or built here.
"""
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

import clients
import harness

pytestmark = pytest.mark.release_only
RUN = harness.ROOT / "scripts" / "run"


class Sample:
    """What one user's calls of scripts/run share: a home, ports."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="wos-r-", dir="/tmp"))
        self.state = self.dir / "s" / "wos-sample"
        self.port, self.web_port = harness.free_port(), harness.free_port()

    def run(self, *args, **extra):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "LANG": "C.UTF-8",
               "XDG_STATE_HOME": str(self.dir / "s"), "WOS_HOME": str(self.dir / "daily"),
               "WOS_SAMPLE_BUILD": str(harness.BIN.parent), "WOS_SAMPLE_PORT": str(self.port),
               "WOS_SAMPLE_WEB_PORT": str(self.web_port), **extra}
        done = subprocess.run([str(RUN), *map(str, args)], cwd=self.dir, env=env, timeout=120,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        assert not (self.dir / "daily").exists(), "a home that one has is left alone"
        return harness.Result(["scripts/run", *args], done.returncode, done.stdout, done.stderr)

    def table(self, result):
        """{url: status} of what was printed."""
        assert result.code == 0, result
        return dict(re.findall(r"^\S+ +\S+ +(https://\S+) +(\d{3})$", result.out, re.M))

    def get(self, name, printed):
        """The page of a name, for a browser that trusts what it was told to."""
        ca = re.search(r"^In a browser: trust (\S+), then", printed, re.M).group(1)
        with clients.Http1(self.port, name + "." + harness.DOMAIN, ca=ca) as client:
            return client.request("GET", "/")

    def url(self, name):
        return "https://%s.%s:%d" % (name, harness.DOMAIN, self.port)

    def processes(self):
        """What carries the sample's home in its environment."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if ("WOS_HOME=%s" % (self.state / "home")).encode() in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:
                pass
        return [pid for pid in found if harness.alive(pid)]


@pytest.fixture(scope="module")
def sample():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s: build it, or set WOS_BIN" % harness.BIN, pytrace=False)
    made = Sample()
    yield made
    made.run("--stop")
    left = made.processes()
    assert not left, left
    shutil.rmtree(made.dir)


def test_a_port_in_use_is_one_sentence(sample):
    with socket.create_server(("0.0.0.0", sample.port)):
        result = sample.run()
    assert result.code == 1, result
    assert result.err == ("scripts/run: port %d is in use by another program; run: "
                          "WOS_SAMPLE_PORT=%d scripts/run\n" % (sample.port, sample.port + 1)), result


def test_a_port_of_the_web_ui_in_use_is_one_sentence(sample):
    """Also where the port is that of the configuration, which a second call keeps."""
    again = {"WOS_SAMPLE_PORT": "", "WOS_SAMPLE_WEB_PORT": ""}
    sample.run("--stop")
    with socket.create_server(("127.0.0.1", sample.web_port)):
        for extra in ({}, again):
            result = sample.run(**extra)
            assert result.code == 1 and result.err == (
                "scripts/run: port %d is in use by another program; run: WOS_SAMPLE_WEB_PORT=%d "
                "scripts/run\n" % (sample.web_port, sample.web_port + 1)), result
    sample.run("--stop")


def test_what_cannot_be_run_is_one_sentence(sample):
    nothing = sample.dir / "nothing"
    nothing.mkdir()
    for args, extra, sentence in (
            (["--nonsense"], {}, "there is no option --nonsense; scripts/run --help shows how to call it."),
            ([sample.dir / "not-there"], {}, "%s/not-there is no directory." % sample.dir),
            ([nothing], {}, "%s is not inside a git worktree; run git init there, or name another path."
             % nothing),
            ([], {"WOS_SAMPLE_PORT": "many"},
             "WOS_SAMPLE_PORT is 'many', which is no port number (1 to 65535)."),
            ([], {"WOS_SAMPLE_PORT": "65536"},
             "WOS_SAMPLE_PORT is '65536', which is no port number (1 to 65535)."),
            ([], {"WOS_SAMPLE_WEB_PORT": "abc"},
             "WOS_SAMPLE_WEB_PORT is 'abc', which is no port number (1 to 65535)."),
            ([], {"WOS_SAMPLE_BUILD": str(nothing)},
             "WOS_SAMPLE_BUILD is %s, where there is no wos." % nothing)):
        result = sample.run(*args, **extra)
        assert (result.code, result.err) == (1, "scripts/run: %s\n" % sentence), result
    help_text = sample.run("--help").out
    assert help_text.startswith("scripts/run  ") and help_text.rstrip().endswith("or built."), help_text


def test_the_sample_and_again(sample):
    """Two worktrees with two services each; the second run changes no name and no port."""
    first = sample.run()
    urls = {sample.url(tree + "-" + service): "200" for tree in ("main", "feature")
            for service in ("web", "api")}
    assert sample.table(first) == urls, first
    assert "export WOS_HOME=%s/home PATH=%s:" % (sample.state, harness.BIN.parent) in first.out
    assert b"feature" in sample.get("feature-web", first.out).body
    config = (sample.state / "home" / "config.json").read_text()
    second = sample.run(WOS_SAMPLE_PORT="", WOS_SAMPLE_WEB_PORT="")
    assert sample.table(second) == urls
    assert "the web UI (http://127.0.0.1:%d)" % sample.web_port in second.out, second
    assert (sample.state / "home" / "config.json").read_text() == config


def test_a_repository_of_ones_own(sample):
    """Beside the sample; its page's 404 is no failure of it."""
    own = sample.dir / "own"
    (own / ".wos").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(own)], check=True)
    (own / ".wos" / "deploy.yaml").write_text(
        harness.to_yaml(harness.shell_app(site=harness.python_service("mine"))))
    result = sample.run(own)
    table = sample.table(result)
    assert list(table) == [sample.url("own-site")] and table[sample.url("own-site")] < "500", result
    assert sample.get("main-web", result.out).status == 200, "the sample goes on"
    assert "wos --cwd %s logs -f" % own in result.out


def test_stop_leaves_nothing_but_what_is_the_users(sample):
    result = sample.run("--stop")
    assert result.code == 0, result
    for tree in (sample.state / "project" / "main", sample.state / "project" / "feature",
                 sample.dir / "own"):
        assert "== wos down in %s\n" % tree in result.out, result
    assert not sample.state.exists() and (sample.dir / "own" / ".wos" / "deploy.yaml").exists()
    assert sample.processes() == []
    again = sample.run("--stop")
    assert (again.code, again.out) == (0, "== Nothing to stop: there is no %s\n" % sample.state)
