#!/usr/bin/python3
"""A service with every habit a real one has, written on the bare wire.

    backend.py --port N [--host A ...] [--name TEXT] [--wait-for FILE]

It speaks HTTP/1.1 itself (asyncio streams, no http library), so that a test
knows each byte the gateway was given. Bodies are made up as they are sent and
hashed as they come in: any size costs no memory. Nothing here waits by the
clock where a test can say when: /hold, /sse and /parts stop at named gates that
POST /gate/NAME opens. The end points are the functions named do_*.
"""
import argparse
import asyncio
import hashlib
import json
import os
import socket
import sys
import time
from urllib.parse import parse_qs, unquote, urlsplit

import wsframe

BLOCK = bytes((i * 7 + i // 251) % 256 for i in range(65536))


def pattern(start, size):
    """`size` bytes of the endless test pattern from offset `start`."""
    out = bytearray()
    while len(out) < size:
        at = (start + len(out)) % len(BLOCK)
        out += BLOCK[at:at + size - len(out)]
    return bytes(out)


class Gone(Exception):
    """The peer ended the connection, or we shall."""


class Request:
    def __init__(self, service, reader, writer, head):
        self.service = service
        self.reader = reader
        self.writer = writer
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.headers.append([name, value.strip()])
        parts = urlsplit(self.target)
        self.path = unquote(parts.path)
        values = parse_qs(parts.query, keep_blank_values=True)
        self.query = {name: value[-1] for name, value in values.items()}
        self.trailers = []
        self.body_done = False
        self.keep = self.get("connection").lower() != "close"

    def get(self, name):
        values = [v for n, v in self.headers if n.lower() == name]
        return ", ".join(values)

    async def body(self):
        """Pieces of the request body, whatever its framing."""
        if self.get("transfer-encoding").lower() == "chunked":
            while True:
                line = await self.reader.readuntil(b"\r\n")
                size = int(line.split(b";")[0], 16)
                left = size
                while left:
                    piece = await self.reader.read(min(left, 1 << 16))
                    if not piece:
                        raise Gone()
                    left -= len(piece)
                    yield piece
                if size == 0:
                    break
                await self.reader.readexactly(2)
            while True:
                line = await self.reader.readuntil(b"\r\n")
                if line == b"\r\n":
                    break
                name, _, value = line.decode("latin-1").partition(":")
                self.trailers.append([name, value.strip()])
        else:
            left = int(self.get("content-length") or 0)
            while left:
                piece = await self.reader.read(min(left, 1 << 16))
                if not piece:
                    raise Gone()
                left -= len(piece)
                yield piece
        self.body_done = True

    async def read_all(self):
        digest, size, start = hashlib.sha256(), 0, b""
        async for piece in self.body():
            digest.update(piece)
            size += len(piece)
            if len(start) < 4096:
                start += piece[:4096 - len(start)]
        return digest.hexdigest(), size, start

    async def raw(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status, headers, reason="OK"):
        text = "HTTP/1.1 %d %s\r\n" % (status, reason)
        text += "".join("%s: %s\r\n" % (n, v) for n, v in headers)
        await self.raw((text + "\r\n").encode("latin-1"))

    async def answer(self, status, body, kind="text/plain", extra=(), reason="OK"):
        if isinstance(body, str):
            body = body.encode()
        headers = [["Content-Type", kind], ["Content-Length", str(len(body))], *extra]
        await self.head(status, headers, reason)
        if self.method != "HEAD":
            await self.raw(body)

    async def answer_json(self, value, status=200):
        await self.answer(status, json.dumps(value) + "\n", "application/json")

    async def wait_gate(self, name):
        """Until the gate opens; Gone when the peer leaves before."""
        opened = asyncio.ensure_future(self.service.gate(name).wait())
        left = asyncio.ensure_future(self.reader.read(1))
        await asyncio.wait({opened, left}, return_when=asyncio.FIRST_COMPLETED)
        if left.done() and left.result():  # a body that nobody wants to read
            await opened
            return
        opened.cancel()
        if left.done():
            raise Gone()
        left.cancel()
        await asyncio.wait({left})

    async def chunk(self, data):
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))


