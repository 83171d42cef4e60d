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
    def __init__(self, tls):
        self.recorder = recorder.Recorder()
        self.wos = harness.Wos(ssl=None if tls else {"enabled": False})
        self.tls = tls

    def run(self, check, piece=0):
        outcome = run(check, self.wos.port, self.recorder, harness.PATIENCE, self.tls, piece)
        wrong = judge(check, outcome, ours=True)
        assert wrong is None, "RFC %s: %s\n%s" % (check.rfc, wrong, outcome)


def published_as(tls):
    """A wos that publishes a recording service as a.wos.localhost."""
    if not harness.BIN.exists():
        pytest.fail("no binary at %s: build it, or set WOS_BIN" % harness.BIN, pytrace=False)
    target = Target(tls)
    try:
        target.wos.ok("start")
        target.wos.ok("publish", HOST.split(".")[0], str(target.recorder.port))
        yield target
    finally:
        problems = target.wos.close()
        target.recorder.close()
        if problems:
            pytest.fail("\n".join(problems) + "\n" + target.wos.logs(), pytrace=False)


@pytest.fixture(scope="module")
def published():
    yield from published_as(tls=True)


@pytest.fixture(scope="module")
def in_clear():
    yield from published_as(tls=False)


def each(todo):
    return pytest.mark.parametrize("check", todo, ids=lambda check: check.name.replace(" ", "-"))


def sent_bytes(check):
    steps = check.send if isinstance(check.send, list) else [check.send]
    return sum(map(len, steps)) + (len(check.reply.data) if check.reply else 0)


H1 = [c for c in checks.ALL if c.kind == "h1"]
SHORT = [c for c in H1 if sent_bytes(c) < 1000]
# What comes behind a whole answer, and only once its connection is used again, is the next
# answer: nobody can tell (RFC 9112 11.1). Where it comes at once it must be seen.
SLOW = [c for c in SHORT if "surplus" not in c.name]
CLEAR = [c for c in SHORT if "X-Forwarded-Proto" not in c.name]  # "https" is what those expect


@each(checks.ALL)
def test_rfc(published, check):
    published.run(check)


@each(SLOW)
def test_rfc_byte_by_byte(published, check):
    """The parsers come to the same verdict when every byte comes alone."""
    published.run(check, piece=1)


@each(CLEAR)
def test_rfc_in_cleartext(in_clear, check):
    in_clear.run(check)


INJECTED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nINJECTED"
TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("data, close", [(INJECTED, False), (INJECTED, True), (TIMEOUT, True),
                                         (b"\r\n", False), (b"", True)],
                         ids=["an answer", "an answer and the end", "408", "an empty line", "the end"])
def test_what_comes_on_an_idle_upstream_connection_answers_nobody(published, data, close):
    """A service that speaks unasked, or hangs up, does not answer the next request."""
    with published.wos.h1(HOST) as client:
        for i in range(40):
            answer = client.request(path="/first?%d" % i)
            assert (answer.status, answer.text) == (200, "/first?%d" % i)
            published.recorder.push(data, close)


@pytest.mark.parametrize("method, head, reused", [
    ("GET", b"200 OK\r\nContent-Length: 0", True),
    ("HEAD", b"200 OK\r\nContent-Length: 0", True),
    ("HEAD", b"200 OK\r\nContent-Length: 5", False),
    ("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", False),
    ("HEAD", b"200 OK", False),
    ("GET", b"204 No Content", True),
    ("GET", b"304 Not Modified", True),
    ("GET", b"304 Not Modified\r\nContent-Length: 5", False),
])
def test_body_that_must_not_come_is_nobodys_answer(published, method, head, reused):
    """Sloppy services send it: the connection whose head announced one is not used again."""
    service = published.recorder
    service.mark()
    service.script("t000000", recorder.Reply(b"HTTP/1.1 %s\r\n\r\n" % head))
    with published.wos.h1(HOST) as client:
        client.request(method, "/t000000")
        assert client.request(path="/next").text == "/next"
    first, second = service.take()[0]
    assert (first.peer == second.peer) is reused


def test_request_left_unfinished_poisons_no_upstream_connection(published):
    """The client goes in the middle of its body; the connection to the service goes too."""
    for _ in range(20):
        with published.wos.h1(HOST) as client:
            client.send("POST /cut HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\n\r\nGET /smuggled "
                        % client.authority)
            client.channel.flush()
            harness.until("the service has the head", lambda: published.recorder.take()[1])
        published.recorder.mark()
        with published.wos.h1(HOST) as client:
            assert client.request(path="/whole").text == "/whole"
        seen, _, junk, _ = published.recorder.take()
        assert [m.target for m in seen] == [b"/whole"] and not junk


@pytest.mark.parametrize("seed", range(150))
def test_same_head_from_both_versions(published, seed):
    """One request over HTTP/1.1 and over HTTP/2 reaches the service as one head."""
    wrong = pairs.compare(seed, published.wos.port, published.recorder, harness.PATIENCE)
    assert wrong is None, "seed %d: %s" % (seed, wrong)
