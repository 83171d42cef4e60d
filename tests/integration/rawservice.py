"""A service that says exactly what a test wrote, byte for byte.

    def reply(peer, head):            # in the thread of one connection, once per request
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with RawService(reply) as service:
        Edge(["raw=%d" % service.port])

A request's head is read before `reply` is called, its body only if the test asks. The
connection is closed when `reply` returns peer.CLOSE, reset on peer.RESET, and stays open until
the gateway closes it otherwise.
"""
import socket
import struct
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings


class Peer:
    CLOSE, RESET, STAY = "close", "reset", None

    def __init__(self, sock, number):
        self.sock = sock
        self.number = number  # of the connection, from 1
        self.requests = 0
        self.buffer = b""

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        return True

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def read_exact(self, size):
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def wait_gone(self):
        """Until the gateway has closed the connection; what came meanwhile is dropped."""
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class RawService:
    """reply(peer, head) per request; or talk(peer) for the whole connection."""

    def __init__(self, reply=None, talk=None, context=None, host="127.0.0.1"):
        self.reply, self.talk, self.context = reply, talk, context
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self.socks = []
        self.errors = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()
        assert kind is not None or not self.errors, self.errors

    def close(self):
        self.listener.close()
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socks.append(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections),
                             daemon=True).start()

    def _serve(self, sock, number):
        try:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            peer = Peer(sock, number)
            if self.talk:
                self.talk(peer)
            else:
                self._requests(peer)
        except (OSError, EOFError):
            pass  # the gateway went away, as it may
        except Exception as error:  # of the test: shown at its end
            self.errors.append(repr(error))
        finally:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _requests(self, peer):
        while (head := peer.read_head()) is not None:
            peer.requests += 1
            end = self.reply(peer, head)
            if end == peer.RESET:
                peer.reset()
            if end is not None:
                return


class H2Service(RawService):
    """An HTTP/2 service in cleartext: python-h2 with its outgoing checks off.

    handle(peer, event) is called for every event in the connection's thread; peer.conn is the
    H2Connection, what it has to say is sent after each call. peer.raw(bytes) sends anything."""

    def __init__(self, handle, settings=None):
        self.handle, self.settings = handle, settings or {}
        super().__init__(talk=self._speak)

    def _handle(self, peer, event):
        try:
            return self.handle(peer, event)
        except (h2.exceptions.NoSuchStreamError, h2.exceptions.StreamIDTooLowError):
            return None  # a later frame of the same batch has reset the stream

    def _speak(self, peer):
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1", validate_outbound_headers=False,
            normalize_outbound_headers=False, validate_inbound_headers=True)
        peer.conn = h2.connection.H2Connection(config)
        peer.conn.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535,
            h2.settings.SettingCodes.MAX_FRAME_SIZE: 16384, **self.settings})
        peer.raw = peer.send
        peer.auto_window = True
        peer.requests = {}  # stream id: headers
        peer.conn.initiate_connection()
        while True:
            peer.sock.sendall(peer.conn.data_to_send())
            data = peer.sock.recv(65536)
            if not data:
                self.handle(peer, None)
                return
            for event in peer.conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    peer.requests[event.stream_id] = dict(event.headers)
                if isinstance(event, h2.events.DataReceived) and peer.auto_window:
                    if event.flow_controlled_length:
                        peer.conn.acknowledge_received_data(event.flow_controlled_length,
                                                            event.stream_id)
                if self._handle(peer, event) == Peer.CLOSE:
                    peer.sock.sendall(peer.conn.data_to_send())
                    return


def h2_answer(peer, stream, status=200, body=b"ok", headers=()):
    """A whole answer within the present windows."""
    peer.conn.send_headers(stream, [(":status", str(status)), *headers], end_stream=not body)
    if body:
        peer.conn.send_data(stream, body, end_stream=True)


def h2_long_answer(peer, stream=None, size=0):
    """An answer of so many bytes, as fast as windows let it go; without a stream, more of those
    that were begun: to be called at every event."""
    left = peer.__dict__.setdefault("left", {})
    if stream is not None:
        peer.conn.send_headers(stream, [(":status", "200")])
        left[stream] = size
    for number in sorted(left):
        try:
            while (count := min(left[number], peer.conn.local_flow_control_window(number),
                                peer.conn.max_outbound_frame_size)) > 0:
                left[number] -= count
                peer.conn.send_data(number, b"x" * count, end_stream=left[number] == 0)
        except h2.exceptions.NoSuchStreamError:
            left[number] = 0  # it was reset
        if left[number] == 0:
            del left[number]
