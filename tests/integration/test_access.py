"""Routes that need a secret: who gets in, who does not, and what they learn."""
import json
import re
import subprocess
from urllib.parse import quote_plus

import pytest

import clients
import harness
from edge import Edge

SECRET = "correct horse &+% battery"
APP, OTHER, OPEN = "app.wos.localhost", "other.wos.localhost", "open.wos.localhost"
STARTING, STOPPED = "starting.wos.localhost", "stopped.wos.localhost"
FAILING, DOWN, NOBODY = "failing.wos.localhost", "down.wos.localhost", "nobody.wos.localhost"
SECRET_STOPPED = "secret-stopped.wos.localhost"
BROWSER = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
COOKIE = "__Host-wos-access"


def form(secret=SECRET, next_path=None):
    body = "secret=" + quote_plus(secret)
    if next_path is not None:
        body += "&next=" + quote_plus(next_path)
    return body.encode()


@pytest.fixture(scope="module")
def backend():
    port = harness.free_port()
    proc = subprocess.Popen([harness.PYTHON, str(harness.FAKES / "backend.py"), "--port", str(port),
                             "--name", "app"], stdin=subprocess.DEVNULL)
    try:
        def listening():
            assert proc.poll() is None
            with clients.Http1(port, "127.0.0.1") as client:
                return client.request(path="/hello").status == 200
        harness.until("the service listens", listening)
        yield port
    finally:
        proc.terminate()
        proc.wait(30)


@pytest.fixture(scope="module")
def edge(backend):
    dead = harness.free_port()
    with Edge(["%s=%d,secret" % (APP, backend), "%s=%d,secret" % (OTHER, backend),
               "%s=%d" % (OPEN, backend), "%s=%d,starting" % (STARTING, backend),
               "%s=%d,stopped" % (STOPPED, backend), "%s=%d,failing" % (FAILING, dead),
               "%s=%d" % (DOWN, dead), "%s=%d,nobody" % (NOBODY, backend),
               "%s=%d,secret,stopped" % (SECRET_STOPPED, backend)],
              secret=SECRET, free=1000, per_minute=100000) as instance:
        yield instance


def login(edge, host=APP, http="h1", secret=SECRET, headers=(), **keys):
    return edge.request(host, "/.wos/login", "POST", http=http, body=form(secret, **keys),
                        headers=[FORM, BROWSER, ("Origin", edge.origin(host)), *headers])


def cookie_of(answer):
    name, _, value = answer.get("set-cookie").partition(";")[0].partition("=")
    return name, value


@pytest.fixture(scope="module")
def cookie(edge):
    """A Cookie field that opens APP."""
    answer = login(edge)
    assert answer.status == 303, answer
    return ("Cookie", "%s=%s" % cookie_of(answer))


# --- the login page ------------------------------------------------------------

def test_stranger_gets_the_login_page(edge, http):
    answer = edge.request(APP, "/a?b=<c>&d='", headers=[BROWSER], http=http)
    assert answer.status == 401
    assert answer.get("content-type") == "text/html; charset=utf-8"
    assert answer.get("www-authenticate") is None and answer.get("set-cookie") is None
    assert answer.get("cache-control") == "no-store"
    assert answer.get("x-content-type-options") == "nosniff"
    policy = answer.get("content-security-policy")
    for part in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert '<form method="post" action="/.wos/login">' in answer.text
    assert 'name="next" value="/a?b=&lt;c&gt;&amp;d=&#39;"' in answer.text
    assert "<script" not in answer.text and 'lang="en"' in answer.text


def test_stranger_s_form_follows_accept(edge, http):
    answer = edge.request(APP, "/", http=http)
    assert answer.status == 401 and answer.text.startswith("tunnel: this address needs a secret")
    answer = edge.request(APP, "/", headers=[("Accept", "application/json")], http=http)
    assert answer.status == 401 and answer.json["error"]["code"] == "secret-required"
    head = edge.request(APP, "/", "HEAD", headers=[BROWSER], http=http)
    assert head.status == 401 and head.body == b"" and int(head.get("content-length")) > 1000


