"""loads: runs a load against a server and checks that it was the load meant: every answer a 200,
every byte there, as many connections and resumed handshakes as planned. Anything else is `Broken`."""

import os
import re
import subprocess

from servers import HOST, Broken

TLS13 = 772


def run_tool(args, what):
    done = subprocess.run(list(map(str, args)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Broken("%s: exit %d\n%s" % (what, done.returncode, done.stdout[-2000:]))
    return done.stdout


def share_of(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Load:
    """What one load showed; `count` units of work were done. `ends_us`, of h2load only: when each was
    answered, since the epoch, in no order."""

    def __init__(self, count, rate, p50_us, p99_us, ends_us=()):
        self.count, self.rate, self.p50_us, self.p99_us = count, rate, p50_us, p99_us
        self.ends_us = ends_us
        self.resumed = 0
        self.version = TLS13


def check_h2load(text, count, clients, answer_bytes, what):
    found = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, "
                      r"(\d+) errored, (\d+) timeout", text)
    codes = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", text)
    data = re.search(r"\((\d+)\) data", text)
    if (not found or [int(n) for n in found.groups()] != [count, count, count, 0, 0, 0]
            or not codes or int(codes.group(1)) != count):
        raise Broken("%s: requests failed\n%s" % (what, text[-1500:]))
    if not data or int(data.group(1)) != count * answer_bytes:
        raise Broken("%s: %s bytes of answers, not %d" % (what, data and data.group(1), count * answer_bytes))
    if "TLS Protocol: TLSv1.3" not in text:
        raise Broken("%s: not TLS 1.3\n%s" % (what, text[:800]))
    proto = re.search(r"Application protocol: (\S+)", text)
    return proto.group(1) if proto else ""


def h2load(server, work, count, h1=False, clients=1, streams=1, path="/small", answer_bytes=128, options=()):
    """A fixed number of requests over connections kept alive; percentiles from the log of each."""
    log = os.path.join(work, "h2load.log")
    if os.path.exists(log):
        os.unlink(log)
    what = "h2load at %s" % server.name
    text = run_tool(["h2load", "-n", count, "-c", clients, "-m", streams, *(["--h1"] if h1 else []),
                     "--log-file", log, "--connect-to", "127.0.0.1:%d" % server.port, *options,
                     "https://%s:%d%s" % (HOST, server.port, path)], what)
    proto = check_h2load(text, count, clients, answer_bytes, what)
    if proto != ("http/1.1" if h1 else "h2"):
        raise Broken("%s: the connection speaks '%s'" % (what, proto))
    took, ends = [], []
    with open(log, encoding="ascii") as lines:
        for line in lines:
            begin, code, us = line.split()
            if code != "200":
                raise Broken("%s: an answer %s" % (what, code))
            took.append(int(us))
            ends.append(int(begin) + int(us))
    os.unlink(log)
    if len(took) != count:
        raise Broken("%s: %d answers logged, not %d" % (what, len(took), count))
    took.sort()
    rate = float(re.search(r"finished in [^,]+, ([\d.]+) req/s", text).group(1))
    return Load(count, rate, share_of(took, 0.5), share_of(took, 0.99), ends)


def client(program, mode, server, count, proto="h1"):
    """tests/bench/client.c; its handshakes must be what the mode says, and of TLS 1.3."""
    text = run_tool([program, mode, proto, HOST, server.port, count], "client %s at %s" % (mode, server.name))
    fields = text.split()
    load = Load(int(fields[0]), float(fields[1]), float(fields[2]), float(fields[4]))
    load.resumed, load.version = int(fields[5]), int(fields[6])
    wanted = load.count if mode == "resumed" else 0
    if load.resumed != wanted or load.count != count:
        raise Broken("client %s at %s: %d of %d handshakes were resumed, %d requests planned" % (
            mode, server.name, load.resumed, load.count, count))
    if proto != "plain" and load.version != TLS13:
        raise Broken("client %s at %s: TLS version %x" % (mode, server.name, load.version))
    return load
