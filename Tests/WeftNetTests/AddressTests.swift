import Foundation
import Testing
import WeftNet

@Suite("Addresses and prefixes")
struct AddressTests {
    @Test("Dotted decimal is read strictly", arguments: ["10.0.0.1", "0.0.0.0", "255.255.255.255", "169.254.77.53"])
    func readsAddresses(text: String) { #expect(IPv4Address(text)?.description == text) }

    @Test(
        "What is no address is refused",
        arguments: [
            "", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1..2.3", "+1.2.3.4", " 1.2.3.4", "1.2.3.4/8", "١.2.3.4",
        ])
    func refusesAddresses(text: String) { #expect(IPv4Address(text) == nil) }

    @Test("Octets and both byte orders agree")
    func byteOrders() throws {
        let address = try #require(IPv4Address("10.1.2.3"))
        #expect(address.octets == [10, 1, 2, 3])
        #expect(IPv4Address(octets: [10, 1, 2, 3]) == address)
        #expect(IPv4Address(networkOrder: address.networkOrder) == address)
        #expect(withUnsafeBytes(of: address.networkOrder) { Array($0) } == [10, 1, 2, 3])
        #expect(IPv4Address(octets: [1, 2, 3]) == nil)
    }

    @Test("Stepping past the last address gives nil instead of wrapping")
    func advancing() {
        #expect(IPv4Address("10.0.0.255")?.advanced(by: 1)?.description == "10.0.1.0")
        #expect(IPv4Address("255.255.255.255")?.advanced(by: 1) == nil)
    }

    @Test("Host bits are masked away, and kept by parts")
    func prefixes() throws {
        #expect(IPv4Prefix("10.9.0.150/24")?.description == "10.9.0.0/24")
        let parts = try #require(IPv4Prefix.parts("10.9.0.150/24"))
        #expect(parts.address.description == "10.9.0.150" && parts.length == 24)
        #expect(IPv4Prefix("0.0.0.0/0")?.count == 1 << 32)
    }

    @Test(
        "What is no prefix is refused",
        arguments: ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/008", "/8"])
    func refusesPrefixes(text: String) { #expect(IPv4Prefix(text) == nil) }

    @Test("Containment and overlap")
    func relations() throws {
        let wide = try #require(IPv4Prefix("10.0.0.0/8"))
        let narrow = try #require(IPv4Prefix("10.1.0.0/16"))
        let other = try #require(IPv4Prefix("11.0.0.0/16"))
        #expect(wide.contains(narrow) && !narrow.contains(wide))
        #expect(wide.overlaps(narrow) && narrow.overlaps(wide) && !narrow.overlaps(other))
        #expect(narrow.last.description == "10.1.255.255" && narrow.netmask.description == "255.255.0.0")
        #expect(narrow.subprefix(length: 24, index: 255)?.description == "10.1.255.0/24")
        #expect(narrow.subprefix(length: 24, index: 256) == nil)
        #expect(narrow.subprefix(length: 8, index: 0) == nil)
    }

    @Test("A /31 has two hosts, a /32 one (RFC 3021); an IPv6 prefix has no broadcast address")
    func hosts() throws {
        for (prefix, first, last) in [
            ("10.0.0.0/30", "10.0.0.1", "10.0.0.2"), ("10.0.0.0/31", "10.0.0.0", "10.0.0.1"),
            ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"), ("fd00::/120", "fd00::1", "fd00::ff"),
            ("fd00::/127", "fd00::", "fd00::1"),
        ] {
            let hosts = try #require(AnyIPPrefix(prefix)).hosts
            #expect("\(hosts.lowerBound) \(hosts.upperBound)" == "\(first) \(last)")
        }
    }

    @Test("MAC addresses")
    func macs() throws {
        let mac = try #require(MACAddress("02:42:a:0:02:03"))
        #expect(mac.description == "02:42:0a:00:02:03" && mac.octets == [2, 0x42, 10, 0, 2, 3])
        #expect(MACAddress(forIPv4: try #require(IPv4Address("10.0.2.3"))) == mac)
        #expect(!mac.isMulticast && MACAddress(rawValue: 1 << 40).isMulticast)
        for text in [
            "", "02:42:0a:00:02", "02:42:0a:00:02:03:04", "02-42-0a-00-02-03", "002:42:0a:00:02:03",
            "g2:42:0a:00:02:03",
        ] {
            #expect(MACAddress(text) == nil, "\(text)")
        }
    }

    @Test("A VNI has 24 bits and is not zero")
    func vnis() {
        #expect(VNI(0) == nil && VNI(1 << 24) == nil && VNI(1) != nil && VNI((1 << 24) - 1) != nil)
    }

    @Test("The MTU inside the tunnel is 50 less")
    func mtus() {
        #expect(MTU.ethernet.insideVXLAN.bytes == 1450)
        #expect(MTU(67) == nil && MTU(65536) == nil && MTU(600)?.insideVXLAN.bytes == 576)
    }

    private struct Everything: Codable, Equatable {
        var address = IPv4Address("10.0.0.1"), prefix = IPv4Prefix("10.0.0.0/24"), mac = MACAddress("02:42:0a:00:00:01")
        var vni = VNI(4096), mtu = MTU(1450)
    }

    @Test("Values are text and numbers in JSON, and come back the same")
    func json() throws {
        let data = try JSONEncoder().encode(Everything())
        let text = String(decoding: data, as: UTF8.self).replacingOccurrences(of: "\\/", with: "/")
        for part in [#""10.0.0.1""#, #""10.0.0.0/24""#, #""02:42:0a:00:00:01""#, "4096", "1450"] {
            #expect(text.contains(part))
        }
        #expect(try JSONDecoder().decode(Everything.self, from: data) == Everything())
        for bad in [#"{"vni":0}"#, #"{"mtu":1}"#, #"{"address":"10.0.0.256"}"#] {
            #expect(throws: DecodingError.self) { try JSONDecoder().decode(Everything.self, from: Data(bad.utf8)) }
        }
    }
}

@Suite("IPv6 addresses and prefixes")
struct IPv6AddressTests {
    @Test(
        "Every form of RFC 4291 is read, and written as RFC 5952 wants it",
        arguments: [
            ("::", "::"), ("::1", "::1"), ("FD00::A", "fd00::a"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:0db8:0000:0001:0001:0001:0001:0001", "2001:db8:0:1:1:1:1:1"), ("1:0:0:0:0:0:0:0", "1::"),
            ("0:0:0:1:0:0:0:0", "0:0:0:1::"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("::ffff:10.1.2.3", "::ffff:10.1.2.3"), ("::ffff:a01:203", "::ffff:10.1.2.3"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ])
    func readsAddresses(text: String, canonical: String) throws {
        let address = try #require(IPv6Address(text))
        #expect(address.description == canonical)
        #expect(IPv6Address(canonical) == address)
    }

    @Test(
        "What is no IPv6 address is refused",
        arguments: [
            "", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", ":1:2:3:4:5:6:7", "1:",
            "12345::", "g::", "+1::", "-1::", "::1%lo", "::1/64", "10.0.0.1", "::10.0.0", "::10.0.0.1:1", "1.2.3.4::",
            "::256.0.0.1", "[::1]", " ::1", "::１",
        ])
    func refusesAddresses(text: String) { #expect(IPv6Address(text) == nil) }

    @Test("Octets and both byte orders agree")
    func byteOrders() throws {
        let address = try #require(IPv6Address("fd00:102:304:506:708:90a:b0c:d0e"))
        #expect(address.octets == [0xfd, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
        #expect(IPv6Address(octets: address.octets) == address)
        #expect(IPv6Address(networkOrder: address.networkOrder) == address)
        #expect(withUnsafeBytes(of: address.networkOrder) { Array($0) } == address.octets)
        #expect(IPv6Address(octets: [0, 1]) == nil)
    }

    @Test("Kinds of addresses")
    func kinds() throws {
        func address(_ text: String) throws -> IPv6Address { try #require(IPv6Address(text)) }
        #expect(try address("ff02::1").isMulticast && !address("fe80::1").isMulticast)
        #expect(try address("fe80::1").isLinkLocal && address("febf::1").isLinkLocal && !address("fec0::1").isLinkLocal)
        #expect(try address("::1").isLoopback && address("::").isUnspecified && !address("::1").isUnspecified)
        #expect(try address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").advanced(by: 1) == nil)
        #expect(try address("fd00::ffff:ffff:ffff:ffff").advanced(by: 1) == address("fd00:0:0:1::"))
    }

    @Test("Prefixes mask, contain, overlap and divide")
    func prefixes() throws {
        func prefix(_ text: String) throws -> IPv6Prefix { try #require(IPv6Prefix(text)) }
        let wide = try prefix("fd00:1:2::9/48")
        #expect(wide.description == "fd00:1:2::/48" && wide.last.description == "fd00:1:2:ffff:ffff:ffff:ffff:ffff")
        #expect(try wide.overlaps(prefix("fd00:1:2:3::/64")) && !wide.overlaps(prefix("fd00:1:3::/64")))
        #expect(wide.subprefix(length: 64, index: 65535)?.description == "fd00:1:2:ffff::/64")
        #expect(wide.subprefix(length: 64, index: 65536) == nil && wide.subprefix(length: 129, index: 0) == nil)
        #expect(try prefix("::/0").contains(wide) && prefix("::/0").last == IPv6Address(rawValue: .max))
        #expect(try prefix("fd00::1/128").last.description == "fd00::1")
        #expect(IPv6Prefix.parts("fd00::5/64")?.address.description == "fd00::5")
        for text in ["fd00::", "fd00::/129", "fd00::/-1", "fd00::/+6", "fd00::/064", "fd00::/", "10.0.0.0/8"] {
            #expect(IPv6Prefix(text) == nil, "\(text)")
        }
    }

    @Test("A value of either family keeps the families apart")
    func eitherFamily() throws {
        let low = try #require(IPAddress("0.0.0.1"))
        let high = try #require(IPAddress("::1"))
        #expect(low.family == .v4 && high.family == .v6 && low != high && low < high)
        #expect(low.v4?.description == "0.0.0.1" && low.v6 == nil)
        let everything = try #require(IPPrefix<IPAddress>("0.0.0.0/0"))
        #expect(everything.contains(low) && !everything.contains(high))
        #expect(everything.v4 == IPv4Prefix("0.0.0.0/0") && everything.v6 == nil)
        #expect(IPPrefix<IPAddress>("0.0.0.0/33") == nil && IPAddress("nothing") == nil)
        let data = try JSONEncoder().encode([low, high])
        #expect(String(decoding: data, as: UTF8.self) == #"["0.0.0.1","::1"]"#)
        #expect(try JSONDecoder().decode([IPAddress].self, from: data) == [low, high])
    }
}
