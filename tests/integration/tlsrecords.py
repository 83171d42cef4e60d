"""TLS that says record by record what it likes, once its handshake is done: a client, or a service.

    client = Records(port, "app.wos.localhost", ssl.TLSVersion.TLSv1_3)
    client.sock.sendall(client.data(b"GET / ...") + client.key_update(requested=True))

    service = Service(sock, context)  # TLS 1.3, of a connection that was accepted

Its own keys come from the key log of Python's TLS; AES-GCM is libcrypto's. What is received
stays encrypted.
"""
import contextlib
import ctypes
import ctypes.util
import hmac
import socket
import ssl
import struct
import tempfile

HANDSHAKE, APPLICATION = 22, 23

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for _name in ("EVP_aes_128_gcm", "EVP_aes_256_gcm", "EVP_CIPHER_CTX_new"):
    getattr(_crypto, _name).restype = ctypes.c_void_p


class Gcm:
    """AES-GCM under one key."""

    def __init__(self, key):
        self.ctx = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
        kind = _crypto.EVP_aes_128_gcm if len(key) == 16 else _crypto.EVP_aes_256_gcm
        cipher = ctypes.c_void_p(kind())
        assert _crypto.EVP_EncryptInit_ex(self.ctx, cipher, None, key, None) == 1

    def __del__(self):
        _crypto.EVP_CIPHER_CTX_free(self.ctx)

    def seal(self, nonce, aad, text):
        out, tag = ctypes.create_string_buffer(len(text) + 16), ctypes.create_string_buffer(16)
        size = ctypes.c_int()
        get_tag = 0x10  # EVP_CTRL_AEAD_GET_TAG
        assert _crypto.EVP_EncryptInit_ex(self.ctx, None, None, None, nonce) == 1
        assert _crypto.EVP_EncryptUpdate(self.ctx, None, ctypes.byref(size), aad, len(aad)) == 1
        assert _crypto.EVP_EncryptUpdate(self.ctx, out, ctypes.byref(size), text, len(text)) == 1
        assert _crypto.EVP_EncryptFinal_ex(self.ctx, None, ctypes.byref(size)) == 1
        assert _crypto.EVP_CIPHER_CTX_ctrl(self.ctx, get_tag, 16, tag) == 1
        return out.raw[:len(text)] + tag.raw


def prf(secret, label, seed, size):
    """TLS 1.2 (RFC 5246 5)."""
    seed, out = label + seed, b""
    at = seed
    while len(out) < size:
        at = hmac.digest(secret, at, "sha256")
        out += hmac.digest(secret, at + seed, "sha256")
    return out[:size]


def expand(secret, label, size):
    """HKDF-Expand-Label without a context (RFC 8446 7.1); one block is enough. The suite's hash has
    the secret's length."""
    label = b"tls13 " + label
    info = struct.pack(">HB", size, len(label)) + label + b"\0"
    return hmac.digest(secret, info + b"\1", "sha%d" % (len(secret) * 8))[:size]


class Sealed:
    """What both have: the socket, and the keys of this side."""

    def __init__(self, sock, is_13):
        self.sock, self.is_13, self.received = sock, is_13, b""

    def _handshake(self, context, **keys):
        """Returns the secrets by their label, and the object of Python's TLS."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with tempfile.NamedTemporaryFile(prefix="wos-keys-") as log:
            context.keylog_filename = log.name
            tls = context.wrap_bio(incoming, outgoing, **keys)
            done = False
            while not done:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    done = True
                self.sock.sendall(outgoing.read())
                if not done:
                    data = self.sock.recv(65536)
                    assert data, "the handshake was cut"
                    incoming.write(data)
                    self.received += data
            lines = log.read().decode().splitlines()
        suite = tls.cipher()[0]
        assert "GCM" in suite, suite
        self.key_size = 32 if "256_GCM" in suite else 16
        return {line.split()[0]: line.split()[1:] for line in lines if line[0] != "#"}

    def _use(self, secret):
        self.secret, self.sequence = secret, 0
        self.gcm, self.iv = Gcm(expand(secret, b"key", self.key_size)), expand(secret, b"iv", 12)

    def record(self, kind, text):
        """One encrypted record."""
        number = struct.pack(">Q", self.sequence)
        self.sequence += 1
        if self.is_13:
            text += bytes([kind])
            head = struct.pack(">BHH", APPLICATION, 0x0303, len(text) + 16)
            mask = b"\0" * 4 + number
            return head + self.gcm.seal(bytes(a ^ b for a, b in zip(self.iv, mask)), head, text)
        aad = number + struct.pack(">BHH", kind, 0x0303, len(text))
        head = struct.pack(">BHH", kind, 0x0303, len(text) + 24)
        return head + number + self.gcm.seal(self.iv + number, aad, text)

    def data(self, text):
        return self.record(APPLICATION, text)


class Service(Sealed):
    def __init__(self, sock, context):
        super().__init__(sock, True)
        context.num_tickets = 0  # which would be the first records
        keys = self._handshake(context, server_side=True)
        self._use(bytes.fromhex(keys["SERVER_TRAFFIC_SECRET_0"][1]))


class Records(Sealed):
    def __init__(self, port, host, version, small=False):
        """small: the socket takes little of what comes while nobody reads."""
        sock = socket.socket()
        sock.settimeout(60)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        super().__init__(sock, version == ssl.TLSVersion.TLSv1_3)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        keys = self._handshake(context, server_hostname=host)
        if self.is_13:
            self._use(bytes.fromhex(keys["CLIENT_TRAFFIC_SECRET_0"][1]))
        else:
            client, master = map(bytes.fromhex, keys["CLIENT_RANDOM"])
            server = self.received[11:43]  # the random of ServerHello, the first record
            block = prf(master, b"key expansion", server + client, 40)
            self.gcm, self.iv = Gcm(block[:16]), block[32:36]
            self.sequence = 1  # 0 was Finished

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def key_update(self, requested):
        """TLS 1.3: as a record; what follows is under the next key."""
        out = self.record(HANDSHAKE, b"\x18\0\0\x01" + bytes([requested]))
        self._use(expand(self.secret, b"traffic upd", len(self.secret)))
        return out

    def renegotiation(self):
        """TLS 1.2: a ClientHello without a body, which is as good as a whole one."""
        return self.record(HANDSHAKE, b"\x01\0\0\0")

    def count_until_end(self):
        """How many bytes came until the other side ended the connection."""
        count = 0
        with contextlib.suppress(ConnectionResetError):
            while data := self.sock.recv(65536):
                count += len(data)
        return count
