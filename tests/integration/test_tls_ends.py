"""The two ends of a TLS 1.3 connection as packets: its session ticket, its close_notify."""
import contextlib
import socket
import ssl

import pytest

import conftest
import harness

WEB = "alpha-web.wos.localhost"
REQUEST = ("GET /hello HTTP/1.1\r\nHost: %s\r\n%%s\r\n" % WEB).encode()


@pytest.fixture(scope="module")
def edge():
    conftest.needs_binary()
    instance = harness.Wos(ssl={"enabled": True})
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web-of-$(basename $PWD)")))
        instance.up("alpha")
        yield instance
    finally:
        conftest.finish(instance)


class Client:
    """TLS by hand: what is sent together with what is the test's choice."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.received, self.to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.received, self.to_send, server_hostname=WEB)
        while not self.try_to(self.tls.do_handshake):
            self.flush()
            self.pull()

    @staticmethod
    def try_to(call):
        try:
            call()
            return True
        except ssl.SSLWantReadError:
            return False

    def flush(self):
        self.sock.sendall(self.to_send.read())

    def pull(self):
        """False: a FIN."""
        data = self.sock.recv(65536)
        self.received.write(data)
        return data != b""

    def read_until(self, mark):
        text = b""
        while mark not in text:
            try:
                text += self.tls.read(65536)
            except ssl.SSLWantReadError:
                assert self.pull(), text
        return text


def test_the_ticket_comes_with_the_first_answer(edge):
    client = Client(edge.port)
    with contextlib.closing(client.sock):
        client.tls.write(REQUEST % b"")
        client.flush()  # Finished and the request in one segment
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert client.tls.session.has_ticket
        client.tls.write(REQUEST % b"")
        client.flush()
        assert b"HTTP/1.1 200" in client.read_until(b"200 OK\r\n")


def test_the_ticket_does_not_wait_for_a_request(edge):
    """A client whose first request waits for an acknowledgement gets something to acknowledge."""
    client = Client(edge.port)
    with contextlib.closing(client.sock):
        client.flush()
        while not client.tls.session.has_ticket:
            assert client.pull()
            assert not client.try_to(lambda: client.tls.read(1))


def test_the_end_is_said_before_the_fin(edge):
    """close_notify comes whole, whoever closes first (RFC 8446 6.1)."""
    client = Client(edge.port)
    with contextlib.closing(client.sock):
        client.tls.write(REQUEST % b"Connection: close\r\n")
        client.flush()
        while client.pull():
            pass
        while client.tls.read(65536):  # without close_notify it would want more
            pass
    client = Client(edge.port)
    with contextlib.closing(client.sock):
        client.tls.write(REQUEST % b"")
        client.flush()
        client.read_until(b"hello from web-of-alpha\n")  # the last bytes of the answer
        client.try_to(client.tls.unwrap)
        client.flush()
        client.sock.shutdown(socket.SHUT_WR)
        while client.pull():
            pass
        assert client.try_to(client.tls.unwrap)


def test_an_end_in_one_segment(edge):
    """close_notify and FIN at once: close_notify and FIN come back, no reset."""
    client = Client(edge.port)
    with contextlib.closing(client.sock):
        client.flush()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        client.try_to(client.tls.unwrap)
        client.flush()
        client.sock.shutdown(socket.SHUT_WR)
        while client.pull():
            pass
        with pytest.raises(ssl.SSLZeroReturnError):  # without close_notify it would want more
            client.tls.read(1)


def test_an_end_without_a_fin(edge):
    """close_notify alone: the client is gone for us (RFC 8446 6.1), and its socket gets no reset."""
    client = Client(edge.port)
    with contextlib.closing(client.sock):
        client.tls.write(REQUEST % b"")
        client.flush()
        client.read_until(b"hello from web-of-alpha\n")
        client.try_to(client.tls.unwrap)
        client.flush()
        while client.pull():
            pass
        with pytest.raises(ssl.SSLZeroReturnError):
            client.tls.read(1)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert client.sock.recv(1) == b""
