"""The other end of weft-tunnel, written anew from RFC 3948, RFC 4303 and RFC 4106: says its keys to it, and speaks its packets.

tunnel_peer.py keys SOCKET in SPI PEER KEY | out PEER ADDRESS PORT SPI KEY | drop PEER | refuse SPI    KEY: hexadecimal
tunnel_peer.py status SOCKET NAME                                                                       one counter
tunnel_peer.py echo PORT ADDRESS VNI INNER-PORT SPI-IN KEY-IN SPI-OUT KEY-OUT                           answers pings until it is ended
tunnel_peer.py send MODE ADDRESS …as echo's                                                             forged, replayed, old or stray packets
"""
import socket
import struct
import sys

COUNTERS = ("sent received noKey malformed exhausted unsent unknownAssociation replayed forged unacceptable undelivered").split()


def number(address):
    return struct.unpack(">I", socket.inet_aton(address))[0]


def ask(path, request):
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.settimeout(10)
    control.connect(path)
    control.send(request)
    return control.recv(1 << 18)


def keys(path, arguments):
    what, rest = arguments[0], arguments[1:]
    if what == "in":
        material = bytes.fromhex(rest[2])
        request = struct.pack(">BIIH", 3, int(rest[0]), number(rest[1]), len(material)) + material
    elif what == "out":
        material = bytes.fromhex(rest[4])
        request = struct.pack(">BIIIHQH", 1, number(rest[0]), int(rest[3]), number(rest[1]), int(rest[2]), 0, len(material)) + material
    elif what == "drop":
        request = struct.pack(">BI", 2, number(rest[0]))
    else:
        request = struct.pack(">BI", 4, int(rest[0]))
    reply = ask(path, request)
    if reply[0] != 1:
        sys.exit(reply[3:].decode())


def status(path, name):
    reply = ask(path, b"\5")
    count = struct.unpack(">I", reply[1:5])[0]
    print(struct.unpack(f">{count}Q", reply[5 : 5 + 8 * count])[COUNTERS.index(name)])


def checksum(octets):
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Association:
    def __init__(self, spi, material):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.spi, self.salt, self.aead = spi, material[-4:], AESGCM(material[:-4])

    def open(self, datagram):
        spi, low, iv = struct.unpack(">II8s", datagram[:16])
        assert spi == self.spi and len(datagram) % 4 == 0
        # Extended sequence numbers: all 64 bits are authenticated, the upper half is not sent. It is 0 in these tests.
        plain = self.aead.decrypt(self.salt + iv, datagram[16:], struct.pack(">IQ", spi, low))
        padding, following = plain[-2], plain[-1]
        assert following == 17 and plain[-2 - padding : -2] == bytes(range(1, padding + 1))
        return plain[: -2 - padding]

    def seal(self, sequence, content):
        padding = -(len(content) + 2) % 4
        plain = content + bytes(range(1, padding + 1)) + bytes([padding, 17])
        head = struct.pack(">IIQ", self.spi, sequence & 0xFFFFFFFF, sequence)
        return head + self.aead.encrypt(self.salt + head[8:], plain, struct.pack(">IQ", self.spi, sequence))


def frame(packet, vni, port):
    inner = struct.pack(">II", 0x08000000, vni << 8) + b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + packet
    return struct.pack(">HHHH", 50000, port, 8 + len(inner), 0) + inner


def echo_of(packet):
    """The reply to a ping, or None."""
    length = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != 1 or packet[length] != 8:
        return None
    assert checksum(packet[:length]) == 0 and checksum(packet[length:]) == 0, "a wrong checksum came through the tunnel"
    head = packet[:12] + packet[16:20] + packet[12:16] + packet[20:length]
    body = b"\0\0\0\0" + packet[length + 4 :]
    return head + body[:2] + struct.pack(">H", checksum(body)) + body[4:]


class Peer:
    def __init__(self, arguments):
        address, vni, port, spi_in, key_in, spi_out, key_out = arguments
        self.address, self.vni, self.port = address, int(vni), int(port)
        self.inbound = Association(int(spi_in), bytes.fromhex(key_in))
        self.outbound = Association(int(spi_out), bytes.fromhex(key_out))

    def echo(self, port):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", port))
        sequence = 0
        print("ready", flush=True)
        while True:
            datagram, sender = udp.recvfrom(65536)
            content = self.inbound.open(datagram)
            ports = struct.unpack(">HHHH", content[:8])
            flags, vni = struct.unpack(">II", content[8:16])
            assert ports[1] == self.port and ports[2] == len(content) and flags == 0x08000000 and vni >> 8 == self.vni, content.hex()
            reply = echo_of(content[30:])
            if reply:
                sequence += 1
                udp.sendto(self.outbound.seal(sequence, frame(reply, self.vni, self.port)), sender)

    def send(self, mode):
        """Each of the modes 20 times, from wherever this runs."""
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        packet = bytes.fromhex("4500001c00000000401100000a0900020a090001") + struct.pack(">HHHH", 9, 9, 8, 0)
        packet = packet[:10] + struct.pack(">H", checksum(packet[:20])) + packet[12:]
        content = frame(packet, self.vni, self.port)
        for turn in range(20):
            sequence = 1_000_000 + turn
            if mode == "replayed":
                sequence = 2_000_000
            elif mode == "old":
                sequence = 1
            sealed = bytearray(self.outbound.seal(sequence, content))
            if mode == "forged":
                sealed[16 + turn % (len(sealed) - 16)] ^= 1
            elif mode == "stray":
                sealed[0] ^= 0x40
            elif mode == "network":
                content = content[:8] + b"\0" * 8 + content[16:]
                sealed = self.outbound.seal(3_000_000 + turn, content)
            elif mode == "clear":
                sealed = content
            udp.sendto(bytes(sealed), (self.address, 4500))


if __name__ == "__main__":
    command, rest = sys.argv[1], sys.argv[2:]
    if command == "keys":
        keys(rest[0], rest[1:])
    elif command == "status":
        status(rest[0], rest[1])
    elif command == "echo":
        Peer(rest[1:]).echo(int(rest[0]))
    elif command == "send":
        Peer(rest[1:]).send(rest[0])
    else:
        sys.exit(__doc__)
