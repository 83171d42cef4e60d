"""The checks of tests/conformance against a real wos: one test per check. How its peers
do is the matter of scripts/conformance."""
import sys
from pathlib import Path

import pytest

import harness

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conformance import checks, pairs, recorder  # noqa: E402
from conformance.check import HOST, judge, run  # noqa: E402


class Target:
    def __init__(self, wos, service):
        self.wos, self.recorder = wos, service


@pytest.fixture(scope="module")
def published():
    """A wos that publishes a recording service as a.wos.localhost."""
    if not harness.BIN.exists():
        pytest.fail("no binary at %s: build it, or set WOS_BIN" % harness.BIN, pytrace=False)
    service = recorder.Recorder()
    wos = harness.Wos()
    try:
        wos.ok("start")
        wos.ok("publish", HOST.split(".")[0], str(service.port))
        yield Target(wos, service)
    finally:
        problems = wos.close()
        service.close()
        if problems:
            pytest.fail("\n".join(problems) + "\n" + wos.logs(), pytrace=False)


@pytest.mark.parametrize("check", checks.ALL, ids=lambda check: check.name.replace(" ", "-"))
def test_rfc(published, check):
    outcome = run(check, published.wos.port, published.recorder, harness.PATIENCE)
    wrong = judge(check, outcome, ours=True)
    assert wrong is None, "RFC %s: %s\n%s" % (check.rfc, wrong, outcome)


@pytest.mark.parametrize("seed", range(150))
def test_same_head_from_both_versions(published, seed):
    """One request over HTTP/1.1 and over HTTP/2 reaches the service as one head."""
    wrong = pairs.compare(seed, published.wos.port, published.recorder, harness.PATIENCE)
    assert wrong is None, "seed %d: %s" % (seed, wrong)
