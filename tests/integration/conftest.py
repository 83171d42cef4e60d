"""Fixtures. A failed test prints every log of the wos it used."""
import faulthandler
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "fakes"))

import pytest  # noqa: E402

import harness  # noqa: E402
import network  # noqa: E402

faulthandler.enable()


def skip_under_tsan(item):
    """The second pass is for what has threads; the first one has run everything."""
    unfit = item.get_closest_marker("no_tsan")
    if unfit is not None:
        item.add_marker(pytest.mark.skip(reason="not under TSan: " + unfit.args[0]))
    elif item.get_closest_marker("release_only") is not None:
        item.add_marker(pytest.mark.skip(reason="for the optimised binary"))


# Files that take minutes: they begin first, or all others wait for their end.
LONG = ("test_docker.py", "test_realworld.py")


def pytest_collection_modifyitems(items):
    if os.environ.get("WOS_TEST_PASS") == "tsan":
        for item in items:
            skip_under_tsan(item)
    # Within a file what takes long comes last; otherwise as written.
    items.sort(key=lambda item: (
        LONG.index(item.path.name) if item.path.name in LONG else len(LONG),
        item.get_closest_marker("slow") is not None))


def needs_binary():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s: build it, or set WOS_BIN" % harness.BIN, pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, harness.Wos):
                report.sections.append(("wos %s" % value.dir, value.logs()))


@pytest.fixture(scope="module", autouse=True)
def own_network(request):
    """Chromium gives up what is under way when any interface of the machine comes or goes (a
    container's, another test's): files marked own_network run where none does."""
    if request.node.get_closest_marker("own_network") is None:
        yield
        return
    with network.own():
        yield


def finish(wos):
    problems = wos.close()
    if problems:
        pytest.fail("\n".join(problems) + "\n" + wos.logs(), pytrace=False)


@pytest.fixture
def wos():
    """A wos of the test's own: two worktrees, alpha and beta, no deploy.yaml."""
    needs_binary()
    instance = harness.Wos()
    yield instance
    finish(instance)


@pytest.fixture
def make_wos():
    """make_wos(config=…, tunnel=…, …): as many as the test wants."""
    needs_binary()
    made = []

    def make(**keys):
        made.append(harness.Wos(**keys))
        return made[-1]
    yield make
    problems = [(w, w.close()) for w in made]
    text = "\n".join("\n".join(p) + "\n" + w.logs() for w, p in problems if p)
    if text:
        pytest.fail(text, pytrace=False)


@pytest.fixture(scope="module")
def gate():
    """One running wos for the tests of a file that only send requests: alpha
    and beta, each with the Python fake as web on port 3000."""
    needs_binary()
    instance = harness.Wos()
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web-of-$(basename $PWD)")))
        instance.up("alpha")
        instance.up("beta")
        yield instance
    finally:
        finish(instance)


@pytest.fixture(scope="module")
def gateway_pid(gate):
    return gate.gateway_pid()


@pytest.fixture(params=["h1", "h2"])
def http(request):
    """Runs the test once over HTTP/1.1 and once over HTTP/2."""
    return request.param


def pytest_runtest_logreport(report):
    """The node ids of what failed, for scripts/test."""
    path = os.environ.get("WOS_TEST_FAILED")
    if report.failed and path and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(path, "a", encoding="utf-8") as out:
            out.write(report.nodeid + "\n")


def pytest_sessionstart(session):
    # Tests must not be steered by the caller's own wos or proxy settings.
    for name in ("WOS_HOME", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                 "ALL_PROXY", "all_proxy", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        os.environ.pop(name, None)
