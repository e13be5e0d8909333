import Testing
import WeftModel
import WeftNet

@Suite("Labels of published ports")
struct IngressLabelTests {
    private func labels(_ addresses: String) throws -> IngressLabels { try IngressLabels([IngressLabels.addressesKey: addresses]) }

    private func set(_ texts: String...) throws -> Set<IPAddress> { Set(try texts.map { try #require(IPAddress($0)) }) }

    @Test("An address is every port's, or one port's")
    func addresses() throws {
        #expect(try IngressLabels(["tier": "1"]).addresses(of: 80, .tcp).isEmpty)
        #expect(try labels("192.0.2.10, 2001:db8::1").addresses(of: 80, .udp) == set("192.0.2.10", "2001:db8::1"))
        let mixed = try labels("192.0.2.10,[2001:db8::1]:53/udp,[2001:db8::2],192.0.2.11:53,192.0.2.12:80/tcp")
        #expect(mixed.addresses(of: 53, .udp) == (try set("2001:db8::1", "192.0.2.11")))
        #expect(mixed.addresses(of: 53, .tcp) == (try set("192.0.2.11")))
        #expect(mixed.addresses(of: 80, .tcp) == (try set("192.0.2.12")))
        // What no entry names has those that name none.
        #expect(mixed.addresses(of: 80, .udp) == (try set("192.0.2.10", "2001:db8::2")))
    }

    @Test("Clients are networks or single addresses")
    func sources() throws {
        let found = try IngressLabels([IngressLabels.fromKey: "10.1.2.3/8,192.0.2.1,2001:db8::/32"]).sources
        #expect(Set(found.map(\.description)) == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"])
    }

    @Test(
        "What cannot be meant is refused, with the word that it is about",
        arguments: [
            ("addresses", "eth0"), ("addresses", "192.0.2.10:0"), ("addresses", "192.0.2.10:"), ("addresses", "192.0.2.10/tcp"),
            ("addresses", "192.0.2.10:80/icmp"), ("addresses", "[192.0.2.10]:80"), ("addresses", "[2001:db8::1"), ("addresses", "[::1]80"),
            ("addresses", "0.0.0.0"), ("addresses", "224.0.0.1"), ("addresses", "192.0.2.10:70000"), ("from", "10.0.0.0/33"),
            ("from", "everybody"), ("addresses", ""), ("form", "10.0.0.0/8"),
        ])
    func refused(key: String, value: String) throws {
        let error = try #require(throws: IngressLabelError.self) { try IngressLabels([IngressLabels.prefix + key: value]) }
        #expect(error.description.contains(key))
    }
}