def test_stranger_learns_no_state(edge, http):
    """Live or stopped: the same page."""
    answers = [edge.request(h, "/x", headers=[BROWSER], http=http) for h in (APP, SECRET_STOPPED)]
    assert answers[0].status == answers[1].status == 401
    assert answers[0].body == answers[1].body
    known = edge.request(SECRET_STOPPED, "/x", headers=[("X-Wos-Secret", SECRET)], http=http)
    assert known.status == 503 and "is not running" in known.text


def test_login_opens_this_host_only(edge, http):
    answer = login(edge, http=http, next_path="/echo?x=1")
    assert (answer.status, answer.get("location")) == (303, "/echo?x=1")
    field = answer.get("set-cookie")
    assert field.startswith(COOKIE + "=")
    attributes = {a.strip() for a in field.split(";")[1:]}
    assert attributes == {"Path=/", "Max-Age=2592000", "HttpOnly", "Secure", "SameSite=Lax"}
    cookie = ("Cookie", "%s=%s" % cookie_of(answer))
    assert edge.request(APP, "/hello", headers=[cookie], http=http).text == "hello from app\n"
    assert edge.request(OTHER, "/hello", headers=[cookie], http=http).status == 401
    # Without TLS another name counts; over it that one does not.
    plain = ("Cookie", "wos-access=" + cookie_of(answer)[1])
    assert edge.request(APP, "/hello", headers=[plain], http=http).status == 401


def test_login_is_told_to_the_daemon(edge, http):
    edge.events.clear()
    agent = "Test\tBrowser %s \xe9 " % http
    answer = login(edge, http=http, headers=[("User-Agent", agent + "x" * 400)])
    assert answer.status == 303
    event = harness.until("the login is told", lambda: [
        e for e in edge.events if e["event"] == "login" and "Browser " + http in e["agent"]])[0]
    assert re.fullmatch("[0-9a-f]{16}", event["id"]) and int(event["id"], 16) != 0
    assert (event["host"], event["address"]) == (APP, "127.0.0.1")
    assert event["agent"].startswith("Test?Browser %s ?" % http) and len(event["agent"]) == 200


def test_wrong_secret(edge, http):
    answer = login(edge, http=http, secret="no<b>", next_path="/kept")
    assert answer.status == 401 and answer.get("set-cookie") is None
    assert 'role="alert"' in answer.text and "no<b>" not in answer.text
    assert 'value="/kept"' in answer.text
    assert edge.event("denied", why="secret", host=APP)["address"] == "127.0.0.1"
    line = re.compile(r'^\S+ warn wos-access msg="failed secret from 127\.0\.0\.1 for %s"$' % APP,
                      re.M)
    harness.until("the log line", lambda: line.search(edge.log_text()))
    assert "no<b>" not in edge.log_text() and SECRET not in edge.log_text()


@pytest.mark.parametrize("target", [
    "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "evil",
    "javascript:alert(1)", "/a b", "/é", "", "/" + "a" * 3000])
def test_login_redirects_to_this_host_only(edge, http, target):
    answer = login(edge, http=http, next_path=target)
    assert (answer.status, answer.get("location")) == (303, "/")


@pytest.mark.parametrize("body", [
    b"secret=a%0d%0aX: y&next=/", b"secret=x&next=/%0d%0aSet-Cookie:%20a=b", b"secret=%zz",
    b"secret=%4", b"secret=%", b"secret=a&secret=b", b"next=/", b"", b"secret=a b", b"secret=%00",
    b"secret=\xff"])
def test_malformed_form(edge, http, body):
    answer = edge.request(APP, "/.wos/login", "POST", http=http, body=body,
                          headers=[FORM, ("Origin", edge.origin(APP))])
    assert answer.status == 400 and answer.get("set-cookie") is None
    assert all("\n" not in v and "a=b" not in v for _, v in answer.headers)


def test_login_form_is_bounded(edge, http):
    fields = [FORM, ("Origin", edge.origin(APP))]
    answer = edge.request(APP, "/.wos/login", "POST", fields, b"secret=" + b"a" * 5000, http)
    assert answer.status == 413
    with edge.open(APP, http) as client:  # and without its length told before
        if http == "h1":
            client.send_head("POST", "/.wos/login", fields + [("Transfer-Encoding", "chunked")])
            client.send(b"1000\r\n" + b"a" * 4096 + b"\r\n10\r\n" + b"b" * 16 + b"\r\n")
            assert client.read_answer().status == 413
            client.channel.wait_closed()
        else:
            stream = client.open("POST", "/.wos/login", fields, end=False)
            client.send_data(stream, b"a" * 4096)
            client.send_data(stream, b"b" * 16)
            assert client.finish(stream).status == 413
            assert client.request(path="/").status == 401  # the connection goes on


