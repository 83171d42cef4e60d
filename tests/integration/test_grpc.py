"""gRPC from end to end: Debian's python3-grpcio on both sides, TLS with ALPN h2 to the
gateway, `backend: h2c` behind it. Messages are bytes, so that no generated code is needed."""
import threading

import pytest

grpc = pytest.importorskip("grpc")
from concurrent import futures  # noqa: E402

from service_edge import ServiceEdge as Edge  # noqa: E402

SERVICE = "test.Echo"
DEADLINE = 60


class Handlers:
    def __init__(self):
        self.cancelled = threading.Event()
        self.started = threading.Event()
        self.metadata = None

    def unary(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-initial", "1"),))
        context.set_trailing_metadata((("x-trailing", "2"), ("x-bytes-bin", b"\x00\xff")))
        return request[::-1]

    def refuse(self, request, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you: " + request.decode())

    def count(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def large(self, request, context):
        size, count = map(int, request.split())
        for i in range(count):
            yield bytes([i % 256]) * size

    def collect(self, requests, context):
        total, count = 0, 0
        for request in requests:
            total, count = total + len(request), count + 1
        return b"%d %d" % (count, total)

    def talk(self, requests, context):
        for request in requests:
            yield b"re: " + request

    def forever(self, request, context):
        context.add_callback(self.cancelled.set)
        yield b"begun"
        self.started.set()
        self.cancelled.wait(DEADLINE)

    def half(self, request, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "lost it")


def handlers(own):
    return grpc.method_handlers_generic_handler(SERVICE, {
        "Unary": grpc.unary_unary_rpc_method_handler(own.unary),
        "Refuse": grpc.unary_unary_rpc_method_handler(own.refuse),
        "Count": grpc.unary_stream_rpc_method_handler(own.count),
        "Large": grpc.unary_stream_rpc_method_handler(own.large),
        "Collect": grpc.stream_unary_rpc_method_handler(own.collect),
        "Talk": grpc.stream_stream_rpc_method_handler(own.talk),
        "Forever": grpc.unary_stream_rpc_method_handler(own.forever),
        "Half": grpc.unary_stream_rpc_method_handler(own.half),
    })


class Stage:
    def __init__(self):
        self.own = Handlers()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
        self.server.add_generic_rpc_handlers((handlers(self.own),))
        self.backend = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.edge = Edge(["api=h2c:%d" % self.backend])
        self.channels = []

    def channel(self):
        host = self.edge.host("api")
        with open(self.edge.ca, "rb") as f:
            credentials = grpc.ssl_channel_credentials(f.read())
        channel = grpc.secure_channel(
            "127.0.0.1:%d" % self.edge.port, credentials,
            [("grpc.ssl_target_name_override", host), ("grpc.default_authority", host),
             ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)])
        self.channels.append(channel)
        return channel


@pytest.fixture(scope="module")
def stage():
    own = Stage()
    with own.edge:
        yield own
        for channel in own.channels:
            channel.close()
        own.server.stop(None).wait()


@pytest.fixture
def channel(stage):
    with stage.channel() as channel:
        yield channel


def method(channel, kind, name):
    return getattr(channel, kind)("/%s/%s" % (SERVICE, name))


def test_unary_with_metadata_both_ways(stage, channel):
    call = method(channel, "unary_unary", "Unary")
    answer, info = call.with_call(b"hello", timeout=DEADLINE, metadata=(("x-mine", "3"),))
    assert answer == b"olleh"
    assert dict(info.initial_metadata())["x-initial"] == "1"
    trailing = dict(info.trailing_metadata())
    assert trailing["x-trailing"] == "2" and trailing["x-bytes-bin"] == b"\x00\xff"
    assert info.code() == grpc.StatusCode.OK
    assert stage.own.metadata["x-mine"] == "3"
    assert stage.own.metadata["x-forwarded-proto"] == "https"
    assert stage.own.metadata["x-forwarded-for"] == "127.0.0.1"


def test_large_unary_both_ways(channel):
    body = bytes(range(256)) * 12000  # 3 MB: many windows
    assert method(channel, "unary_unary", "Unary")(body, timeout=DEADLINE) == body[::-1]


def test_server_streaming(channel):
    got = list(method(channel, "unary_stream", "Count")(b"1000", timeout=DEADLINE))
    assert got == [b"%d" % i for i in range(1000)]


def test_server_streaming_large_messages(channel):
    got = list(method(channel, "unary_stream", "Large")(b"1000000 8", timeout=DEADLINE))
    assert [len(m) for m in got] == [1000000] * 8 and got[7][:1] == b"\x07"


def test_client_streaming(channel):
    sent = (b"x" * 10000 for _ in range(500))
    assert method(channel, "stream_unary", "Collect")(sent, timeout=DEADLINE) == b"500 5000000"


def test_bidirectional_one_by_one(channel):
    """Each message is answered before the next is sent: nothing may wait for more."""
    gate = threading.Semaphore(1)

    def messages():
        for i in range(50):
            assert gate.acquire(timeout=DEADLINE)
            yield b"%d" % i

    got = []
    for answer in method(channel, "stream_stream", "Talk")(messages(), timeout=DEADLINE):
        got.append(answer)
        gate.release()
    assert got == [b"re: %d" % i for i in range(50)]


def test_trailers_only_error(channel):
    with pytest.raises(grpc.RpcError) as caught:
        method(channel, "unary_unary", "Refuse")(b"bob", timeout=DEADLINE)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.details() == "not for you: bob"


def test_unknown_method(channel):
    with pytest.raises(grpc.RpcError) as caught:
        method(channel, "unary_unary", "Nothing")(b"", timeout=DEADLINE)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_error_after_messages(channel):
    got = []
    with pytest.raises(grpc.RpcError) as caught:
        for message in method(channel, "unary_stream", "Half")(b"", timeout=DEADLINE):
            got.append(message)
    assert got == [b"first"]
    assert caught.value.code() == grpc.StatusCode.DATA_LOSS


def test_client_cancels(stage, channel):
    stage.own.cancelled.clear()
    call = method(channel, "unary_stream", "Forever")(b"", timeout=DEADLINE)
    assert next(call) == b"begun"
    call.cancel()
    assert stage.own.cancelled.wait(DEADLINE), "the service never heard of it"


def test_deadline(stage, channel):
    """grpc-timeout goes through: the service ends the call by itself as well."""
    stage.own.cancelled.clear()
    call = method(channel, "unary_stream", "Forever")(b"", timeout=0.5)
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert stage.own.cancelled.wait(DEADLINE)


def test_many_at_once(stage):
    """200 calls on four channels, all of them over the worker's one connection."""
    channels = [stage.channel() for _ in range(4)]
    calls = [method(channels[i % 4], "unary_unary", "Unary").future(b"%03d" % i, timeout=DEADLINE)
             for i in range(200)]
    assert [call.result() for call in calls] == [(b"%03d" % i)[::-1] for i in range(200)]


def test_service_that_is_down(stage):
    with Edge(["api=h2c:1"]) as edge:
        host = edge.host("api")
        with open(edge.ca, "rb") as f:
            credentials = grpc.ssl_channel_credentials(f.read())
        with grpc.secure_channel("127.0.0.1:%d" % edge.port, credentials,
                                 [("grpc.ssl_target_name_override", host),
                                  ("grpc.default_authority", host),
                                  ("grpc.enable_http_proxy", 0)]) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                method(channel, "unary_unary", "Unary")(b"", timeout=DEADLINE)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
