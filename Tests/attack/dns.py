#!/usr/bin/env python3
"""Asks the resolver, well and badly. Runs in a sandbox, by Tests/attack/dns.sh; every attack ends after its seconds.

  ask NAME [tcp]             the addresses of one name; exits 1 without an answer
  resolve NAME COUNT [tcp]   COUNT queries one after the other, each sent once: prints `answered of COUNT`
  rate NAME SECONDS          as many queries as are answered, 100 under way at a time: prints them per second
  zero SECONDS CONNECTIONS   messages of length 0 over TCP, on connections that are made anew when closed
  pipeline SECONDS CONNECTIONS  queries over TCP as fast as they are taken, whose answers are read
  flood SECONDS NAME         queries over UDP as fast as the kernel takes them, whose answers are not read
  burst SECONDS NAME         the same, sixty queries a system call (UDP_SEGMENT, udp(7))
  churn SECONDS CONNECTIONS  connections that are closed as soon as they are made
  slow SECONDS CONNECTIONS   connections that say an octet a second
  dead SECONDS COUNT         COUNT queries for names outside, four times a second
"""
import os, random, select, socket, struct, sys, threading, time

RESOLVER = (os.environ.get("RESOLVER", "169.254.77.53"), 53)
TIMEOUT = 5


def query(name, identifier):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", identifier, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def answer(name, tcp=False):
    """The addresses, or None without an answer in time."""
    identifier = random.randrange(65536)
    message = query(name, identifier)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as asker:
            asker.settimeout(TIMEOUT)
            asker.connect(RESOLVER)
            if tcp:
                asker.sendall(struct.pack(">H", len(message)) + message)
                reply = exactly(asker, struct.unpack(">H", exactly(asker, 2))[0])
            else:
                asker.send(message)
                reply = asker.recv(65535)
    except OSError:
        return None
    if reply[:2] != message[:2] or reply[3] & 15:
        return None
    count, records = struct.unpack(">H", reply[6:8])[0], reply[len(message):]
    return [socket.inet_ntoa(records[16 * i + 12:16 * i + 16]) for i in range(count)]


def ask(name, tcp=None):
    found = answer(name, tcp == "tcp")
    if not found:
        sys.exit(1)
    print(" ".join(found))


def resolve(name, count, tcp=None):
    good = 0
    for _ in range(int(count)):
        good += bool(answer(name, tcp == "tcp"))
        time.sleep(0.01)
    print(f"{good} of {count}")


def rate(name, seconds):
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(RESOLVER)
    asker.settimeout(0.2)
    message, answered, began = query(name, 1), 0, time.monotonic()
    for _ in range(100):
        asker.send(message)
    while time.monotonic() < began + float(seconds):
        try:
            asker.recv(4096)
            answered += 1
            asker.send(message)
        except socket.timeout:
            for _ in range(100):
                asker.send(message)
    print(int(answered / (time.monotonic() - began)))


def on_connections(seconds, count, body):
    """Keeps `count` connections, each made anew when it ends, and has `body` do its worst on each."""
    end = time.monotonic() + float(seconds)

    def keep():
        while time.monotonic() < end:
            try:
                with socket.create_connection(RESOLVER, 1) as stream:
                    while time.monotonic() < end:
                        body(stream)
            except OSError:
                time.sleep(0.002)

    threads = [threading.Thread(target=keep, daemon=True) for _ in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, end + 1 - time.monotonic()))


def zero(seconds, count):
    on_connections(seconds, count, lambda stream: stream.sendall(bytes(65536)))


def pipeline(seconds, count):
    message = query("victim", 1)
    many = (struct.pack(">H", len(message)) + message) * 500

    def body(stream):
        stream.setblocking(False)
        readable, writable, _ = select.select([stream], [stream], [], 1)
        if readable and not stream.recv(65536):
            raise ConnectionError
        if writable:
            stream.send(many)

    on_connections(seconds, count, body)


def flood(seconds, name):
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(RESOLVER)
    asker.setblocking(False)
    end, message, sent = time.monotonic() + float(seconds), query(name, 1), 0
    while time.monotonic() < end:
        for _ in range(200):
            try:
                asker.send(message)
                sent += 1
            except OSError:
                pass
    print(f"{int(sent / float(seconds))} a second")


def burst(seconds, name):
    message = query(name, 1)
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.setsockopt(socket.IPPROTO_UDP, 103, len(message))
    asker.connect(RESOLVER)
    asker.setblocking(False)
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            asker.send(message * 60)
        except OSError:
            pass


def churn(seconds, count):
    def body(stream):
        raise ConnectionError

    on_connections(seconds, count, body)


def slow(seconds, count):
    end, streams = time.monotonic() + float(seconds), []
    while time.monotonic() < end:
        for stream in list(streams):
            try:
                stream.send(b"\x01")
            except OSError:
                streams.remove(stream)
                stream.close()
        while len(streams) < int(count) and time.monotonic() < end:
            try:
                streams.append(socket.create_connection(RESOLVER, 0.2))
            except OSError:
                break
        time.sleep(1)


def dead(seconds, count):
    end = time.monotonic() + float(seconds)
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(RESOLVER)
    asker.setblocking(False)
    while time.monotonic() < end:
        for _ in range(int(count)):
            try:
                asker.send(query(f"n{random.randrange(1 << 30)}.example.org", random.randrange(65536)))
            except OSError:
                pass
        time.sleep(0.25)


{f.__name__: f for f in (ask, resolve, rate, zero, pipeline, flood, burst, churn, slow, dead)}[sys.argv[1]](*sys.argv[2:])