class Service:
    def __init__(self, name):
        self.name = name
        self.gates = {}
        self.connections = 0
        self.open_connections = 0
        self.requests = 0
        self.aborted = 0
        self.active = []  # targets being served right now
        self.started_at = time.time()

    def gate(self, name):
        return self.gates.setdefault(name, asyncio.Event())

    # --- end points -------------------------------------------------------
    async def do_root(self, rq):
        await rq.answer(200, "%s\n" % self.name)

    async def do_hello(self, rq):
        await rq.answer(200, "hello from %s\n" % self.name)

    async def do_echo(self, rq):
        digest, size, start = await rq.read_all()
        await rq.answer_json({
            "name": self.name, "method": rq.method, "target": rq.target, "version": rq.version,
            "headers": rq.headers, "trailers": rq.trailers, "sha256": digest, "size": size,
            "body": start.decode("latin-1"), "connection": rq.connection,
            "connectionRequests": rq.connection_requests})

    async def do_env(self, rq):
        await rq.answer_json({"env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid(),
                              "pgid": os.getpgid(0), "sid": os.getsid(0)})

    async def do_stats(self, rq):
        await rq.answer_json({
            "connections": self.connections, "requests": self.requests,
            "open": self.open_connections, "aborted": self.aborted, "active": self.active})

    async def do_gate(self, rq):
        await rq.read_all()
        self.gate(rq.path.split("/")[2]).set()
        await rq.answer(200, "open\n")

    async def do_hold(self, rq):
        """A long poll: the answer comes when the gate opens, or after ms."""
        if "ms" in rq.query:
            await asyncio.sleep(int(rq.query["ms"]) / 1000)
        else:
            await rq.wait_gate(rq.path.split("/")[2])
        await rq.answer(200, "released\n")

    async def do_status(self, rq):
        code = int(rq.path.split("/")[2])
        if code in (204, 304):
            await rq.head(code, [["X-Kept", "yes"]], "Whatever")
        else:
            await rq.answer(code, "status %d\n" % code, reason="Custom Reason")

    async def do_sse(self, rq):
        """count events; each one after the first waits for gate NAME-<i>."""
        name = rq.path.split("/")[2]
        await rq.head(200, [["Content-Type", "text/event-stream"], ["Cache-Control", "no-cache"],
                            ["Transfer-Encoding", "chunked"]])
        for i in range(int(rq.query.get("count", "3"))):
            if i:
                await rq.wait_gate("%s-%d" % (name, i))
            await rq.chunk(b"id: %d\ndata: event %d\n\n" % (i, i))
        await rq.raw(b"0\r\n\r\n")

    async def do_parts(self, rq):
        """Content-Length body in two halves, the second after gate NAME."""
        name = rq.path.split("/")[2]
        await rq.head(200, [["Content-Type", "text/plain"], ["Content-Length", "10"]])
        await rq.raw(b"first")
        await rq.wait_gate(name)
        await rq.raw(b"later")

    async def do_upload_ack(self, rq):
        """Answers with each piece's size while the upload is still running."""
        await rq.head(200, [["Content-Type", "text/plain"], ["Transfer-Encoding", "chunked"]])
        async for piece in rq.body():
            await rq.chunk(b"%d\n" % len(piece))
        await rq.raw(b"0\r\n\r\n")

    async def do_trailers(self, rq):
        await rq.head(200, [["Content-Type", "text/plain"], ["Trailer", "X-Checksum, X-Second"],
                            ["Transfer-Encoding", "chunked"]])
        await rq.chunk(b"with trailers\n")
        await rq.raw(b"0\r\nX-Checksum: abc123\r\nX-Second: two\r\n\r\n")

    async def do_chunked(self, rq):
        sizes = [int(s) for s in rq.query.get("sizes", "1,10,1000,70000").split(",")]
        await rq.head(200, [["Content-Type", "application/octet-stream"],
                            ["Transfer-Encoding", "chunked"]])
        at = 0
        for size in sizes:
            await rq.chunk(pattern(at, size))
            at += size
        await rq.raw(b"0\r\n\r\n")

    async def do_early_hints(self, rq):
        await rq.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        await rq.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </two.css>; rel=preload\r\n\r\n")
        await rq.answer(200, "hinted\n")

    async def do_expect(self, rq):
        """refuse=1 answers 417 at once; else 100 Continue when it was asked for."""
        if rq.query.get("refuse"):
            rq.keep = False
            await rq.answer(417, "no thanks\n", extra=[["Connection", "close"]],
                            reason="Expectation Failed")
            return
        asked = rq.get("expect")
        if asked.lower() == "100-continue":
            await rq.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest, size, _ = await rq.read_all()
        await rq.answer_json({"expect": asked, "sha256": digest, "size": size})

    async def do_big(self, rq):
        size, at = int(rq.query["size"]), 0
        chunked = rq.query.get("chunked")
        framing = ["Transfer-Encoding", "chunked"] if chunked else ["Content-Length", str(size)]
        extra = [["Priority", rq.query["priority"]]] if "priority" in rq.query else []
        await rq.head(200, [["Content-Type", "application/octet-stream"], framing, *extra])
        if rq.method == "HEAD":
            return
        while at < size:
            piece = BLOCK[:min(len(BLOCK), size - at)]
            await (rq.chunk(piece) if chunked else rq.raw(piece))
            at += len(piece)
        if chunked:
            await rq.raw(b"0\r\n\r\n")

    async def do_until_close(self, rq):
        rq.keep = False
        await rq.head(200, [["Content-Type", "text/plain"], ["Connection", "close"]])
        await rq.raw(pattern(0, int(rq.query.get("size", "100000"))))

    async def do_sink(self, rq):
        digest, size, _ = await rq.read_all()
        await rq.answer_json({"sha256": digest, "size": size, "trailers": rq.trailers,
                              "framing": rq.get("transfer-encoding") or rq.get("content-length")})

    async def do_never_read(self, rq):
        """Takes no byte of the body until gate NAME opens, then counts it."""
        rq.writer.transport.pause_reading()
        await self.gate(rq.path.split("/")[2]).wait()
        rq.writer.transport.resume_reading()
        await self.do_sink(rq)

    async def do_file(self, rq):
        size = int(rq.query.get("size", "100000"))
        common = [["ETag", '"v1"'], ["Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT"],
                  ["Accept-Ranges", "bytes"], ["Content-Type", "application/octet-stream"]]
        if rq.get("if-none-match") == '"v1"':
            await rq.head(304, common[:3], "Not Modified")
            return
        wanted = rq.get("range")
        start, end, status, reason = 0, size - 1, 200, "OK"
        if wanted.startswith("bytes="):
            first, _, last = wanted[6:].partition("-")
            if int(first) >= size:
                await rq.answer(416, "", extra=[["Content-Range", "bytes */%d" % size]],
                                reason="Range Not Satisfiable")
                return
            start, end = int(first), int(last or size - 1)
            status, reason = 206, "Partial Content"
            common.append(["Content-Range", "bytes %d-%d/%d" % (start, end, size)])
        await rq.head(status, common + [["Content-Length", str(end - start + 1)]], reason)
        if rq.method != "HEAD":
            await rq.raw(pattern(start, end - start + 1))

    async def do_gzip(self, rq):
        """The bytes are no gzip at all: who unpacks them is caught."""
        await rq.answer(200, pattern(0, 5000), "application/octet-stream",
                        [["Content-Encoding", "gzip"], ["Vary", "Accept-Encoding"]])

    async def do_multi(self, rq):
        await rq.answer(200, "multi\n", extra=[
            ["Set-Cookie", "a=1; Path=/"], ["Set-Cookie", "b=2; Path=/"],
            ["Link", "</a>; rel=x"], ["Link", "</b>; rel=y"], ["X-Latin", "caf\xe9"]])

    async def do_cookies(self, rq):
        """Cookies of its own, and some under names that are the gateway's."""
        await rq.answer(200, "cookies\n", extra=[
            ["Set-Cookie", "session=1; Path=/; HttpOnly"],
            ["Set-Cookie", "__Host-wos-access=evil; Path=/; Secure"],
            ["Set-Cookie", "wos-access = evil; Domain=wos.localhost"],
            ["Set-Cookie", "=wos-access=evil"],
            ["Set-Cookie", "wos-access-not=kept"]])

    async def do_fields(self, rq):
        """The query as fields of the answer."""
        await rq.answer(200, "fields\n", extra=[[n, v] for n, v in rq.query.items()])

    async def do_hop(self, rq):
        await rq.answer(200, "hop\n", extra=[
            ["Connection", "X-Secret-Hop"], ["X-Secret-Hop", "1"], ["Keep-Alive", "timeout=5"],
            ["Proxy-Connection", "keep-alive"], ["X-Stays", "yes"]])

    async def do_own_id(self, rq):
        """Says which request id it got, and claims one of its own."""
        got = [v for n, v in rq.headers if n.lower() == "x-request-id"]
        await rq.answer(200, json.dumps(got), "application/json",
                        [["X-Request-Id", "of-the-service"]])

    async def do_redirect(self, rq):
        await rq.answer(302, "", extra=[["Location", rq.query.get("to", "/hello")]],
                        reason="Found")

    async def do_die(self, rq):
        """Promises size bytes, sends after of them, then resets."""
        size, after = int(rq.query.get("size", "1000000")), int(rq.query.get("after", "5000"))
        framing = [["Content-Length", str(size)]]
        if rq.query.get("chunked"):
            framing = [["Transfer-Encoding", "chunked"]]
        await rq.head(200, [["Content-Type", "application/octet-stream"]] + framing)
        piece = pattern(0, after)
        await (rq.chunk(piece) if rq.query.get("chunked") else rq.raw(piece))
        await asyncio.sleep(0.05)
        raise Gone()

    async def do_die_before(self, rq):
        raise Gone()

    async def do_garbage(self, rq):
        """what=...: answers no HTTP client may pass on."""
        rq.keep = False
        what = rq.query.get("what", "text")
        await rq.raw({
            "text": b"this is no HTTP\r\n\r\n",
            "both": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"3\r\nabc\r\n0\r\n\r\n",
            "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                           b"Content-Length: 6\r\n\r\nabcdef",
            "null": b"HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: 2\r\n\r\nok",
            "huge-head": b"HTTP/1.1 200 OK\r\n" + b"X-Much: " + b"a" * 300000 + b"\r\n\r\n",
        }[what])

    # --- WebSocket --------------------------------------------------------
    async def do_ws(self, rq):
        """Echo. ?refuse=CODE refuses; ?info=1 first sends the request's head;
        ?flood=N&size=S first sends N messages; ?close=CODE closes at once."""
        if "refuse" in rq.query:
            code = int(rq.query["refuse"])
            await rq.answer(code, "not you\n", extra=[["X-Why", "refused"]], reason="Refused")
            return
        if rq.get("upgrade").lower() != "websocket":
            await rq.answer(426, "upgrade please\n", reason="Upgrade Required")
            return
        rq.keep = False
        headers = [["Upgrade", "websocket"], ["Connection", "Upgrade"],
                   ["Sec-WebSocket-Accept", wsframe.accept_key(rq.get("sec-websocket-key"))]]
        offered = rq.get("sec-websocket-protocol")
        if offered:
            headers.append(["Sec-WebSocket-Protocol", offered.split(",")[-1].strip()])
        await rq.head(101, headers + [["X-From", self.name]], "Switching Protocols")
        if rq.query.get("info"):
            info = json.dumps({"headers": rq.headers, "target": rq.target, "name": self.name})
            await rq.raw(wsframe.encode(wsframe.TEXT, info.encode()))
        for i in range(int(rq.query.get("flood", "0"))):
            size = int(rq.query.get("size", "1000000"))
            payload = i.to_bytes(4, "big") + pattern(i, size - 4)
            await rq.raw(wsframe.encode(wsframe.BINARY, payload))
        if "close" in rq.query:
            code = int(rq.query["close"]).to_bytes(2, "big")
            await rq.raw(wsframe.encode(wsframe.CLOSE, code + b"bye"))
        await self.ws_echo(rq)

    async def ws_echo(self, rq):
        decoder = wsframe.Decoder()
        while True:
            data = await rq.reader.read(1 << 18)
            if not data:
                return
            decoder.feed(data)
            while (message := decoder.next()) is not None:
                opcode, payload = message
                if opcode == wsframe.PING:
                    await rq.raw(wsframe.encode(wsframe.PONG, payload))
                elif opcode == wsframe.CLOSE:
                    await rq.raw(wsframe.encode(wsframe.CLOSE, payload))
                    return
                elif opcode != wsframe.PONG:
                    await rq.raw(wsframe.encode(opcode, payload))

    # --- connections ------------------------------------------------------
    def find(self, path):
        first = path.split("/")[1].replace("-", "_") or "root"
        return getattr(self, "do_" + first, None)

    async def serve_one(self, reader, writer, ids):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        rq = Request(self, reader, writer, head[:-2])
        rq.connection, rq.connection_requests = ids
        if rq.path != "/":  # health checks come when they like
            self.requests += 1
        self.active.append(rq.target)
        try:
            await self.answer(rq)
        finally:
            self.active.remove(rq.target)
        return rq.keep

    async def answer(self, rq):
        handler = self.find(rq.path)
        if handler is None:
            await rq.read_all()
            await rq.answer(404, "no such path here\n", reason="Not Found")
        else:
            await handler(rq)
        if rq.keep and not rq.body_done:
            async for _ in rq.body():
                pass

    async def on_connection(self, reader, writer):
        self.connections += 1
        self.open_connections += 1
        number, count = self.connections, 0
        try:
            while True:
                count += 1
                if not await self.serve_one(reader, writer, (number, count)):
                    break
        except Gone:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.aborted += 1
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            self.aborted += 1
        finally:
            self.open_connections -= 1
            writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", action="append")
    parser.add_argument("--name", default="python")
    parser.add_argument("--wait-for", help="do not listen before this file exists")
    options = parser.parse_args()
    print("starting %s" % options.name, flush=True)
    while options.wait_for and not os.path.exists(options.wait_for):
        await asyncio.sleep(0.05)
    service = Service(options.name)
    for host in options.host or ["127.0.0.1"]:
        await asyncio.start_server(service.on_connection, host, options.port, limit=1 << 20,
                                   backlog=1024)
    print("listening on %d" % options.port, flush=True)
    print("errors go here", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
