#!/usr/bin/env python3
"""Forged packets for isolation.sh.

  read ADDRESS PORT                        prints the page that a web server there has
  listen PORT                              prints what arrives by UDP
  tunnel PEER VNI SOURCE TARGET [SIZE]     a datagram in VXLAN, by an ordinary socket: to port 9999 of TARGET
  spoofed FROM PEER VNI SOURCE TARGET [PORT]  the same with an outer source address of one's choice (raw socket)
  frames INTERFACE TARGET...               TCP connects by frames to the gateway's MAC; fails if one is answered
  icmp OWN TARGET QUOTED_FROM QUOTED_TO    "fragmentation needed" about somebody else's packets
  invalid OWN TARGET                       packets that belong to no connection
  watch INTERFACE ADDRESS                  prints packets that leave with this source address
"""
import socket
import struct
import sys
import time

PORT = 9999


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(source, target, protocol, payload, identification=1):
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification, 0, 64, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(target))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(source, target, payload):
    return struct.pack("!HHHH", source, target, 8 + len(payload), 0) + payload


def tcp(own, target, source_port, target_port, flags, sequence=1, acknowledged=0):
    segment = struct.pack("!HHIIBBHHH", source_port, target_port, sequence, acknowledged, 0x50, flags, 64240, 0, 0)
    pseudo = socket.inet_aton(own) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def vxlan(vni, source, target, size):
    def mac(address):
        return b"\x02\x42" + socket.inet_aton(address)
    inner = ip(source, target, 17, udp(4000, PORT, b"forged".ljust(size, b".")))
    return struct.pack("!II", 0x08000000, int(vni) << 8) + mac(target) + mac(source) + b"\x08\x00" + inner


def read(address, port):
    connection = socket.create_connection((address, int(port)), timeout=2)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    while data := connection.recv(4096):
        print(data.decode(), end="")


def listen(port):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("0.0.0.0", int(port)))
    print("ready", flush=True)
    while True:
        print(receiver.recv(65535)[:6].decode(), flush=True)


def tunnel(peer, vni, source, target, size="6"):
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Larger than a packet, it leaves in fragments.
    sender.setsockopt(socket.IPPROTO_IP, 10, 0)
    for _ in range(3):
        try:
            sender.sendto(vxlan(vni, source, target, int(size)), (peer, 4789))
        except PermissionError:
            pass


def spoofed(outer, peer, vni, source, target, port="4789"):
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for number in range(3):
        sender.sendto(ip(outer, peer, 17, udp(50000, int(port), vxlan(vni, source, target, 6)), number + 1), (peer, 0))


def frames(interface, *targets):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    link.bind((interface, 0x0800))
    link.settimeout(0.2)
    own_mac = link.getsockname()[4]
    own = socket.inet_ntoa(own_mac[2:6])
    for target in targets:
        for protocol, payload in ((6, tcp(own, target, 40000, 80, 2)), (1, b"\x08\0\xf7\xff\0\0\0\0")):
            link.send(bytes.fromhex("0a7765667401") + own_mac + b"\x08\x00" + ip(own, target, protocol, payload))
    # An answer may come by any interface.
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    heard.settimeout(0.2)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            frame = heard.recv(2048)
        except TimeoutError:
            continue
        if socket.inet_ntoa(frame[26:30]) in targets:
            sys.exit(f"{socket.inet_ntoa(frame[26:30])} answered")


def icmp(own, target, quoted_from, quoted_to):
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for protocol, port in ((17, 4789), (6, 2377)):
        for one, other in ((quoted_from, quoted_to), (quoted_to, quoted_from)):
            quoted = ip(one, other, protocol, struct.pack("!HHHH", 50000, port, 8, 0))
            message = struct.pack("!BBHHH", 3, 4, 0, 0, 552) + quoted
            message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
            sender.sendto(ip(own, target, 1, message), (target, 0))


def invalid(own, target):
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for number, flags in enumerate((0x12, 0x10, 0x04, 0x11, 0x00, 0x29, 0x3F, 0x03)):
        sender.sendto(ip(own, target, 6, tcp(own, target, 41000 + number, 80, flags, 7, 7)), (target, 0))
    # A wrong checksum, a length that is none, and an echo reply to nobody.
    sender.sendto(ip(own, target, 6, b"\xa0\x00\x00\x50" + bytes(8) + b"\x50\x10" + bytes(6)), (target, 0))
    sender.sendto(ip(own, target, 17, struct.pack("!HHHH", 5, 6, 2, 0)), (target, 0))
    sender.sendto(ip(own, target, 1, b"\0\0\xff\xff\0\0\0\0"), (target, 0))


def watch(interface, address):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    link.bind((interface, 0x0003))
    print("ready", flush=True)
    while True:
        frame = link.recv(2048)
        if frame[12:14] == b"\x08\x00" and socket.inet_ntoa(frame[26:30]) == address:
            print(address, "to", socket.inet_ntoa(frame[30:34]), "protocol", frame[23], flush=True)


if __name__ == "__main__":
    commands = {f.__name__: f for f in (read, listen, tunnel, spoofed, frames, icmp, invalid, watch)}
    commands[sys.argv[1]](*sys.argv[2:])
