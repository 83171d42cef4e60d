#!/usr/bin/env python3
"""Writes the seeds of fuzz_snapshot, tests/fuzz/corpus/snapshot/, in the encoding of now: version,
limits and their defaults are read from routing/. Run it again after a change of the encoding
(routing/snapshot_encode.c says what it is)."""
import ipaddress
import re
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROUTING = HERE.parent.parent / "routing"
HEADER = (ROUTING / "snapshot.h").read_text()
SOURCE = (ROUTING / "snapshot.c").read_text()
VERSION = int(re.search(r"SNAPSHOT_VERSION = (\d+)", HEADER)[1])
FIELDS = re.findall(r"uint32_t (\w+);", re.search(r"struct limits {(.*?)};", HEADER, re.S)[1])
VALUES = dict(re.findall(r"\.(\w+) = (\d+)", re.search(r"limits_default = {(.*?)};", SOURCE,
                                                       re.S)[1]))
LIMITS = [int(VALUES.get(name, 0)) for name in FIELDS]
PUBLIC, SECRET = 0, 1


def text(value):
    raw = value.encode()
    return struct.pack("<H", len(raw)) + raw


def blob(value):
    return struct.pack("<I", len(value)) + value


def many(items):
    return struct.pack("<I", len(items)) + b"".join(items)


def peers(*networks):
    nets = [ipaddress.ip_network(n) for n in networks]
    return many([struct.pack("BB", n.version, n.prefixlen) + n.network_address.packed
                 for n in nets])


def policy(access=PUBLIC, rate=0, burst=0, exchanges=0, of_class=(), own=()):
    return struct.pack("<BIII", access, rate, burst, exchanges) + peers(*of_class) + peers(*own)


def route(host, owner="s", worktree="a", service="web", service_port=3000, port=40001, kind=0,
          state=0, host_mode=0, backend=0, index=0, phase=""):
    return (text(host) + text(owner) + text(worktree) + text(service) +
            struct.pack("<HHBBBBIQ", service_port, port, kind, state, host_mode, backend, index,
                        1700000000000) + text(phase))


def snapshot(tls=False, domain="", revoked=(), secret=False, trusted=(), proxies=(), policies=(),
             certs=(), tickets=(), ca=b"", routes=()):
    flags = (1 if tls else 0) | (2 if secret else 0)
    return (b"WOSN" + struct.pack("<HHQH", VERSION, flags, 7, 5858) + text(domain) +
            struct.pack("<BI", 2, 60) + struct.pack("<H", len(LIMITS)) +
            struct.pack("<%dI" % len(LIMITS), *LIMITS) + b"k" * 32 + b"d" * 32 +
            many([struct.pack("<Q", i) for i in revoked]) + peers(*trusted) + peers(*proxies) +
            many(list(policies)) + many([blob(c) + blob(k) for c, k in certs]) +
            many(list(tickets)) + blob(ca) + many(list(routes)))


WEB = "a-web.wos.localhost"
SEEDS = {
    "empty": snapshot(),
    "duplicate": snapshot(domain="wos.localhost", policies=[policy()],
                          routes=[route(WEB), route(WEB)]),
    "policies": snapshot(
        domain="wos.localhost", secret=True, revoked=[1, 2, 1 << 63],
        policies=[policy(), policy(of_class=["10.0.0.0/8"]),
                  policy(SECRET, 5, 9, 3, ["2001:db8::/32"], ["192.0.2.1/32", "::1/128"])],
        routes=[route(WEB, index=2)]),
    "full": snapshot(
        tls=True, domain="wos.localhost", secret=True, trusted=["10.0.0.0/8"],
        proxies=["::1/128"], policies=[policy(of_class=["10.0.0.0/8", "2001:db8::/32"])],
        certs=[(b"chain", b"key")], tickets=[b"\0" * 80, b"\1" * 80], ca=b"authorities",
        routes=[route(WEB), route("b.wos.localhost", "publish", "", "", 0, 0, 2, 1, 1,
                                  backend=3, phase="health checks"),
                route("[::1]", "daemon", "", "", 0, 4949, 1, backend=2)]),
}

if __name__ == "__main__":
    folder = HERE / "corpus" / "snapshot"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in SEEDS.items():
        (folder / name).write_bytes(data)
