"""WebSocket frames (RFC 6455) for the fakes and for the test clients.

Only what the tests need: no extensions, masks by one big XOR.
"""
import base64
import hashlib
import os

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key):
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


def new_key():
    return base64.b64encode(os.urandom(16)).decode()


def _xor(data, mask):
    size = len(data)
    pattern = (mask * (size // 4 + 1))[:size]
    number = int.from_bytes(data, "little") ^ int.from_bytes(pattern, "little")
    return number.to_bytes(size, "little")


def encode(opcode, payload, mask=False, fin=True):
    head = bytearray([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head.append(bit | size)
    elif size < 65536:
        head.append(bit | 126)
        head += size.to_bytes(2, "big")
    else:
        head.append(bit | 127)
        head += size.to_bytes(8, "big")
    if mask:
        key = os.urandom(4)
        return bytes(head) + key + _xor(payload, key)
    return bytes(head) + bytes(payload)


class Decoder:
    """Feed bytes, take (opcode, payload) of whole frames; messages are joined."""

    def __init__(self):
        self.buffer = bytearray()
        self.parts = []
        self.opcode = None

    def feed(self, data):
        self.buffer += data

    def _frame(self):
        buf = self.buffer
        if len(buf) < 2:
            return None
        fin, opcode = bool(buf[0] & 0x80), buf[0] & 0x0F
        masked, size, at = bool(buf[1] & 0x80), buf[1] & 0x7F, 2
        if size == 126:
            if len(buf) < 4:
                return None
            size, at = int.from_bytes(buf[2:4], "big"), 4
        elif size == 127:
            if len(buf) < 10:
                return None
            size, at = int.from_bytes(buf[2:10], "big"), 10
        key = b""
        if masked:
            key = bytes(buf[at:at + 4])
            at += 4
        if len(buf) < at + size:
            return None
        payload = bytes(buf[at:at + size])
        del buf[:at + size]
        return fin, opcode, _xor(payload, key) if masked and size else payload

    def next(self):
        """The next whole message or control frame, or None."""
        while True:
            frame = self._frame()
            if frame is None:
                return None
            fin, opcode, payload = frame
            if opcode >= 8:
                return opcode, payload
            if opcode != 0:
                self.opcode = opcode
            self.parts.append(payload)
            if fin:
                message = b"".join(self.parts)
                self.parts = []
                return self.opcode, message
