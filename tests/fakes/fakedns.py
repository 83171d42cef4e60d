"""DNS servers that a test controls: authorities and a resolver on 127.0.0.x, UDP and TCP.

    net = Net(port)                                # resolver on 127.0.0.1, authorities from 127.0.0.2
    ns1, ns2 = net.authority("ns1"), net.authority("ns2")
    net.zone("example.test", [ns1, ns2])           # SOA, NS, A for the servers
    net.add("_acme-challenge.example.test", "TXT", '"value"')

Each authority has a copy of its zones, so that one may lag: add(..., only=[ns1]). A server's
`mood` is called with (query, protocol) first; what it gives is sent instead: bytes, a message, SILENCE, or
None for the usual answer. `asked` lists (name, type, protocol, recursion desired).
"""
import socket
import socketserver
import struct
import threading

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

SILENCE = b""
TTL = 60


def labels(name):
    return name.lower().rstrip(".") + "."


def silent(query, protocol):
    return SILENCE


def garbage(query, protocol):
    """Id and question fit, the rest is noise: counts that promise more than there is."""
    wire = query.to_wire()
    end = 12 + len(query.question[0].name.to_wire()) + 4
    return (wire[:2] + b"\x84\x00\x00\x01\x00\x05\x00\x00\x00\x00" + wire[12:end]
            + b"\xc0\x0c" * 20)


def noise(query, protocol):
    """Nothing fits: as good as silence."""
    return b"\xff" * 300


def refuses(rcode):
    def mood(query, protocol):
        answer = dns.message.make_response(query)
        answer.set_rcode(rcode)
        return answer
    return mood


class Server:
    def __init__(self, net, name, address, port, recursive=False):
        self.net, self.name, self.address, self.port = net, name, address, port
        self.recursive = recursive
        self.zones = {}  # zone: {(name, type): [rdata text]}
        self.asked = []
        self.mood = None
        self.truncates = False
        self.is_lame = False
        self.lock = threading.Lock()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        class Udp(socketserver.ThreadingUDPServer):
            address_family = family
            daemon_threads = True

        class Tcp(socketserver.ThreadingTCPServer):
            address_family = family
            daemon_threads = True
            allow_reuse_address = True

        outer = self

        class UdpHandler(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                wire = outer.respond(data, "udp")
                if wire:
                    sock.sendto(wire, self.client_address)

        class TcpHandler(socketserver.BaseRequestHandler):
            def handle(self):
                head = self.request.recv(2, socket.MSG_WAITALL)
                if len(head) < 2:
                    return
                data = self.request.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                wire = outer.respond(data, "tcp")
                if wire:
                    self.request.sendall(struct.pack("!H", len(wire)) + wire)

        self.servers = [Udp((address, port), UdpHandler), Tcp((address, port), TcpHandler)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def reset(self):
        self.mood, self.truncates, self.is_lame, self.asked = None, False, False, []

    def respond(self, data, protocol):
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text().lower()
        self.asked.append((name.rstrip("."), dns.rdatatype.to_text(question.rdtype), protocol,
                           bool(query.flags & dns.flags.RD)))
        mood = self.mood
        answer = mood(query, protocol) if mood else None
        if answer is None:
            with self.lock:
                answer = self.answer(query, name, question.rdtype)
        if not isinstance(answer, bytes):
            if self.truncates and protocol == "udp":
                answer.flags |= dns.flags.TC
                answer.answer = []
            answer = answer.to_wire(max_size=65535)
        return answer

    def zone_of(self, name):
        fits = [zone for zone in self.zones if name == zone or name.endswith("." + zone)]
        return max(fits, key=len) if fits else None

    def answer(self, query, name, rdtype):
        response = dns.message.make_response(query)
        if self.recursive:
            response.flags |= dns.flags.RA
        zone = self.zone_of(name)
        if zone is None or self.is_lame:
            response.set_rcode(dns.rcode.NXDOMAIN if self.recursive else dns.rcode.REFUSED)
            if self.is_lame:
                response.set_rcode(dns.rcode.NOERROR)
            return response
        if not self.recursive:
            response.flags |= dns.flags.AA
        for _ in range(10):
            records = self.zones[zone]
            found = records.get((name, dns.rdatatype.to_text(rdtype)))
            alias = records.get((name, "CNAME"))
            if found:
                self.put(response.answer, name, rdtype, found)
                return response
            if not alias:
                break
            self.put(response.answer, name, dns.rdatatype.CNAME, alias)
            name = labels(alias[0])
            zone = self.zone_of(name)
            if zone is None or (zone not in self.zones):
                return response
        records = self.zones[zone]
        exists = any(owner == name or owner.endswith("." + name) for owner, _ in records)
        if not exists:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self.put(response.authority, zone, dns.rdatatype.SOA, records[(zone, "SOA")])
        return response

    @staticmethod
    def put(section, name, rdtype, texts):
        section.append(dns.rrset.from_text(name, TTL, dns.rdataclass.IN, rdtype, *texts))


class Net:
    def __init__(self, port):
        self.port = port
        self.resolver = Server(self, "resolver", "127.0.0.1", port, recursive=True)
        self.authorities = []

    def authority(self, name):
        server = Server(self, name, "127.0.0.%d" % (2 + len(self.authorities)), self.port)
        self.authorities.append(server)
        return server

    def close(self):
        for server in [self.resolver] + self.authorities:
            server.close()

    def zone(self, zone, servers):
        """Makes the zone; the servers' names are below it."""
        zone = labels(zone)
        for server in [self.resolver] + servers:
            records = {(zone, "SOA"): ["ns1.%s root.%s 1 3600 600 86400 60" % (zone, zone)],
                       (zone, "NS"): ["%s.%s" % (s.name, zone) for s in servers]}
            for s in servers:
                records[("%s.%s" % (s.name, zone), "A")] = [s.address]
            with server.lock:
                server.zones[zone] = records

    def _servers(self, name, only):
        name = labels(name)
        for server in only if only is not None else [self.resolver] + self.authorities:
            zone = server.zone_of(name)
            if zone is not None:
                yield server, server.zones[zone]

    def add(self, name, rdtype, text, only=None):
        for server, records in self._servers(name, only):
            with server.lock:
                values = records.setdefault((labels(name), rdtype), [])
                if text not in values:
                    values.append(text)

    def remove(self, name, rdtype, text=None, only=None):
        for server, records in self._servers(name, only):
            with server.lock:
                values = [v for v in records.get((labels(name), rdtype), [])
                          if text is not None and v != text]
                if values:
                    records[(labels(name), rdtype)] = values
                else:
                    records.pop((labels(name), rdtype), None)

    def values(self, name, rdtype="TXT"):
        for server, records in self._servers(name, [self.authorities[0]]):
            with server.lock:
                return list(records.get((labels(name), rdtype), []))
        return []
