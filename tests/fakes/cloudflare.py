"""A stand-in for Cloudflare's API v4, from its public documentation: tokens and their
permissions, zones and DNS records with pagination, duplicate and validation errors, rate limits.

    api = Cloudflare(net)                   # net: fakedns.Net that serves the records, or None
    api.add_zone("example.test")            # its id
    api.add_token("secret", zones={"example.test": {"read", "edit"}})
    api.faults.append({"match": "POST", "status": 429, "headers": {"Retry-After": "0"}, "times": 2})

`requests` lists (method, path, query). A fault without "status" gives raw "body" bytes with 200; "drop"
closes the connection.
"""
import hashlib
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "/client/v4"
ZONES_PER_PAGE = (5, 20, 50)  # least, default, most
RECORDS_PER_PAGE = (5, 100, 5000000)
TYPES = {"A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"}


class Refused(Exception):
    def __init__(self, status, code, message, chain=()):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.chain = [{"code": c, "message": m} for c, m in chain]


class Cloudflare:
    def __init__(self, net=None):
        self.net = net
        self.zones, self.records, self.tokens = {}, {}, {}
        self.faults, self.requests = [], []
        self.page_limit = None  # fewer entries a page than asked for
        self.publishes = True
        self.count = 0
        self.lock = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def serve(self):
                outer.serve(self)
            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = serve

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = "http://127.0.0.1:%d%s" % (self.server.server_address[1], PREFIX)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # What tests set up and look at.

    def new_id(self):
        self.count += 1
        return hashlib.md5(b"%d" % self.count).hexdigest()

    def add_zone(self, name, status="active"):
        zone = self.new_id()
        self.zones[zone] = {"id": zone, "name": name, "status": status, "type": "full"}
        return zone

    def add_token(self, token, zones=(), status="active", is_account_token=False):
        self.tokens[token] = {"zones": dict(zones), "status": status,
                              "account": is_account_token}

    def add_record(self, zone, name, content, rdtype="TXT", ttl=60):
        record = {"id": self.new_id(), "zone": zone, "type": rdtype, "name": name.lower(),
                  "content": content, "ttl": ttl, "proxied": False}
        with self.lock:
            self.records[record["id"]] = record
        if self.net and self.publishes:
            self.net.add(name, rdtype, '"%s"' % content.strip('"'))
        return record

    def contents(self, name):
        with self.lock:
            return sorted(r["content"] for r in self.records.values() if r["name"] == name.lower())

    def paths(self, method):
        return [path for m, path, _ in self.requests if m == method]

    # The API.

    def serve(self, http):
        length = int(http.headers.get("Content-Length") or 0)
        body = http.rfile.read(length)
        url = urllib.parse.urlsplit(http.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = url.path[len(PREFIX):]
        with self.lock:
            self.requests.append((http.command, path, query))
            fault = self.take_fault(http.command, path)
        if fault is not None and fault.get("drop"):
            http.close_connection = True
            http.connection.close()
            return
        headers = {}
        if fault is not None:
            status = fault.get("status", 200)
            headers = fault.get("headers", {})
            data = fault.get("body")
            if data is None:
                data = self.failure(10013 if status != 429 else 971, "Fault %d" % status)
        else:
            try:
                status, data = 200, self.dispatch(http, path, query, body)
            except Refused as refused:
                status, data = refused.status, self.failure(refused.code, refused.message,
                                                            refused.chain)
        wire = data if isinstance(data, bytes) else json.dumps(data).encode()
        http.send_response(status)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(wire)))
        for name, value in headers.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(wire)

    def take_fault(self, method, path):
        for fault in self.faults:
            match = fault.get("match", "")
            if match in ("", method) or (match.startswith("/") and match in path):
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    @staticmethod
    def failure(code, message, chain=()):
        error = {"code": code, "message": message}
        if chain:
            error["error_chain"] = list(chain)
        return {"success": False, "errors": [error], "messages": [], "result": None}

    @staticmethod
    def success(result, **more):
        return {"success": True, "errors": [], "messages": [], "result": result, **more}

    def dispatch(self, http, path, query, body):
        token = self.authenticate(http, path)
        parts = path.strip("/").split("/")
        with self.lock:
            if parts == ["user", "tokens", "verify"] and http.command == "GET":
                return self.success({"id": "0" * 32, "status": token["status"]})
            if token["status"] != "active":
                raise Refused(403, 9109, "Invalid access token")
            if parts == ["zones"] and http.command == "GET":
                return self.list_zones(token, query)
            if len(parts) >= 3 and parts[0] == "zones" and parts[2] == "dns_records":
                zone = self.zones.get(parts[1])
                if zone is None:
                    raise Refused(404, 7003, "Could not route to %s, perhaps your object identifier"
                                  " is invalid?" % path)
                need = "read" if http.command == "GET" else "edit"
                if need not in token["zones"].get(zone["name"], ()):
                    raise Refused(403, 10000, "Authentication error")
                if len(parts) == 3 and http.command == "GET":
                    return self.list_records(zone, query)
                if len(parts) == 3 and http.command == "POST":
                    return self.create_record(zone, http, body)
                if len(parts) == 4 and http.command == "DELETE":
                    return self.delete_record(zone, parts[3])
        raise Refused(405, 7001, "Method %s not available for that URI." % http.command)

    def authenticate(self, http, path):
        value = http.headers.get("Authorization", "")
        if not value.startswith("Bearer ") or len(value) == 7:
            raise Refused(400, 6003, "Invalid request headers",
                          [(6111, "Invalid format for Authorization header")])
        token = self.tokens.get(value[7:])
        if path == "/user/tokens/verify":
            if token is None or token["account"]:
                raise Refused(401, 1000, "Invalid API Token")
        elif token is None:
            raise Refused(403, 9109, "Invalid access token")
        return token

    def page(self, entries, query, limits):
        least, default, most = limits
        try:
            page, per_page = int(query.get("page", 1)), int(query.get("per_page", default))
        except ValueError:
            raise Refused(400, 1002, "Invalid page or per_page") from None
        if not least <= per_page <= most or page < 1:
            raise Refused(400, 1002, "per_page must be between %d and %d" % (least, most))
        per_page = min(per_page, self.page_limit or per_page)
        part = entries[(page - 1) * per_page:page * per_page]
        pages = (len(entries) + per_page - 1) // per_page
        return self.success(part, result_info={"page": page, "per_page": per_page,
                                               "count": len(part), "total_count": len(entries),
                                               "total_pages": pages})

    def list_zones(self, token, query):
        shown = [z for z in self.zones.values() if "read" in token["zones"].get(z["name"], ())
                 and query.get("name", z["name"]) == z["name"]]
        return self.page(shown, query, ZONES_PER_PAGE)

    def list_records(self, zone, query):
        shown = [r for r in self.records.values() if r["zone"] == zone["id"]
                 and query.get("type", r["type"]) == r["type"]
                 and query.get("name", r["name"]).lower() == r["name"]]
        return self.page(shown, query, RECORDS_PER_PAGE)

    def create_record(self, zone, http, body):
        if http.headers.get("Content-Type") != "application/json":
            raise Refused(400, 6003, "Invalid request headers",
                          [(6102, "Content-Type must be application/json")])
        try:
            record = json.loads(body)
        except ValueError:
            raise Refused(400, 6007, "Malformed JSON in request body") from None
        name, content, rdtype = record.get("name"), record.get("content"), record.get("type")
        if rdtype not in TYPES:
            raise Refused(400, 1004, "DNS Validation Error", [(9000, "DNS record type is invalid.")])
        if not isinstance(name, str) or not (name.lower() == zone["name"]
                                             or name.lower().endswith("." + zone["name"])):
            raise Refused(400, 1004, "DNS Validation Error", [(9001, "DNS name is invalid.")])
        if not isinstance(content, str) or not content or len(content) > 2048:
            raise Refused(400, 1004, "DNS Validation Error",
                          [(9005, "Content for the record is invalid.")])
        ttl = record.get("ttl", 1)
        if ttl != 1 and not 60 <= ttl <= 86400:
            raise Refused(400, 1004, "DNS Validation Error", [(9021, "Invalid TTL.")])
        for other in self.records.values():
            if other["zone"] == zone["id"] and other["name"] == name.lower():
                if other["type"] == "CNAME" or rdtype == "CNAME":
                    raise Refused(400, 81054, "A CNAME record with that host already exists.")
                if other["type"] == rdtype and other["content"].strip('"') == content.strip('"'):
                    raise Refused(400, 81058, "An identical record already exists.")
        return self.success(self.add_record(zone["id"], name, content, rdtype, ttl))

    def delete_record(self, zone, record_id):
        record = self.records.get(record_id)
        if record is None or record["zone"] != zone["id"]:
            raise Refused(404, 81044, "Record does not exist.")
        del self.records[record_id]
        if self.net:
            self.net.remove(record["name"], record["type"], '"%s"' % record["content"].strip('"'))
        return self.success({"id": record_id})
