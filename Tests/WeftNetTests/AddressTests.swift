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

    @Test("A /31 has two hosts, a /32 one (RFC 3021)")
    func hosts() throws {
        #expect(try #require(IPv4Prefix("10.0.0.0/30")).hosts.count == 2)
        #expect(try #require(IPv4Prefix("10.0.0.0/31")).hosts.count == 2)
        #expect(try #require(IPv4Prefix("10.0.0.7/32")).hosts.count == 1)
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
