#!/usr/bin/env python3
"""Writes the seed corpora beside it: frames, captures, encoded messages, texts."""
import pathlib
import re
import struct

from seed_texts import (
    ALIASES,
    CONFIG,
    FLOWS,
    HOST_POLICY,
    LOGS,
    MEETING_POLICIES,
    ODD_LINES,
    POLICY,
)

SEEDS = pathlib.Path(__file__).parent / "seeds"
PROTO = pathlib.Path(__file__).parents[2] / "proto"


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(protocol, payload, fragment=0, options=b""):
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload),
                       7, fragment, 64, protocol, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(following, payload):
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload), following, 64, b"\xfd" + b"\0" * 14 + b"\1",
                       b"\xfd" + b"\0" * 14 + b"\2") + payload


def ethernet(kind, payload, tags=()):
    tagged = b"".join(struct.pack(">HH", tpid, vlan) for tpid, vlan in tags)
    return b"\2\0\0\0\0\2\2\0\0\0\0\1" + tagged + struct.pack(">H", kind) + payload


def udp(source, destination, payload=b"x"):
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def tcp(flags, source=40000, destination=80):
    return struct.pack(">HHIIBBHHH", source, destination, 1, 1, 5 << 4, flags, 1000, 0, 0)


def frames():
    inner = ethernet(0x0800, ipv4(6, tcp(0x12)))
    hop_by_hop = bytes([44, 0, 1, 4, 0, 0, 0, 0])
    first = struct.pack(">BBHI", 17, 0, 1, 9)
    return {
        "tcp": ethernet(0x0800, ipv4(6, tcp(2))),
        "udp6": ethernet(0x86DD, ipv6(17, udp(5353, 53))),
        "qinq": ethernet(0x0800, ipv4(1, b"\x08\0\0\0\0\1\0\1"), [(0x88A8, 7), (0x8100, 8)]),
        "icmp6": ethernet(0x86DD, ipv6(58, b"\x80\0\0\0\0\1\0\1")),
        "fragment": ethernet(0x0800, ipv4(17, udp(1, 2, b"y" * 8), 0x2000)),
        "later_fragment": ethernet(0x0800, ipv4(17, b"y" * 8, 2)),
        "extensions": ethernet(0x86DD, ipv6(0, hop_by_hop + first + udp(3, 4))),
        "options": ethernet(0x0800, ipv4(132, struct.pack(">HHII", 5, 6, 0, 0), options=b"\1\1\1\0")),
        "vxlan": ethernet(0x0800, ipv4(17, udp(999, 4789, b"\x08\0\0\0\0\0\7\0" + inner))),
        "geneve": ethernet(0x0800, ipv4(17, udp(999, 6081, b"\1\0\x65\x58\0\0\7\0\0\0\0\0" + inner))),
        "arp": ethernet(0x0806, b"\0\1\x08\0\6\4\0\1" + b"\0" * 20),
        "cooked": b"\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\0" + ipv4(6, tcp(0x10)),
        "cooked2": b"\x86\xdd\0\0\0\0\0\2\0\1\4\6\2\0\0\0\0\1\0\0" + ipv6(6, tcp(0x11)),
        "loopback": b"\2\0\0\0" + ipv4(17, udp(7, 8)),
        "ip": ipv4(2, b"\x16\0\0\0\xe0\0\0\1"),
        "pppoe": ethernet(0x8864, b"\x11\0\0\1\0\x2a\0\x21" + ipv4(6, tcp(2))),
        "mpls": ethernet(0x8847, b"\0\1\0\x40\0\2\1\x40" + ipv4(6, tcp(2))),
        "snap": ethernet(48, b"\xaa\xaa\3\0\0\0\x08\0" + ipv4(6, tcp(2))),
        "nsh": ethernet(0x894F, b"\x0f\xc6\1\3\0\0\1\xff" + b"\0" * 16 + inner),
        "backbone": ethernet(0x88E7, b"\0\0\1\2" + inner),
        "authentication": ethernet(0x0800, ipv4(51, b"\6\4" + b"\0" * 22 + tcp(2))),
        "radiotap": b"\0\0\x19\0\3\0\0\x80" + b"\0" * 16 + b"\x20\x88\2" + b"\0" * 26 + b"\xaa\xaa\3\0\0\0\x08\0" + ipv4(6, tcp(2)),
        "nflog": b"\2\0\0\1\5\0\x0a\0x\0\0\0\x2c\0\x09\0" + ipv4(6, tcp(2)),
        "pktap": b"\x6c\0\0\0\1\0\0\0\1" + b"\0" * 99 + inner,
        "relay": b"\x18\x41\3\xcc" + ipv4(6, tcp(2)),
    }