def test_login_in_pieces_keeps_the_connection(edge, http):
    fields = [FORM, ("Origin", edge.origin(APP))]
    with edge.open(APP, http) as client:
        answer = client.request("POST", "/.wos/login", fields, body=iter([form()[:9], form()[9:]]))
        assert answer.status == 303
        assert client.request(path="/hello").status == 401


def test_login_that_is_given_up(edge, http):
    fields = [FORM, ("Origin", edge.origin(APP)), ("Content-Length", "100")]
    with edge.open(APP, http) as client:
        if http == "h1":
            client.send_head("POST", "/.wos/login", fields)
            client.send(b"secret=")
        else:
            client.send_data(client.open("POST", "/.wos/login", fields, end=False), b"secret=")
        client.channel.flush()
        client.channel.abort()
    assert edge.request(APP, "/").status == 401


def test_login_needs_a_form(edge, http):
    origin = ("Origin", edge.origin(APP))
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x"):
        answer = edge.request(APP, "/.wos/login", "POST", [origin, ("Content-Type", kind)], form(),
                              http)
        assert answer.status == 415, kind
    answer = edge.request(APP, "/.wos/login", "PUT", [origin, FORM], form(), http)
    assert (answer.status, answer.get("allow")) == (405, "GET, HEAD, POST")
    # A secret in a query is no secret.
    answer = edge.request(APP, "/.wos/login?secret=" + quote_plus(SECRET), http=http)
    assert answer.status == 401 and answer.get("set-cookie") is None
    assert edge.request(APP, "/?secret=" + quote_plus(SECRET), http=http).status == 401


def origins(edge):
    own = edge.origin(APP)
    return [
        ([], False), ([("Origin", own)], True), ([("Origin", "https://" + APP)], False),
        ([("Origin", own.replace("https", "http"))], False),
        ([("Origin", edge.origin(OTHER))], False), ([("Origin", own + ".evil.example")], False),
        ([("Origin", "https://evil.example#" + own)], False), ([("Origin", own + "/")], False),
        ([("Origin", own.upper().replace("HTTPS", "https"))], True),
        ([("Origin", own), ("Origin", own)], False), ([("Origin", "null")], False),
        ([("Origin", "null"), ("Sec-Fetch-Site", "same-origin")], True),
        ([("Origin", "null"), ("Sec-Fetch-Site", "none")], False),
        ([("Origin", "https://evil.example"), ("Sec-Fetch-Site", "same-origin")], False),
        ([("Sec-Fetch-Site", "same-origin")], True), ([("Sec-Fetch-Site", "none")], True),
        ([("Sec-Fetch-Site", "same-site")], False), ([("Sec-Fetch-Site", "cross-site")], False)]


def test_login_from_another_site_is_refused(edge, http):
    for fields, allowed in origins(edge):
        answer = edge.request(APP, "/.wos/login", "POST", [FORM, *fields], form(), http)
        assert answer.status == (303 if allowed else 403), fields
        assert (answer.get("set-cookie") is not None) == allowed


def test_changes_by_cookie_need_an_own_origin(edge, http, cookie):
    for fields, allowed in origins(edge):
        for method in ("POST", "DELETE", "OPTIONS"):
            answer = edge.request(APP, "/echo", method, [cookie, *fields], b"x", http)
            assert answer.status == (200 if allowed else 403), (method, fields)
    for method in ("GET", "HEAD"):
        answer = edge.request(APP, "/hello", method, [cookie, ("Origin", "https://evil.example")],
                              http=http)
        assert answer.status == 200
    # A script with the secret has no origin; a public route has no such rule.
    answer = edge.request(APP, "/echo", "POST", [("X-Wos-Secret", SECRET)], b"x", http)
    assert answer.status == 200
    evil = ("Origin", "https://evil.example")
    assert edge.request(OPEN, "/echo", "POST", [evil], b"x", http).status == 200


