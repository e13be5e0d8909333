#!/usr/bin/env python3
"""Packets of an encrypted network, recorded and sent again, for encryption.sh.

  record INTERFACE SOURCE COUNT FILE           keeps what comes from SOURCE to UDP port 4500
  send MODE SOURCE TARGET FILE [PORT]          sends it in SOURCE's name; MODE: same, flipped, cut, stray, grown
  datagram TARGET TEXT                         a datagram to port 9999, from a sandbox's namespace
"""
import socket
import struct
import sys

from forge import ip, udp


def record(interface, source, count, path):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    link.bind((interface, 0x0800))
    link.settimeout(60)
    print("ready", flush=True)
    kept = []
    while len(kept) < int(count):
        packet = link.recv(65535)[14:]
        header = (packet[0] & 15) * 4
        if packet[9] != 17 or socket.inet_ntoa(packet[12:16]) != source:
            continue
        port, length = struct.unpack("!HH", packet[header + 2:header + 6])
        # A keepalive is one octet; what fills the MTU already could not be sent with more behind it.
        if port == 4500 and 16 < length <= 700:
            kept.append(packet[header + 8:header + length].hex())
    with open(path, "w") as file:
        file.write("\n".join(kept))


def changed(mode, payload):
    if mode == "same":
        yield payload
    elif mode == "flipped":
        # One bit in the sequence number, the explicit IV, the content and the tag.
        for place in (5, 12, 16, len(payload) // 2, len(payload) - 16, len(payload) - 1):
            yield payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1:]
    elif mode == "cut":
        for length in range(len(payload)):
            yield payload[:length]
    elif mode == "grown":
        yield payload + b"\0"
        yield payload + payload
    else:
        for spi in (0, 1, 255, struct.unpack("!I", payload[:4])[0] ^ 0x80000000, 0xFFFFFFFF):
            yield struct.pack("!I", spi) + payload[4:]


def send(mode, source, target, path, port="4500"):
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    number = 0
    for line in open(path):
        for payload in changed(mode, bytes.fromhex(line)):
            number += 1
            sender.sendto(ip(source, target, 17, udp(4500, int(port), payload), number & 0xFFFF), (target, 0))
    print(number)


def datagram(target, text):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(text.encode(), (target, 9999))


if __name__ == "__main__":
    {f.__name__: f for f in (record, send, datagram)}[sys.argv[1]](*sys.argv[2:])
