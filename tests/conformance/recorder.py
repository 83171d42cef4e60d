"""The service behind a proxy under test: reports exactly what it received.

One thread, raw sockets. A request whose target carries a check's token ("/t000012") gets
that check's scripted reply once; every other one a 200 with its own target as the body."""
import re
import selectors
import socket
import threading

from conformance import message

TOKEN = re.compile(rb"/(t\d{6})(?![-\d])")


class Reply:
    """What the service says: bytes as they are; early: before the body has come."""

    def __init__(self, data, close=False, early=False):
        self.data, self.close, self.early = data, close, early


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.peer = sock.getpeername()[1]
        self.reader = message.Reader()
        self.out = bytearray()
        self.closing = False
        self.answered_early = False
        self.continued = False
        self.broken = False
        self.ignored = None  # an incomplete request of an earlier check


class Recorder:
    def __init__(self):
        self.lock = threading.Lock()
        self.replies = {}  # token → Reply
        self.piece = 0
        self.pushed = []
        self.requests = []  # complete, of all connections, in order
        self.junk = []  # what is no canonical request
        self.raw = bytearray()
        self.connections = {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.wake_in, self.wake_out = socket.socketpair()
        self.selector.register(self.wake_in, selectors.EVENT_READ)
        self.settled = threading.Event()
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.stopping = True
        self.wake_out.send(b"x")
        self.thread.join()
        for c in list(self.connections.values()):
            c.sock.close()
        self.listener.close()
        self.wake_in.close()
        self.wake_out.close()
        self.selector.close()

    def script(self, token, reply, piece=0):
        """This reply to the request with that token; sent in pieces of that many bytes."""
        with self.lock:
            self.piece = piece
            self.replies[token] = reply

    def mark(self):
        """Forgets what was received so far."""
        self.settle()
        with self.lock:
            self.piece = 0
            self.requests, self.junk = [], []
            self.raw = bytearray()
            for c in self.connections.values():
                c.ignored = c.reader.message

    def take(self):
        """(complete requests, incomplete ones, junk, all bytes) since mark."""
        self.settle()
        with self.lock:
            reading = [(c.reader.message, c.ignored) for c in self.connections.values()]
            partial = [m for m, ignored in reading if m is not None and m is not ignored]
            cut = [m for m in self.requests if not m.complete]
            return ([m for m in self.requests if m.complete], partial + cut, list(self.junk),
                    bytes(self.raw))

    def push(self, data, close=False):
        """Sends what nobody asked for on every connection. Returns when it is sent."""
        with self.lock:
            self.pushed.append((data, close))
        self.settle()

    def _push(self):
        with self.lock:
            pushed, self.pushed = self.pushed, []
        for data, close in pushed:
            for c in list(self.connections.values()):
                c.out += data
                c.closing = close
                self._write(c)

    def settle(self):
        """Returns when all bytes that were in the sockets are read."""
        self.settled.clear()
        self.wake_out.send(b"s")
        if not self.settled.wait(20):
            raise RuntimeError("the recorder's thread is gone")

    def _run(self):
        while not self.stopping:
            wake = False
            for key, mask in self.selector.select():
                if key.fileobj is self.wake_in:
                    self.wake_in.recv(100)
                    wake = True
                else:
                    self._serve(key, mask)
            # What came in the meantime; twice, as an accept is followed by bytes.
            for _ in range(2 if wake else 0):
                for key, mask in self.selector.select(0):
                    if key.fileobj is not self.wake_in:
                        self._serve(key, mask)
            if wake:
                self._push()
                self.settled.set()

    def _serve(self, key, mask):
        if key.fileobj is self.listener:
            try:
                sock, _ = self.listener.accept()
                connection = Connection(sock)
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections[sock] = connection
            self.selector.register(sock, selectors.EVENT_READ, self.connections[sock])
            return
        c = key.data
        if mask & selectors.EVENT_READ:
            self._read(c)
        if c.sock in self.connections:
            self._write(c)

    def _read(self, c):
        try:
            data = c.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(c)
            return
        with self.lock:
            self.raw += data
            if c.broken:
                self.junk.append(data)
                return
            c.reader.feed(data)
            try:
                self._take_requests(c)
            except message.Malformed as error:
                c.broken = True
                c.closing = True
                c.reader.message = None
                self.junk.append(b"(%s) %s" % (str(error).encode(), bytes(c.reader.data[:300])))

    def _take_requests(self, c):
        while not c.closing:
            request = c.reader.next()
            if request is None:
                if c.reader.message is not None and not c.answered_early:
                    if b"100-continue" in c.reader.message.tokens(b"expect") and not c.continued:
                        c.continued = True
                        c.out += b"HTTP/1.1 100 Continue\r\n\r\n"
                    reply = self._reply_for(c.reader.message, early=True)
                    if reply:
                        c.answered_early = True
                        self._answer(c, reply)
                return
            request.peer = c.peer
            self.requests.append(request)
            c.continued = False
            if c.answered_early:
                c.answered_early = False
            else:
                self._answer(c, self._reply_for(request, early=False))

    def _reply_for(self, request, early):
        match = TOKEN.search(request.target)
        token = match.group(1).decode() if match else None
        reply = self.replies.get(token)
        if early:
            if reply is None or not reply.early:
                return None
            return self.replies.pop(token)
        if reply is not None:
            return self.replies.pop(token)
        body = b"" if request.method == b"HEAD" else request.target
        return Reply(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Backend: recorder\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (len(request.target), body))

    def _answer(self, c, reply):
        c.out += reply.data
        c.closing = c.closing or reply.close

    def _write(self, c):
        try:
            if c.out:
                del c.out[:c.sock.send(c.out[:self.piece] if self.piece else c.out)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(c)
            return
        if c.out:
            self.selector.modify(c.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, c)
            return
        self.selector.modify(c.sock, selectors.EVENT_READ, c)
        if c.closing:
            self._drop(c)

    def _drop(self, c):
        self.selector.unregister(c.sock)
        with self.lock:
            del self.connections[c.sock]
            if c.reader.message is not None:
                if c.reader.message is not c.ignored:
                    self.requests.append(c.reader.message)  # stays incomplete
            elif c.reader.data and not c.broken:
                self.junk.append(bytes(c.reader.data[:300]))
        c.sock.close()