def test_websocket_by_cookie_needs_an_own_origin(edge, http, cookie):
    own = ("Origin", edge.origin(APP))
    for fields, status in (([], 401), ([own], 401), ([cookie], 403), ([cookie, own], None),
                           ([cookie, ("Sec-Fetch-Site", "same-origin")], 403),
                           ([cookie, ("Origin", edge.origin(OTHER))], 403),
                           ([("X-Wos-Secret", SECRET)], None)):
        ws = edge.ws(APP, fields, http)
        try:
            assert ws.open if status is None else ws.answer.status == status, (fields, ws.answer)
        finally:
            ws.close()


# --- X-Wos-Secret ----------------------------------------------------------------

def test_header_opens_and_never_reaches_the_service(edge, http):
    given = ("X-Wos-Secret", SECRET)
    others = [("X_Wos_Secret", "a"), ("x-wos_secret", "b"), ("Authorization", "Basic dTpw"),
              ("X-Wos-Secrets", "kept")]
    for host in (APP, OPEN):
        seen = dict(edge.request(host, "/echo", headers=[given, *others], http=http)
                    .json["headers"])
        lower = {k.lower(): v for k, v in seen.items()}
        assert lower["authorization"] == "Basic dTpw" and lower["x-wos-secrets"] == "kept"
        assert not any(k.replace("_", "-") == "x-wos-secret" for k in lower), lower


def test_header_forgeries(edge, http):
    right = SECRET
    for fields in ([("X_Wos_Secret", right)], [("X-Wos_Secret", right)], [("X-Wos-Secret", "")],
                   [("X-Wos-Secret", right + "x")], [("X-Wos-Secret", right[:-1])],
                   [("X-Wos-Secret", "a" * 3000)], [("Authorization", "Bearer " + right)],
                   [("Cookie", "X-Wos-Secret=" + right)]):
        assert edge.request(APP, "/hello", headers=fields, http=http).status == 401, fields
    twice = [("X-Wos-Secret", right), ("x-wos-secret", "wrong")]
    assert edge.request(APP, "/hello", headers=twice, http=http).status == 400
    answer = edge.request(APP, "/hello", http=http,
                          headers=[("X-Wos-Secret", "no"), ("Accept", "application/json")])
    assert (answer.status, answer.json["error"]["code"]) == (401, "wrong-secret")


def test_secret_in_a_trailer_opens_nothing(edge):
    answer = edge.request(APP, "/echo", "POST", chunked=True, body=b"x",
                          trailers=[("X-Wos-Secret", SECRET)])
    assert answer.status == 401
    answer = edge.request(OPEN, "/echo", "POST", chunked=True, body=b"x",
                          trailers=[("X-Wos-Secret", SECRET), ("X-Sum", "1")])
    assert [n.lower() for n, _ in answer.json["trailers"]] == ["x-sum"]


# --- the cookie --------------------------------------------------------------------

def test_cookie_is_taken_out_byte_for_byte(edge, http, cookie):
    ours = cookie[1]
    for given, left in (
            (ours, None), (ours + "; a=1", "a=1"), ("a=1; " + ours, "a=1"),
            ("a=1; %s; b=\"2; c\"" % ours, "a=1; b=\"2; c\""),
            ("a=1;b=2;  %s;c=3" % ours, "a=1;b=2;c=3"),
            ("wos-access=x; %s; %s=y; a=1" % (ours, COOKIE), "a=1"),
            ("x%s; %s; wos-access-not=1" % (ours, ours), "x%s; wos-access-not=1" % ours)):
        seen = edge.request(APP, "/echo", headers=[("Cookie", given)], http=http).json["headers"]
        assert [v for n, v in seen if n.lower() == "cookie"] == ([left] if left else []), given
    # A public route never had it, and does not get it either.
    seen = edge.request(OPEN, "/echo", headers=[("Cookie", "a=1; " + ours)], http=http)
    assert ["cookie", "a=1"] in [[n.lower(), v] for n, v in seen.json["headers"]]


def test_cookie_crumbs(edge, cookie):
    fields = [("cookie", "a=1"), ("cookie", cookie[1]), ("cookie", "b=2")]
    seen = edge.request(APP, "/echo", headers=fields, http="h2").json["headers"]
    assert [v for n, v in seen if n.lower() == "cookie"] == ["a=1; b=2"]