def dns_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def dns_record(owner, kind, data, ttl=60):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def dns():
    """Messages, and behind eight bytes of a plan streams of them."""
    asked = b"\xc0\x0c"
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 1) + dns_name("www.a.test") + b"\0\1\0\1" + \
        b"\0\0\x29\4\xd0\0\0\0\0\0\0"
    alias = dns_record(asked, 5, dns_name("web.a.test"))
    records = alias + dns_record(dns_name("web.a.test"), 1, b"\x0a\0\0\1") + dns_record(asked, 28, b"\xfd" + b"\0" * 14 + b"\1")
    head = struct.pack(">HHHHHH", 7, 0x8180, 1, 3, 0, 0) + dns_name("www.a.test") + b"\0\1\0\1"
    answer = head + records
    long = ".".join("abcdefghi"[n % 9] for n in range(120))
    dear = struct.pack(">HHHHHH", 7, 0x8180, 1, 250, 0, 0) + dns_name(long) + b"\0\1\0\1"
    dear += b"".join(dns_record(b"\1" + bytes([97 + n % 26]) + b"\xc0\x0c", 1 + 4 * (n % 2), b"\1\2\3\4" if n % 2 == 0 else asked)
                     for n in range(250))
    stream = b"".join(struct.pack(">H", len(one)) + one for one in (query, answer, dear))
    return {
        "query": query,
        "answer": answer,
        "missing": struct.pack(">HHHHHH", 7, 0x8183, 1, 0, 0, 0) + dns_name("no.test") + b"\0\1\0\1",
        "dear": dear,
        "pointers": struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"".join(struct.pack(">H", 0xC00A + 2 * n) for n in range(1, 200)),
        "stream": b"\x14\x20\x50\x14\x22\x54\x20\x14" + stream,
        "odd_stream": b"\xff\x21\x11\x01\x05\x10\x09\x31" + stream,
        "datagrams": b"\x33\x33\x33\x33\x33\x33\x33\x33" + query + answer,
    }


def pcap(order, magic, link, packets):
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for n, packet in enumerate(packets):
        out += struct.pack(order + "IIII", 1700000000, n, len(packet), len(packet)) + packet
    return out


def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def modified(packets):
    """As Kuznetzov's libpcap writes them: interface, protocol and direction in each record."""
    head = struct.pack("<IHHIIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    records = (struct.pack("<IIIIIHBB", 100, 0, len(packet), len(packet), 2, 8, 4, 0) + packet for packet in packets)
    return head + b"".join(records)


def pcapng(packets):
    name = struct.pack("<HH", 2, 4) + b"eth0" + struct.pack("<HHB3x", 9, 1, 9) + b"\0\0\0\0"
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack("<HHI", 1, 0, 262144) + name)
    for n, packet in enumerate(packets):
        padded = packet + b"\0" * (-len(packet) % 4)
        flags = struct.pack("<HHI", 2, 4, 1 + n % 2) + b"\0\0\0\0"
        out += block(6, struct.pack("<IIIII", 0, 0, n, len(packet), len(packet)) + padded + flags)
    return out + block(3, struct.pack("<I", len(packets[0])) + packets[0])


