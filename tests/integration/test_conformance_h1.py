"""The checks of tests/conformance against a real wos: one test per check. How its peers
do is the matter of scripts/conformance."""
import sys
from pathlib import Path

import pytest

import harness

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conformance import checks, recorder  # noqa: E402
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