def test_service_cannot_set_it(edge, http, cookie):
    for host in (APP, OPEN):
        answer = edge.request(host, "/cookies", headers=[cookie], http=http)
        assert answer.all("set-cookie") == ["session=1; Path=/; HttpOnly", "wos-access-not=kept"]


def test_tossed_cookies_do_not_lock_out(edge, http, cookie):
    """A sibling name may have set cookies of that name in front of ours."""
    tossed = "; ".join("%s=%s" % (COOKIE, "A" * 76) for _ in range(10))
    for value in ("%s; %s" % (tossed, cookie[1]), "%s=evil; %s" % (COOKIE, cookie[1])):
        assert edge.request(APP, "/hello", headers=[("Cookie", value)], http=http).status == 200


def test_forged_cookies(edge, http, cookie):
    value = cookie[1].partition("=")[2]
    swap = {"A": "B"}
    forged = [value[:i] + swap.get(value[i], "A") + value[i + 1:] for i in range(0, 76, 5)]
    forged += [value[:-1], value + "A", value + "=", "", '"%s"' % value, value.swapcase(), "A" * 76]
    for one in forged:
        answer = edge.request(APP, "/hello", http=http,
                              headers=[("Cookie", "%s=%s" % (COOKIE, one))])
        assert answer.status == 401, one
    for name in ("__host-wos-access", "__Secure-wos-access", "wos-access", "WOS-ACCESS"):
        answer = edge.request(APP, "/hello", headers=[("Cookie", "%s=%s" % (name, value))],
                              http=http)
        assert answer.status == 401, name


def test_logout_revokes(edge, http):
    answer = login(edge, http=http)
    mine = ("Cookie", "%s=%s" % cookie_of(answer))
    own = ("Origin", edge.origin(APP))
    assert edge.request(APP, "/.wos/login", headers=[mine], http=http).status == 303
    page = edge.request(APP, "/.wos/logout", headers=[mine, BROWSER], http=http)
    assert (page.status, page.get("allow")) == (405, "POST")
    assert 'action="/.wos/logout"' in page.text
    evil = ("Origin", "https://evil.example")
    assert edge.request(APP, "/.wos/logout", "POST", [mine, evil], b"", http).status == 403
    assert edge.request(APP, "/hello", headers=[mine], http=http).status == 200
    answer = edge.request(APP, "/.wos/logout", "POST", [mine, own], b"", http)
    assert answer.status == 303
    assert answer.get("set-cookie").startswith(COOKIE + "=; Path=/; Max-Age=0;")
    assert re.fullmatch("[0-9a-f]{16}", edge.event("logout")["id"])
    harness.until("the login is revoked", lambda: edge.request(
        APP, "/hello", headers=[mine], http=http).status == 401)


def test_new_secret_or_key_ends_logins(backend):
    with Edge(["%s=%d,secret" % (APP, backend)], secret=SECRET) as edge:
        def known(mine):
            return edge.request(APP, "/hello", headers=[mine]).status == 200
        first = ("Cookie", "%s=%s" % cookie_of(login(edge)))
        assert known(first)
        edge.command("secret other")
        assert not known(first) and login(edge).status == 401
        second = ("Cookie", "%s=%s" % cookie_of(login(edge, secret="other")))
        assert known(second)
        edge.command("key")
        assert not known(second) and not known(first)
        edge.command("secret")  # none: nobody gets in, whatever they bring
        assert edge.request(APP, "/hello", headers=[second, BROWSER]).status == 403
        assert edge.request(APP, "/", headers=[("X-Wos-Secret", "")]).status == 403
        assert login(edge, secret="").status == 403


def test_secret_beyond_ascii(backend):
    text = "søt hemmelighet ☃"
    with Edge(["%s=%d,secret" % (APP, backend)], secret=text) as edge:
        assert login(edge, secret=text).status == 303
        given = ("X-Wos-Secret", text.encode().decode("latin-1"))
        assert edge.request(APP, "/hello", headers=[given]).status == 200


