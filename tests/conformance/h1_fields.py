"""Field lines (RFC 9112 section 5, RFC 9110 section 5)."""
from conformance.check import (Check, both, either, has, lacks, lacks_bytes, refused, request,
                               served)

STRICT = refused(400)


def field(name, text, expect, ours=None, rfc="9112 5", **keys):
    return Check("field: " + name, rfc, request(text), expect, ours, **keys)


def dropped_or_refused(*needles):
    return either(STRICT, served(seen=lacks_bytes(*needles)))


BAD_NAMES = [
    ("a space", b"X A: 1"), ("an at sign", b"X@A: 1"), ("parentheses", b"X(A): 1"),
    ("a slash", b"X/A: 1"), ("quotes", b'"X": 1'), ("braces", b"{X}: 1"), ("a comma", b"X,A: 1"),
    ("an equals sign", b"X=A: 1"), ("a semicolon", b"X;A: 1"), ("a backslash", b"X\\A: 1"),
    ("an 8-bit byte", b"X\xe9A: 1"), ("a NUL", b"X\0A: 1"), ("a control byte", b"X\x01A: 1"),
    ("DEL", b"X\x7fA: 1"), ("a vertical tab", b"X\x0bA: 1"), ("a bare CR", b"X\rA: 1"),
    ("nothing: empty name", b": 1"), ("no colon", b"XA"), ("no colon but a space", b"XA 1"),
]

CHECKS = [
    field("obs-fold", b"X-A: one\r\n two", either(STRICT, served(seen=has(b"x-a", b"one two")),
          served(seen=lambda m: None if b"one" in (m.get(b"x-a") or b"") else "lost")), STRICT,
          rfc="9112 5.2"),
    field("obs-fold with a tab", b"X-A: one\r\n\ttwo",
          either(STRICT, served(seen=lambda m: None if b"one" in (m.get(b"x-a") or b"") else "lost")),
          STRICT, rfc="9112 5.2"),
    field("obs-fold of spaces only", b"X-A: one\r\n  ", either(STRICT, served()), STRICT,
          rfc="9112 5.2"),
    field("obs-fold that looks like a field", b"X-A: one\r\n X-B: two",
          either(STRICT, served(seen=lacks(b"x-b"))), STRICT, rfc="9112 5.2"),
    field("space before the colon", b"X-A : 1", STRICT, rfc="9112 5.1"),
    field("tab before the colon", b"X-A\t: 1", STRICT, rfc="9112 5.1"),
    field("vertical tab before the colon", b"X-A\x0b: 1", dropped_or_refused(b"\x0b"), STRICT,
          rfc="9112 5.1"),
    field("NUL in a value", b"X-A: a\0b", either(STRICT, served(seen=lacks_bytes(b"\0"))), STRICT,
          rfc="9110 5.5"),
    field("bare CR in a value", b"X-A: a\rb", either(STRICT, served(seen=lacks_bytes(b"a\rb"))),
          STRICT, rfc="9110 5.5"),
    field("bare CR that hides a field", b"X-A: a\rX-B: b",
          either(STRICT, served(seen=both(lacks(b"x-b"), lacks_bytes(b"a\rX")))), STRICT,
          rfc="9112 2.2"),
    field("bare LF in a value", b"X-A: a\nb", STRICT, rfc="9112 5"),
    field("bare LF that hides a field", b"X-A: a\nX-B: b", either(STRICT, served()), STRICT,
          rfc="9112 2.2"),
    field("CR at the end of a value", b"X-A: a\r", either(STRICT, served(seen=has(b"x-a", b"a"))),
          STRICT, rfc="9110 5.5"),
    field("control byte in a value", b"X-A: a\x01b",
          either(STRICT, served()), STRICT, rfc="9110 5.5"),
    field("DEL in a value", b"X-A: a\x7fb", either(STRICT, served()), STRICT, rfc="9110 5.5"),
    field("escape in a value", b"X-A: \x1b[31m", either(STRICT, served()), STRICT, rfc="9110 5.5"),
    field("obs-text is opaque", b"X-A: \x80\xc3\xa9\xff", served(seen=has(b"x-a", b"\x80\xc3\xa9\xff")),
          rfc="9110 5.5"),
    field("a tab inside a value", b"X-A: a\tb", served(seen=has(b"x-a", b"a\tb")), rfc="9110 5.5"),
    field("white space around a value", b"X-A: \t a b\t ", served(seen=has(b"x-a", b"a b")),
          rfc="9112 5.1"),
    field("no white space at all", b"X-A:ab", served(seen=has(b"x-a", b"ab")), rfc="9112 5.1"),
    field("empty value", b"X-A:", served(seen=has(b"x-a", b"")), rfc="9110 5.5"),
    field("value of white space", b"X-A:  \t ", served(seen=has(b"x-a", b"")), rfc="9110 5.5"),
    field("colons in a value", b"X-A: :a:b:", served(seen=has(b"x-a", b":a:b:")), rfc="9112 5"),
    field("every token character in a name", b"A!#$%&'*+-.^`|~9z: v",
          served(seen=has(b"a!#$%&'*+-.^`|~9z", b"v")), rfc="9110 5.6.2"),
    field("a quoted string", b'X-A: "a, \\" b;c"', served(seen=has(b"x-a", b'"a, \\" b;c"')),
          rfc="9110 5.6.4"),
    field("order of equal names", b"X-A: 1\r\nX-B: x\r\nX-A: 2\r\nx-a: 3",
          served(seen=has(b"x-a", b"1", b"2", b"3")), rfc="9110 5.3"),
    field("unknown fields pass", b"X-Unknown-To-All: yes",
          served(seen=has(b"x-unknown-to-all", b"yes")), rfc="9110 5.1"),
    field("value of 8,000 bytes", b"X-A: " + b"v" * 8000, either(
        served(seen=has(b"x-a", b"v" * 8000)), refused(400, 431)),
        served(seen=has(b"x-a", b"v" * 8000)), rfc="9110 5.4"),
    field("100 fields", b"\r\n".join(b"X-%d: %d" % (i, i) for i in range(95)),
          either(served(seen=has(b"x-94", b"94")), refused(400, 431)),
          served(seen=has(b"x-94", b"94")), rfc="9110 5.4"),
    field("5,000 fields", b"\r\n".join(b"X-%d: %d" % (i, i) for i in range(5000)),
          either(served(), refused(400, 431)), refused(431), rfc="6585 5"),
    field("200 kB in one field", b"X-A: " + b"v" * 200000, either(served(), refused(400, 431)),
          refused(431), rfc="6585 5"),
    field("a name of 200 kB", b"X" * 200000 + b": 1", either(served(), refused(400, 431)),
          refused(431), rfc="6585 5"),
    field("a head of 2 MB", b"\r\n".join(b"X-%d: %s" % (i, b"v" * 2000) for i in range(1000)),
          either(served(), refused(400, 413, 431)), refused(431), rfc="6585 5"),
] + [field("name with " + name, text,
           dropped_or_refused(text.split(b":")[0] + b":" if b":" in text else text), STRICT,
           rfc="9110 5.1")
     for name, text in BAD_NAMES if name != "a space"] + [
    field("name with a space", b"X A: 1", STRICT, rfc="9112 5.1"),
]
