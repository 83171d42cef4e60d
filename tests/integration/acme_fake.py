"""A small ACME server (RFC 8555, 9773) that can be told to misbehave.

Written from the RFCs for what pebble cannot do: rate limits with Retry-After, renewal
information, profiles, slow orders and malformed answers. Challenges are believed
and signatures are not checked: pebble is there for both. Certificates come from openssl.
"""
import base64
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def urn(kind):
    return "urn:ietf:params:acme:error:" + kind


class Fake:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.lock = threading.Lock()
        self.reset()
        self.make_ca()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with fake.lock:
                    fake.answer(self, None)

            do_HEAD = do_GET

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with fake.lock:
                    fake.answer(self, body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = "http://127.0.0.1:%d" % self.server.server_port
        self.url = self.base + "/dir"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def reset(self):
        """As good as new; what tests change is here."""
        self.requests = []      # (path, payload or None)
        self.orders = {}
        self.scripted = {}      # path prefix -> list of (status, headers, body) to answer first
        self.renewal_info = None  # None: not offered; else a function of the certificate's id
        self.profiles = None
        self.days = 90
        self.processing = 0     # how often an order says "processing"
        self.chain = None       # a function that changes the chain
        self.names = None       # names to certify instead

    def make_ca(self):
        self.ca, self.ca_key = self.folder / "ca.pem", self.folder / "ca.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.ca_key, "-out", self.ca,
                        "-days", "3650", "-subj", "/CN=Fake Root"], check=True, capture_output=True)

    def issue(self, csr, order):
        names = self.names or [i["value"] for i in order["identifiers"]]
        extensions = self.folder / "leaf.cnf"
        extensions.write_text("authorityKeyIdentifier=keyid\nbasicConstraints=critical,CA:FALSE\n"
                              "subjectAltName=%s\n" % ",".join("DNS:" + n for n in names))
        leaf = subprocess.run(["openssl", "x509", "-req", "-inform", "DER", "-CA", self.ca, "-CAkey",
                               self.ca_key, "-days", str(self.days), "-extfile", extensions],
                              input=csr, check=True, capture_output=True).stdout.decode()
        chain = leaf + self.ca.read_text()
        return self.chain(chain) if self.chain else chain

    def script(self, prefix, *answers):
        self.scripted[prefix] = list(answers)

    def count(self, prefix):
        return sum(1 for path, _ in self.requests if path.startswith(prefix))

    def payloads(self, prefix):
        return [p for path, p in self.requests if path.startswith(prefix)]

    def send(self, h, status, body=b"", headers=None, kind="application/json"):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        h.send_response(status)
        h.send_header("Content-Length", str(len(body)))
        h.send_header("Content-Type", kind)
        if not (headers or {}).pop("No-Nonce", False):
            h.send_header("Replay-Nonce", "nonce-%d" % len(self.requests))
        for name, value in (headers or {}).items():
            h.send_header(name, value)
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def answer(self, h, body):
        payload = None
        if body is not None:
            payload = unb64(json.loads(body)["payload"])
            payload = json.loads(payload) if payload else None
        self.requests.append((h.path, payload))
        for prefix, answers in self.scripted.items():
            if h.path.startswith(prefix) and answers:
                status, headers, text = answers.pop(0)
                return self.send(h, status, text, dict(headers))
        name = h.path.split("/")[1]
        getattr(self, "do_" + name)(h, payload, h.path.split("/")[2:])

    def do_dir(self, h, payload, rest):
        urls = {n: "%s/%s" % (self.base, n) for n in ("newNonce", "newAccount", "newOrder",
                                                      "revokeCert", "keyChange")}
        if self.renewal_info is not None:
            urls["renewalInfo"] = self.base + "/ari"
        if self.profiles is not None:
            urls["meta"] = {"profiles": self.profiles}
        self.send(h, 200, urls)

    def do_newNonce(self, h, payload, rest):
        self.send(h, 200)

    def do_newAccount(self, h, payload, rest):
        self.send(h, 201, {"status": "valid"}, {"Location": self.base + "/account/1"})

    def do_account(self, h, payload, rest):
        self.send(h, 200, {"status": "valid"})

    def do_newOrder(self, h, payload, rest):
        number = str(len(self.orders) + 1)
        self.orders[number] = {"identifiers": payload["identifiers"], "valid": set(), "csr": None,
                               "left": self.processing}
        self.send(h, 201, self.order_json(number), {"Location": self.base + "/order/" + number})

    def order_json(self, number):
        order = self.orders[number]
        count = len(order["identifiers"])
        status = "ready" if len(order["valid"]) == count else "pending"
        if order["csr"]:
            status = "processing" if order["left"] > 0 else "valid"
        return {"status": status, "identifiers": order["identifiers"],
                "authorizations": ["%s/authz/%s/%d" % (self.base, number, i) for i in range(count)],
                "finalize": "%s/finalize/%s" % (self.base, number),
                **({"certificate": "%s/cert/%s" % (self.base, number)} if status == "valid" else {})}

    def do_order(self, h, payload, rest):
        order, answer = self.orders[rest[0]], self.order_json(rest[0])
        order["left"] -= 1 if order["csr"] else 0
        self.send(h, 200, answer, {"Retry-After": "1"} if answer["status"] == "processing" else None)

    def do_authz(self, h, payload, rest):
        order, i = self.orders[rest[0]], int(rest[1])
        valid = i in order["valid"]
        name = order["identifiers"][i]["value"]
        self.send(h, 200, {"status": "valid" if valid else "pending",
                           "identifier": {"type": "dns", "value": name.replace("*.", "")},
                           "challenges": [{"type": "dns-01", "token": "token%s%d" % (rest[0], i),
                                           "status": "valid" if valid else "pending",
                                           "url": "%s/challenge/%s/%s" % (self.base, *rest)}]})

    def do_challenge(self, h, payload, rest):
        self.orders[rest[0]]["valid"].add(int(rest[1]))
        self.send(h, 200, {"status": "valid"})

    def do_finalize(self, h, payload, rest):
        self.orders[rest[0]]["csr"] = unb64(payload["csr"])
        self.send(h, 200, self.order_json(rest[0]), {"Location": self.base + "/order/" + rest[0]})

    def do_cert(self, h, payload, rest):
        order = self.orders[rest[0]]
        order["chain"] = order.get("chain") or self.issue(order["csr"], order)
        self.send(h, 200, order["chain"].encode(), kind="application/pem-certificate-chain")

    def do_ari(self, h, payload, rest):
        self.send(h, 200, self.renewal_info(rest[0]), {"Retry-After": "120"})