def test_without_tls(backend):
    with Edge(["%s=%d,secret" % (APP, backend)], secret=SECRET, tls=False) as edge:
        answer = login(edge)
        assert answer.status == 303
        name, value = cookie_of(answer)
        assert name == "wos-access" and "Secure" not in answer.get("set-cookie")
        assert edge.request(APP, "/hello", headers=[("Cookie", "wos-access=" + value)]).status == 200
        other = ("Cookie", "%s=%s" % (COOKIE, value))
        assert edge.request(APP, "/hello", headers=[other]).status == 401


# --- throttle ------------------------------------------------------------------------

def test_failures_have_to_wait(backend, http):
    with Edge(["%s=%d,secret" % (APP, backend)], secret=SECRET, free=3,
              delay_max=3600000) as edge:
        mine = ("Cookie", "%s=%s" % cookie_of(login(edge, http=http)))
        for _ in range(4):
            assert login(edge, http=http, secret="wrong").status == 401
        # The right one waits as well, on either way in, and nothing tells it apart.
        right, wrong = login(edge, http=http), login(edge, http=http, secret="wrong")
        for answer in (right, wrong):
            assert answer.status == 429 and answer.get("set-cookie") is None
            assert 1 <= int(answer.get("retry-after")) <= 2
        assert right.body == wrong.body
        answer = edge.request(APP, "/hello", headers=[("X-Wos-Secret", SECRET)], http=http)
        assert answer.status == 429
        assert edge.request(APP, "/hello", headers=[mine], http=http).status == 200
        harness.until("the wait is over", lambda: login(edge, http=http).status == 303)
        for _ in range(4):  # success forgets
            assert login(edge, http=http, secret="wrong").status == 401
        harness.until("each failure is logged",
                      lambda: edge.log_text().count("failed secret") == 8)


def test_tries_during_a_wait_are_in_the_log(backend, http):
    """The first, second, fourth … with that number: each client that goes on is seen, and nobody
    fills the log."""
    with Edge(["%s=%d,secret" % (APP, backend)], secret=SECRET, free=1000, per_minute=1) as edge:
        assert login(edge, http=http, secret="wrong").status == 401
        for _ in range(10):
            assert login(edge, http=http, secret="wrong").status == 429
        line = re.compile(r'^\S+ warn wos-access tries=(\d+) '
                          r'msg="refused secret from 127\.0\.0\.1 for %s"$' % APP, re.M)
        harness.until("four lines for ten tries",
                      lambda: line.findall(edge.log_text()) == ["1", "2", "4", "8"])
        assert edge.log_text().count("failed secret") == 1


def test_failures_of_everybody_have_to_wait(backend):
    """Too many in a minute: who never was right waits, at a new address too."""
    with Edge(["%s=%d,secret" % (APP, backend)], secret=SECRET, free=1000, per_minute=3) as edge:
        def attempt(address, secret):
            done = subprocess.run(
                ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", edge.ca,
                 "--interface", address, "--connect-to", "::127.0.0.1:%d" % edge.port,
                 "-H", "X-Wos-Secret: " + secret, "https://%s/hello" % APP],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
            return int(done.stdout)
        assert attempt("127.0.0.2", SECRET) == 200
        assert [attempt("127.0.0.3", "wrong") for _ in range(4)] == [401, 401, 401, 429]
        assert attempt("127.0.0.4", SECRET) == 429
        assert attempt("127.0.0.2", SECRET) == 200
        for why in ("secret", "secret", "secret", "wait"):
            assert edge.event("denied", why=why)["host"] == APP


# --- pages of states -------------------------------------------------------------------

def test_whitelist_comes_first(edge, http):
    edge.events.clear()

    def told():  # not of each: test_denied_events_are_bounded may have run just before
        answer = edge.request(NOBODY, "/", headers=[("X-Wos-Secret", SECRET)], http=http)
        assert (answer.status, answer.text) == (403, "tunnel: forbidden\n")
        return [e for e in edge.events if e["event"] == "denied" and e["why"] == "address"]
    assert harness.until("an event says so", told)[0]["host"] == NOBODY
    assert edge.request(NOBODY, "/.wos/login", http=http).status == 403


def test_denied_events_are_bounded(edge):
    edge.events.clear()
    count = 300
    with edge.open(NOBODY, "h2") as client:
        for _ in range(count):
            assert client.request(path="/").status == 403

        def missed():
            client.request(path="/")
            return [e for e in edge.events if e["event"] == "denied" and e["missed"] > 0]
        harness.until("an event says how many were left out", missed)
    assert len(edge.events) < count


