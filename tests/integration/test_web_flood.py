"""Clients of the web listener who only hold its connections, without any login."""
import os
import resource
import socket

import pytest

import harness

CLIENTS_MAX = 200  # web.connectionsMax of the test
INCOMPLETE = (b"POST /ui/v1/auth/login HTTP/1.1\r\nHost: localhost\r\n"
              b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")


def connect(wos, data=b""):
    s = socket.create_connection(("127.0.0.1", wos.web_port), harness.PATIENCE)
    s.sendall(data)
    return s


def get(wos, path="/ui/v1/health"):
    return b"GET %s HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % (path.encode(), wos.web_port)


def read_until(s, what):
    data = b""
    while what not in data:
        piece = s.recv(65536)
        assert piece, data
        data += piece


def is_closed(s):
    s.settimeout(0)
    try:
        return s.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        s.settimeout(harness.PATIENCE)


def started_with(make_wos, **web):
    wos = make_wos(worktrees=())
    wos.config["web"].update(web)
    wos.write_config()
    wos.ok("start")
    return wos


def open_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def settled_open_files(pid):
    """How many when it has done all that its start began."""
    seen = []

    def settled():
        seen.append(open_files(pid))
        return len(seen) > 20 and len(set(seen[-20:])) == 1
    harness.until("it is at rest", settled)
    return seen[-1]


def daemon_log(wos):
    return (wos.home / "daemon.log").read_text(errors="replace")


@pytest.fixture
def few_files():
    """As most shells give them: a soft limit below the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 1024
    if hard != resource.RLIM_INFINITY and hard < 4 * CLIENTS_MAX:
        pytest.skip("the hard limit of file descriptors is only %d" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_incomplete_requests_take_no_more_than_their_share(few_files, make_wos):
    wos = started_with(make_wos, connectionsMax=CLIENTS_MAX)
    before = open_files(wos.daemon_pid())
    busy = connect(wos, get(wos, "/ui/v1/events"))
    read_until(busy, b"\r\n\r\n")
    crowd = []
    try:
        for _ in range(CLIENTS_MAX + 200):
            crowd.append(connect(wos, INCOMPLETE))
        with connect(wos, get(wos)) as late:
            read_until(late, b'"ok":true')
        harness.until("those who wait longest go",
                      lambda: sum(is_closed(s) for s in crowd[:200]) == 200)
        assert open_files(wos.daemon_pid()) <= before + CLIENTS_MAX + 20
        assert wos.ok("status", "--all")
        assert not is_closed(busy), "a stream is not among those who wait"
        assert daemon_log(wos).count("too many connections") == 1
    finally:
        busy.close()
        for s in crowd:
            s.close()


def test_accepting_rests_while_there_are_no_descriptors(make_wos):
    wos = make_wos(worktrees=())
    wos.ok("start")
    pid = wos.daemon_pid()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    crowd = []
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (settled_open_files(pid) + 2, limits[1]))
        crowd = [connect(wos, get(wos)) for _ in range(8)]
        harness.until("the log says so", lambda: "cannot accept new clients" in daemon_log(wos))
        read_until(crowd[0], b'"ok":true')
        assert is_closed(crowd[7]) is False, "it waits"
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    for s in crowd[1:]:
        read_until(s, b'"ok":true')
    harness.until("it is over", lambda: "accepted again" in daemon_log(wos))
    assert daemon_log(wos).count("cannot accept new clients") == 1
    assert "accept()" not in daemon_log(wos), "libevent's own words"
    for s in crowd:
        s.close()
    wos.ok("status", "--all")


def test_a_request_has_to_become_complete(make_wos):
    """A byte now and then does not help; a stream may be silent for as long as it likes.
    The 30 s of the default would not be over."""
    wos = started_with(make_wos, requestTimeout="1s")
    stream = connect(wos, get(wos, "/ui/v1/events"))
    read_until(stream, b"\r\n\r\n")
    kept = connect(wos, get(wos))
    read_until(kept, b'"ok":true')
    slow = [connect(wos), connect(wos, b"GET / HT"), connect(wos, INCOMPLETE)]

    def are_closed():
        for s in slow[1:]:
            try:
                s.send(b" ")
            except OSError:
                pass
        return all(is_closed(s) for s in slow)
    harness.until("incomplete requests end", are_closed, timeout=25)
    kept.sendall(get(wos))
    read_until(kept, b'"ok":true')
    assert not is_closed(stream)
    for s in [stream, kept] + slow:
        s.close()


def test_services_have_the_limit_of_the_shell(few_files, make_wos):
    """The daemon has all that its user may have."""
    wos = make_wos()
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for pid in (wos.daemon_pid(), wos.gateway_pid()):
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)
    services = wos.service_pids("alpha")
    pids = services.values() if isinstance(services, dict) else services
    assert pids
    for pid in pids:
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (few_files, hard)
