#!/usr/bin/env python3
"""Throws damaged input at one of Weft's doors: the same input for the same seed.

    noise.py frames INTERFACE SEED COUNT          raw frames out of an interface
    noise.py vxlan ADDRESS PORT SEED COUNT        UDP to a data path's port
    noise.py http SOCKET SEED COUNT               requests to a unix socket that speaks the Engine API
    noise.py plugin SOCKET SEED COUNT             a container engine's calls to its network driver
    noise.py dns ADDRESS SEED COUNT               queries over UDP, every tenth over TCP
    noise.py management ADDRESS PORT SEED COUNT   bytes where TLS is expected, and HTTP/2 inside TLS
    noise.py command SEED COUNT PROGRAM...        damaged command lines and standard input

Prints `COUNT sent` and what came back, by kind. Exits 1 when a door broke: an answer of 500, a program that a signal ended.
"""
import collections
import json
import random
import socket
import ssl
import struct
import subprocess
import sys

results = collections.Counter()


def damaged(rng, sample):
    data = bytearray(sample)
    for _ in range(rng.randint(1, 8)):
        if not data:
            data = bytearray(rng.randbytes(rng.randint(0, 64)))
            continue
        at = rng.randrange(len(data))
        kind = rng.randrange(7)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif kind == 3:
            del data[at]
        elif kind == 4:
            data.insert(at, rng.randrange(256))
        elif kind == 5:
            del data[at:]
        else:
            data[at:at] = data[at:at + rng.randint(1, 32)] * rng.randint(1, 20)
    return bytes(data)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(protocol, payload, source, target):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source, target, payload):
    return struct.pack("!HHHH", source, target, 8 + len(payload), 0) + payload


QUERY = bytes.fromhex("424201000001000000000001") + b"\2a1\0\0\1\0\1" + bytes.fromhex("0000291000000000000000")


def frame_samples(mac, address):
    gateway, broadcast = bytes.fromhex("02000000fefe"), b"\xff" * 6
    other = address.rsplit(".", 1)[0] + ".3"
    echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"x" * 32
    echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
    syn = struct.pack("!HHIIBBHHH", 4000, 80, 1, 0, 0x50, 2, 64000, 0, 0)
    inner = broadcast + mac + b"\x08\x00" + ip4(1, echo, address, other)
    needed = struct.pack("!BBHHH", 3, 4, 0, 0, 552) + ip4(17, udp(4789, 4789, b""), "172.30.0.1", "172.30.0.2")
    arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mac, socket.inet_aton(address), bytes(6), socket.inet_aton(other))
    solicit = bytes.fromhex("6000000000203aff") + bytes.fromhex("fe80") + bytes(14) + bytes.fromhex("ff02") + bytes(13) + b"\1"
    solicit += bytes([135, 0, 0, 0]) + bytes(20) + b"\1\1" + mac
    v4 = [
        ip4(1, echo, address, other), ip4(17, udp(5000, 53, QUERY), address, "169.254.77.53"), ip4(6, syn, address, other),
        ip4(17, udp(5000, 4789, b"\x08\0\0\0\0\x10\1\0" + inner), address, "172.30.0.2"), ip4(1, needed, address, "172.30.0.1"),
        ip4(2, b"\x16\0\0\0\xe0\0\0\x16", address, "224.0.0.22"),
    ]
    return [gateway + mac + b"\x08\x00" + packet for packet in v4] + [
        broadcast + mac + b"\x08\x06" + arp, broadcast + mac + b"\x86\xdd" + solicit,
        broadcast + mac + b"\x81\x00\0\5\x08\x00" + v4[0], broadcast + mac + b"\x88\xa8\0\5\x81\0\0\6\x08\x00" + v4[0],
    ]


def frames(interface, seed, count):
    rng = random.Random(seed)
    mac = bytes.fromhex(open(f"/sys/class/net/{interface}/address").read().strip().replace(":", ""))
    shown = json.loads(subprocess.run(["ip", "-j", "-4", "addr", "show", interface], capture_output=True, check=True).stdout)
    samples = frame_samples(mac, shown[0]["addr_info"][0]["local"])
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    for _ in range(count):
        try:
            out.send(damaged(rng, rng.choice(samples)))
            results["taken"] += 1
        except OSError as error:
            results[error.strerror] += 1


def vxlan(address, port, seed, count):
    rng = random.Random(seed)
    samples = [b"\x08\0\0\0" + struct.pack("!I", (4096 + n) << 8) + frame for n in range(3)
               for frame in frame_samples(bytes.fromhex("02420a000002"), "10.0.0.2")]
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(count):
        try:
            out.sendto(damaged(rng, rng.choice(samples))[:1400], (address, port))
            results["taken"] += 1
        except OSError as error:
            results[error.strerror] += 1