def number(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(tag, value):
    """A field of a message: a number, a text or a message (as bytes)."""
    if isinstance(value, int):
        return number(tag << 3) + number(value)
    value = value.encode() if isinstance(value, str) else value
    return number(tag << 3 | 2) + number(len(value)) + value


def message(*fields):
    return b"".join(field(tag, value) for tag, value in fields)


CEL = [
    '_flow.verdict == Verdict.DROPPED && _flow.l4.TCP.destination_port in [80u, 443u]',
    '_flow.source.labels.exists(l, l.startsWith("k8s:app=")) || has(_flow.l7.http)',
    '_flow.time > timestamp("2024-01-02T03:04:05Z") + duration("1h30m")',
    'size(_flow.node_name.matches("^c/.*$") ? "a" : r"b\\c") + int("3") == 4',
    '_flow.time.getHours("Europe/Berlin") >= 0 && double(1u) / 0.5 < 1e3',
    '{"a": 1, "b": 2}.all(k, k != "") && [1, 2].map(x, x * 2).filter(y, y > 2) == [4]',
]


def filters():
    basic = message((1, "10.0.0.0/8"), (2, "shop/web"), (5, 2), (6, message((1, 1), (2, 133))), (9, "4+"))
    names = message((7, "*.cilium.io"), (8, "a.b"), (10, "app in (x, y),!z"), (11, "k8s:app=x"), (24, "c/n*"),
                    (36, "os=linux"), (37, "default"), (38, "*"))
    ports = message((12, "tcp"), (13, "1-1024"), (14, "443"), (15, 1), (19, 300), (20, 2), (25, 1), (30, 2))
    http = message((18, "^cilium"), (21, "GET"), (22, "/c.*"), (31, "http://[a-z]+"), (32, message((1, "Host"), (2, "a.b"))),
                   (23, message((2, 1))), (28, "1de5a2b8"), (29, "4a2c9f00-0000-4000-8000-00000000000a"))
    rest = message((16, "shop/web"), (17, "web"), (26, message((1, "web"), (2, "Deployment"))), (33, 133),
                   (34, "1.1.1.1"), (35, message((1, 3), (2, "eth0"))), (39, 9), (40, 1))
    cel = message((999, message(*((1, text) for text in CEL))))
    mask = message((1, "time"), (1, "source.labels"), (1, "l4.TCP"))
    requests = {"basic": basic, "names": names, "ports": ports, "http": http, "rest": rest, "cel": cel}
    out = {name: message((1, 20), (6, one), (10, mask)) for name, one in requests.items()}
    out["both"] = message((5, basic), (5, http), (6, names), (6, ports), (3, 1))
    return out


def texts():
    """Each line is the letter of a field in `filter_text`, then a text."""
    others = """bapp in (x, y), tier notin (z), !w, q=r
bk8s:app=x
c10.0.0.0/8
cfe80::1
dshop/web
eshop/
f*.cilium.io
g^(?i)a[^b-d]{2,3}|\\pL+?$
hc/n*
ios=linux
jdefault
k80-443
ltcp
m4+
nGET
o/c[[:alpha:]]\\x{41}
phttp://a:80/%20?x#y
q1de5a2b8
r4a2c9f00-0000-4000-8000-00000000000a
sHost a.b
tweb Deployment
ueth0 x"""
    lines = ["a" + text for text in CEL] + others.split("\n")
    few = {f"{n:02}": line.encode() for n, line in enumerate(lines)} | {"all": others.encode()}
    return few | {f"long-{name}": text.encode() for name, text in LONG.items()}


def long(letter):
    """The long texts of one field alone, without its letter."""
    return {f"long-{name}": text[1:].encode() for name, text in LONG.items() if text[0] == letter and "\n" not in text}


def flows():
    end = message((1, 7), (2, 300), (3, "shop"), (4, "k8s:app=x"), (5, "web-1"), (6, message((1, "web"), (2, "Deployment"))))
    tcp_part = message((1, message((1, 1), (2, 443), (3, message((2, 1))))))
    any_struct = message((1, "type.googleapis.com/google.protobuf.Struct"), (2, message((1, message((1, "packets"), (2, b"\x11" + b"\0" * 8))))))
    return {
        "l4": message((1, message((1, 1700000000), (2, 5))), (2, 2), (3, 133), (4, message((1, "02:00:00:00:00:01"), (2, "x"))),
                      (5, message((1, "10.0.0.1"), (2, "10.0.0.2"), (3, 1))), (6, tcp_part), (8, end), (9, end), (10, 1),
                      (11, "c/n1"), (13, "a.b"), (19, message((1, 1), (2, 133))), (22, 2), (25, 133), (26, message((1, 0))),
                      (34, "4a2c9f00-0000-4000-8000-00000000000a"), (100000, "TCP Flags: SYN"), (150000, any_struct)),
        "foreign": message((2, 1), (150000, message((1, "ty:app=x\x05"), (2, message((1, message((1, "packets"), (2, b"\x11" + b"\0" * 8)))))))),
        "dns": message((2, 1), (10, 2), (15, message((1, 1), (2, 5), (100, message((1, "a.b."), (2, "1.2.3.4"), (3, 5)))))),
        "http": message((10, 2), (15, message((101, message((1, 404), (2, "GET"), (3, "/"), (5, message((1, "a"), (2, "b")))))))),
    }


# Nearly as much as a request may have (16 KiB of patterns), each in another way; the
# first letter is the field of `filter_text`.
LONG = {
    "patterns": "\n".join(f"o/v{n}/(a|b)*[^/]{{1,9}}$" for n in range(600)),
    "pattern": "p" + "(a|bc*)?" * 2000,
    "names": "\n".join(f"f*.n{n}.example" for n in range(900)),
    "selector": "bapp in (" + ", ".join(f"value-{n}" for n in range(1200)) + ")",
    "selectors": "\n".join(f"bapp{n}=x,!y{n}" for n in range(900)),
    "cel": "a_flow.node_name in [" + ", ".join(f"'node-name-{n}'" for n in range(700)) + "]",
    "cel-text": "a_flow.node_name == '" + "x" * 15000 + "'",
}

SELECTORS = ["app in (x, y), tier notin (z), !w, q=r", "k8s:app=x", "reserved:world", "any:a.b/c", "x!=y,z==w",
             "k8s.io.kubernetes.pod.namespace", "a in (" + ", ".join("abcdefgh") + ")", "!a,!b,!c", "a=,b", "fqdn:*.x.y"]

# Loops in loops, texts and lists that grow.
DEAR = [
    "[1,2,3,4,5].all(a, [1,2,3,4,5].all(b, [1,2,3,4,5].exists(c, a + b == c || a > c)))",
    "['a'].map(s, s + s).map(s, s + s).map(s, s + s).map(s, s + s).all(s, s.size() > 3)",
    "'aaaaaaaaaaaaaaaaaaaaaaaa'.matches('(a|a)*' + string(7) + 'b{50}')",
    "_flow.source.labels.all(a, _flow.destination.labels.all(b, a == b || a.matches('^' + b + '$')))",
    "[[1]].map(x, [x, x]).map(x, [x, x]).map(x, [x, x]).all(x, x == x)",
    "Endpoint{labels: ['a', 'b']} == _flow.source || _flow == _flow",
    "_flow.time.getHours('Europe/Nowhere') == 1 || 1 / 0 == 1 || has(_flow.extensions)",
    "[[]].map(x, {x: [x]}).map(x, {x: [x]}).map(x, {x: [x]}).map(x, {x: [x]}) == {}",
    "[1].map(x, {x: x}).map(x, {x: x}).map(x, {x: x}).map(x, {x: x}).map(x, {x: x}) == []",
]


def paths():
    """All RPCs, sorted, as the target has them."""
    found = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"]
    found += [f"/grpc.reflection.{v}.ServerReflection/ServerReflectionInfo" for v in ("v1", "v1alpha")]
    for file in PROTO.rglob("*.proto"):
        text = file.read_text()
        package = re.search(r"^package (.*);", text, re.M).group(1)
        for service, body in re.findall(r"^service (\w+) {(.*?)^}", text, re.M | re.S):
            found += [f"/{package}.{service}/{name}" for name in re.findall(r"^  rpc (\w+)", body, re.M)]
    return sorted(found)


def requests():
    out = {}
    for n, path in enumerate(paths()):
        which, name = bytes([n]), path.rpartition("/")[2]
        out[f"{n:02}_empty"] = which
        if name == "GetFlows":
            out |= {f"{n:02}_{kind}": which + request for kind, request in filters().items()}
            out[f"{n:02}_follow"] = which + message((3, 1), (9, 1))
        elif name == "SummarizeFlows":
            for kind, request in filters().items():
                # Filters are field 6 there, 2 here.
                lists = request[request.index(b"\x32"):] if b"\x32" in request else b""
                out[f"{n:02}_{kind}"] = which + lists.replace(b"\x32", b"\x12", 1) + message((4, 1), (4, 3), (5, 20))
        elif name == "ListFilterHints":
            out[f"{n:02}_field"] = which + message((1, 2), (2, "k8s:"), (3, 1000))
        elif name == "RecordFlows":
            out |= {f"{n:02}_{kind}": which + message((1, flow)) for kind, flow in flows().items()}
        elif name == "ServerReflectionInfo":
            out[f"{n:02}_services"] = which + message((7, "*"))
            out[f"{n:02}_symbol"] = which + message((4, "observer.Observer"))
    return out


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name, value):
    """Literal, without an index."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def call(stream, path, body, flags=4):
    head = b"\x83\x86" + header(":path", path) + header(":authority", "localhost") + \
        header("content-type", "application/grpc") + header("te", "trailers")
    sent = b"\0" + struct.pack(">I", len(body)) + body
    return frame(1, flags, stream, head) + frame(0, 1, stream, sent)


def connections():
    settings, flows_path = frame(4, 0, 0), "/observer.Observer/GetFlows"
    window = frame(8, 0, 0, struct.pack(">I", 1 << 20))
    start = PREFACE + settings + window
    head = b"\x83\x86" + header(":path", flows_path)
    return {
        "flows": start + call(1, flows_path, message((1, 20))),
        "many": start + b"".join(call(2 * n + 1, "/observer.Observer/ServerStatus", b"") for n in range(20)),
        "reset": start + b"".join(call(2 * n + 1, flows_path, message((3, 1))) + frame(3, 0, 2 * n + 1, b"\0\0\0\x08") for n in range(10)),
        "continued": start + frame(1, 0, 1, head) + frame(9, 0, 1, header("x", "y" * 100)) * 5 + frame(9, 4, 1),
        "unended": start + frame(1, 0, 1, head) + frame(9, 0, 1, header("x", "y" * 100)) * 20,
        "settings": PREFACE + frame(4, 0, 0, struct.pack(">HIHIHI", 1, 0, 4, 0x7FFFFFFF, 5, 16384)) * 3 + frame(4, 1, 0),
        "pings": start + frame(6, 0, 0, b"12345678") * 30 + frame(7, 0, 0, b"\0" * 8 + b"bye"),
        "windows": start + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2 + frame(8, 0, 1, b"\0\0\0\0"),
        "pushed": start + frame(5, 4, 1, b"\0\0\0\2" + head) + frame(2, 0, 1, b"\0\0\0\3\x10"),
        "padded": start + frame(1, 0x2C, 1, b"\4\0\0\0\0\x10" + head + b"\0" * 4) + frame(0, 9, 1, b"\2\0\0\0\0\0\0\0"),
        "table": start + frame(1, 5, 1, b"\x3f\xe1\x1f\x83\x86" + b"\x40\1a" + b"\x7f" + b"b" * 127 + b"\xbe" * 200),
        "huge": start + b"\xff\xff\xff\0\0\0\0\0\1" + b"x" * 100,
        "web": b"POST /observer.Observer/GetFlows HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web+proto\r\n"
               b"Content-Length: 7\r\n\r\n\0\0\0\0\2\x08\x05",
        "chunks": b"POST /observer.Observer/GetFlows HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web-text\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n8\r\nAAAAAAA=\r\n0\r\n\r\n",
        "tls": b"\x16\3\1\0\x05\1\0\0\1\3",
        "preface": PREFACE[:20],
    }


def hellos():
    """ClientHellos: behind a plan of 8 bytes as they are sent, and without heads."""
    recorded = pathlib.Path(__file__).parents[1] / "flows/src/sni/hello/recorded"
    seeds = {}
    for file in sorted(recorded.glob("*.hex")):
        sent = bytes.fromhex("".join(file.read_text().split()))
        seeds[file.stem] = sent[5:]
        seeds[f"{file.stem}_cut"] = b"\x50\xff\x40\x90\xff\x20\xff\xff" + sent
    hello = bytes.fromhex("".join((recorded / "openssl_tls12.hex").read_text().split()))[5:]
    records = b"".join(b"\x16\3\1\0" + bytes([len(part)]) + part for part in (hello[n:n + 40] for n in range(0, len(hello), 40)))
    seeds["records"] = b"\x01\x07" * 4 + records
    return seeds


def main():
    capture = list(frames().values())[:12]
    ip = [frames()["ip"], frames()["tcp"][14:]]
    corpora = {
        "decode": frames(),
        "dns": dns(),
        "sni": hellos(),
        "replay_json": {"flows": FLOWS, "odd": ODD_LINES, "logs": LOGS},
        "replay_pcap": {
            "micros": pcap("<", 0xA1B2C3D4, 1, capture),
            "nanos": pcap(">", 0xA1B23C4D, 1, capture[:3]),
            "raw": pcap("<", 0xA1B2C3D4, 101, ip),
            "cooked2": pcap("<", 0xA1B2C3D4, 276, [frames()["cooked2"]]),
            "pcapng": pcapng(capture),
            "radiotap": pcap("<", 0xA1B2C3D4, 127, [frames()["radiotap"]]),
            "nflog": pcap("<", 0xA1B2C3D4, 239, [frames()["nflog"]]),
            "modified": modified(capture[:3]),
        },
        "filter": filters(),
        "filter_text": texts(),
        "cel": {f"{n:02}": text.encode() for n, text in enumerate(CEL + DEAR)} | long("a"),
        "selector": {f"{n:02}": text.encode() for n, text in enumerate(SELECTORS)} | long("b"),
        "request": requests(),
        "http2": connections(),
        "flow_proto": flows(),
        "policy": {"two": POLICY, "list": HOST_POLICY},
        "compile": {"two": POLICY, "meeting": MEETING_POLICIES},
        "apply": {"one": POLICY, "several": b"%%\n".join([POLICY, HOST_POLICY + b"\n", MEETING_POLICIES]),
                  "aliases": ALIASES, "many": b"\n%%\n".join([ALIASES] * 20)},
        "config": {"whole": CONFIG, "mistakes": b"node_name = 5\n[server]\nlisten = 1\nunknwon = [{a = {b = 1}}]\n"},
        "identities": {
            "two": b'{\n  "k8s:app=web": 256,\n  "k8s:app=db,k8s:env=test": 300\n}',
            "twice": b'{"a": 256, "b": 256}',
            "escaped": b'{"\\u0000\\ud83d\\ude00": 16777215}',
        },
        "record": {name: message((1, flow)) for name, flow in flows().items()},
    }
    for target, seeds in corpora.items():
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds.items():
            (folder / name).write_bytes(content)


main()