@pytest.mark.parametrize("host,status,code,line,words", [
    ("unknown.wos.localhost", 404, "no-route", "tunnel: no route for host", "No such address"),
    (STARTING, 503, "starting", "tunnel: %s: the service edge is starting" % STARTING,
     "health &lt;checks&gt;"),
    (STOPPED, 503, "stopped", "tunnel: %s: the service edge is not running" % STOPPED, "Stopped"),
    (NOBODY, 403, "forbidden", "tunnel: forbidden", "Forbidden"),
    (DOWN, 502, "service-down", "tunnel: upstream error (%s -> 127.0.0.1:" % DOWN, "Service down"),
    (FAILING, 502, "health-check-failing", "tunnel: upstream error (%s -> 127.0.0.1:" % FAILING,
     "Health check fails")])
def test_state_pages(edge, http, host, status, code, line, words):
    text = edge.request(host, "/", http=http)
    page = edge.request(host, "/", headers=[BROWSER], http=http)
    data = edge.request(host, "/", headers=[("Accept", "application/json")], http=http)
    head = edge.request(host, "/", "HEAD", headers=[BROWSER], http=http)
    assert text.text.startswith(line) and text.get("content-type").startswith("text/plain")
    assert words in page.text and page.get("content-type").startswith("text/html")
    assert page.text.count("<h1>") == 1 and "127.0.0.1" not in page.text
    assert data.json["error"]["code"] == code and data.json["error"]["message"].startswith(line)
    assert head.body == b"" and head.get("content-type") == page.get("content-type")
    for answer in (text, page, data, head):
        assert answer.status == status
        assert answer.get("cache-control") == "no-store"
        assert answer.get("x-content-type-options") == "nosniff"
        assert answer.get("referrer-policy") == "no-referrer"
        assert "default-src 'none'" in answer.get("content-security-policy")


def test_starting_page_refreshes_itself(edge, http):
    page = edge.request(STARTING, "/", headers=[BROWSER], http=http)
    assert '<meta http-equiv="refresh" content="2">' in page.text
    assert (page.get("refresh"), page.get("retry-after")) == ("2", "1")
    assert re.search(r"<dd>\d+ min \d+ s</dd>", page.text)
    data = edge.request(STARTING, "/", headers=[("Accept", "application/json")], http=http)
    assert data.json["phase"] == "health <checks>" and data.json["elapsedSeconds"] >= 75
    assert data.get("refresh") is None and data.get("retry-after") == "1"


@pytest.mark.parametrize("accept,kind", [
    (None, "text/plain"), ("*/*", "text/plain"), ("text/*", "text/plain"),
    (BROWSER[1], "text/html"), ("application/json, text/plain, */*", "application/json"),
    ("text/html;q=0.5, application/json;q=0.9", "application/json"),
    ("text/html;q=0, */*", "text/plain"), ("TEXT/HTML ; Q=0.8, */*;q=0.1", "text/html"),
    ("application/*", "application/json"), ("image/png", "text/plain"),
    ("text/html;q=2, text/plain;q=0.1", "text/plain"), ("", "text/plain"),
    ("text/html;q=1.0000, application/json;q=0.1", "application/json"), (",;,=", "text/plain")])
def test_accept(edge, http, accept, kind):
    fields = [] if accept is None else [("Accept", accept)]
    answer = edge.request("unknown.wos.localhost", "/", headers=fields, http=http)
    assert answer.status == 404
    assert answer.get("content-type").partition(";")[0] == kind


def test_policy_s_hash_is_the_style_s(edge):
    import base64
    import hashlib
    page = edge.request(STARTING, "/", headers=[BROWSER])
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "style-src 'sha256-%s'" % digest in page.get("content-security-policy")


def test_json_stays_json(edge):
    """Refusals of the protocol, too."""
    for authority, status in (("no_\"quote\\", 400), ("a--b.example", 404), ("[::1]", 404)):
        with edge.open("a.wos.localhost", authority=authority) as client:
            answer = client.request(path="/", headers=[("Accept", "application/json")])
        assert (answer.status, json.loads(answer.body)["status"]) == (status, status), authority