REQUESTS = [
    ("POST", "/v1.41/networks/create", {"Name": "n", "Driver": "overlay", "Attachable": True, "Labels": {"a": "b"}, "Options": {
        "com.docker.network.driver.mtu": "1400"}, "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.200.0.0/24", "Gateway": "10.200.0.1"}]}}),
    ("GET", "/v1.41/networks?filters=%7B%22name%22%3A%7B%22my%22%3Atrue%7D%7D", None), ("GET", "/v1.41/networks/my_net?verbose=true", None),
    ("DELETE", "/v1.41/networks/n", None), ("GET", "/v1.41/nodes", None), ("GET", "/v1.41/info", None), ("GET", "/_ping", None),
    ("GET", "/v1.41/swarm", None), ("POST", "/v1.41/swarm/join", {"RemoteAddrs": ["172.30.0.1:2377"], "JoinToken": "SWMTKN-1-a-b"}),
    ("POST", "/v1.41/swarm/init", {"ListenAddr": "0.0.0.0:2377", "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24}),
    ("GET", "/v1.41/events?since=1&until=2&filters=%7B%7D", None), ("GET", "/weft/v1/sandboxes", None), ("GET", "/weft/v1/status", None),
    ("POST", "/weft/v1/sandboxes", {"Name": "x", "Command": ["true"], "Networks": [{"Network": "my_net", "IPv4": "10.0.0.9"}]}),
]


def exchange(path, message):
    """The answer's status. A server may wait for the rest of a message; then it is told that there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(path)
        answer = b""
        try:
            client.sendall(message)
            client.settimeout(0.2)
            try:
                answer = client.recv(65536)
            except TimeoutError:
                client.shutdown(socket.SHUT_WR)
                client.settimeout(1 if b"/events" in message else 20)
                answer = client.recv(65536)
        except TimeoutError:
            return ("streams" if b"/events" in message else "hangs"), answer
        except OSError as error:
            return error.strerror, answer
        return (answer.split(b" ", 2)[1].decode("latin1") if answer.startswith(b"HTTP/") else "closed"), answer


def request(method, path, body):
    return f"{method} {path} HTTP/1.1\r\nHost: weft\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode("latin1") + body


def http(path, seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        method, target, body = rng.choice(REQUESTS)
        content = json.dumps(body).encode() if body else b""
        kind = rng.randrange(4)
        if kind == 0:
            content = damaged(rng, content)
        elif kind == 1:
            target = "".join(chr(c) if 32 < c < 127 else f"%{c:02x}" for c in damaged(rng, target.encode()))
        message = request(method, "/" + target.lstrip("/"), content)
        if kind == 2:
            message = damaged(rng, message)
        if kind == 3 and body:
            message = request(method, target, json.dumps(strange(rng, body)).encode())
        status, answer = exchange(path, message)
        note(status, message, answer)


def strange(rng, value):
    """A value of another kind somewhere in it."""
    if isinstance(value, dict) and value and rng.randrange(4):
        key = rng.choice(list(value))
        return {**value, key: strange(rng, value[key])}
    if isinstance(value, list) and value and rng.randrange(3):
        return [strange(rng, value[0])] * rng.choice([1, 1, 2, 500])
    return rng.choice([None, True, -1, 2**63, 1e308, "", "x" * 70000, "\0", "ü\n", [], {}, [[]], {"": {}}, "10.0.0.0/0", "::/0", "0.0.0.0"])


CALLS = [
    ("NetworkDriver.CreateEndpoint", {"NetworkID": "f" * 64, "EndpointID": "e" * 64, "Interface": {"Address": "10.0.0.9/24", "MacAddress": ""}, "Options": {}}),
    ("NetworkDriver.Join", {"NetworkID": "f" * 64, "EndpointID": "e" * 64, "SandboxKey": "/run/docker/netns/0123456789ab", "Options": {}}),
    ("NetworkDriver.Leave", {"NetworkID": "f" * 64, "EndpointID": "e" * 64}), ("NetworkDriver.DeleteEndpoint", {"NetworkID": "f" * 64, "EndpointID": "e" * 64}),
    ("NetworkDriver.CreateNetwork", {"NetworkID": "f" * 64, "Options": {"com.docker.network.generic": {"weft.id": "x"}}, "IPv4Data": [
        {"AddressSpace": "weftlocal", "Pool": "10.0.0.0/24", "Gateway": "10.0.0.1/24"}]}),
    ("NetworkDriver.DeleteNetwork", {"NetworkID": "f" * 64}), ("IpamDriver.RequestPool", {"AddressSpace": "weftlocal", "Pool": "10.0.0.0/24", "Options": {"weft.id": "x"}, "V6": False}),
    ("IpamDriver.RequestAddress", {"PoolID": "x", "Address": "10.0.0.9", "Options": None}), ("IpamDriver.ReleaseAddress", {"PoolID": "x", "Address": "10.0.0.9"}),
    ("Plugin.Activate", None), ("NetworkDriver.EndpointOperInfo", {"NetworkID": "f" * 64, "EndpointID": "e" * 64}),
]


def plugin(path, seed, count):
    rng = random.Random(seed)
    deep = [b"[" * 513, b"[" * 100000, b'{"a":' * 600 + b"1" + b"}" * 600]
    for number in range(count):
        call, body = rng.choice(CALLS)
        content = json.dumps(strange(rng, body) if rng.randrange(2) else body).encode()
        if rng.randrange(2):
            content = damaged(rng, content)
        if number < len(deep):
            call, content = "NetworkDriver.Join", deep[number]
        message = request("POST", "/" + call, content)
        status, answer = exchange(path, message)
        note(status, message, answer)


def note(status, message, answer):
    results[status] += 1
    # A worker's events may be as silent as a stream that waits.
    if status in ("500", "hangs"):
        results["BROKEN"] += 1
        print("broken by", message[:300], "answer", answer[-300:], file=sys.stderr)


def dns(address, seed, count):
    rng = random.Random(seed)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect((address, 53))
    out.settimeout(0)
    for number in range(count):
        message = damaged(rng, QUERY)
        try:
            if number % 10:
                out.send(message)
            else:
                with socket.create_connection((address, 53), timeout=2) as stream:
                    stream.sendall(struct.pack("!H", rng.choice([len(message), 0, 65535])) + message)
            results["sent"] += 1
            out.recv(4096)
            results["answered"] += 1
        except (BlockingIOError, ConnectionRefusedError):
            pass
        except OSError as error:
            results[error.strerror or "timed out"] += 1


def management(address, port, seed, count):
    rng = random.Random(seed)
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(32) + b"\0\0\x20" + bytes(range(32)) + bytes.fromhex("01000000")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    frame = lambda kind, flags, stream, body: len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
    inner = preface + frame(4, 0, 0, b"") + frame(1, 4, 1, b"\x82\x86\x84\x41\x01w") + frame(8, 0, 0, b"\0\0\0\1") + frame(0, 1, 1, bytes(9))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    for number in range(count):
        try:
            with socket.create_connection((address, port), timeout=3) as stream:
                if number % 2:
                    stream.sendall(damaged(rng, rng.choice([hello, preface, b"GET / HTTP/1.1\r\n\r\n"])))
                else:
                    with context.wrap_socket(stream) as secure:
                        secure.sendall(damaged(rng, inner))
                results["sent"] += 1
        except OSError as error:
            results[(error.strerror or "closed")[:40]] += 1


def command(seed, count, program):
    rng = random.Random(seed)
    config = json.dumps({"cniVersion": "1.0.0", "name": "my_net", "type": "weft-cni", "network": "my_net", "runtimeConfig": {"mac": "02:00:00:00:00:01"}}).encode()
    words = ["network", "ls", "create", "--subnet", "10.0.0.0/8", "--filter", "name=x", "--format", "{{.ID", "node", "inspect", "swarm", "join", "-h", "--", "run", "--rm", "é", "", "-1"]
    for _ in range(count):
        arguments = [damaged(rng, rng.choice(words).encode()).replace(b"\0", b"") if rng.randrange(2) else rng.choice(words).encode() for _ in range(rng.randint(0, 6))]
        # What would change the swarm, or wait for ever, is not for noise.
        if {b"leave", b"events", b"attach", b"logs", b"init", b"lab"} & set(arguments):
            continue
        environment = {"PATH": "/usr/bin:/bin", "CNI_COMMAND": rng.choice(["ADD", "DEL", "CHECK", "VERSION", "GC", ""]), "CNI_CONTAINERID": damaged(rng, b"c" * 60).replace(b"\0", b"").decode("latin1"),
                       "CNI_NETNS": "/run/netns/none", "CNI_IFNAME": "eth0", "CNI_PATH": "/"}
        try:
            done = subprocess.run([*program, *([] if "cni" in program[-1] else arguments)], input=damaged(rng, config), capture_output=True, timeout=20, env=environment)
            results["signal" if done.returncode < 0 or done.returncode >= 128 else f"exit {done.returncode}"] += 1
            if done.returncode < 0 or done.returncode >= 128:
                results["BROKEN"] += 1
                print("broken by", arguments, environment, done.stderr[-300:], file=sys.stderr)
        except subprocess.TimeoutExpired:
            results["hangs"] += 1
            results["BROKEN"] += 1
            print("hangs on", arguments, environment, file=sys.stderr)


def main():
    door, *rest = sys.argv[1:]
    if door == "command":
        command(int(rest[0]), int(rest[1]), rest[2:])
        count = int(rest[1])
    else:
        count = int(rest[-1])
        numbers = [int(word) if word.isdigit() else word for word in rest]
        {"frames": frames, "vxlan": vxlan, "http": http, "plugin": plugin, "dns": dns, "management": management}[door](*numbers)
    print(f"{count} sent:", ", ".join(f"{kind} {number}" for kind, number in results.most_common()))
    sys.exit(1 if results["BROKEN"] else 0)


main()
