import Foundation
import Testing
import WeftModel
import WeftNet

@Suite struct EndpointSpecTests {
    private func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    @Test("What is asked of an interface is one object in a record")
    func flat() throws {
        let spec = EndpointSpec(
            network: NetworkID("n1"), ipv4: IPv4Address("10.0.1.5"), mac: MACAddress("02:42:0a:00:01:05"), name: "web", aliases: ["db"])
        let interface = InterfaceSpec(spec, interface: "eth3", takesDefaultRoute: false)
        let data = try JSONEncoder().encode(interface)
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(Set(object.keys) == ["network", "ipv4", "mac", "name", "aliases", "interface", "takesDefaultRoute"])
        #expect(try JSONDecoder().decode(InterfaceSpec.self, from: data) == interface)
    }

    @Test("Records of former versions, without names, are read")
    func former() throws {
        let container = try decode(
            PreparedContainer.self,
            """
            {"attachments":[{"aliases":["db"],"interface":"eth0","ipv4":"10.0.1.9","network":"n1"}],"container":"c1","hostname":"h",
             "name":"web","ports":[],"published":[],"restarts":true,"token":"t1","upstreams":["9.9.9.9"]}
            """)
        let expected = InterfaceSpec(
            EndpointSpec(network: NetworkID("n1"), ipv4: IPv4Address("10.0.1.9"), aliases: ["db"]), interface: "eth0")
        #expect(container.attachments == [expected])
        #expect(container.aliases(on: expected.endpoint) == ["db", "h", "c1"])
        #expect(try decode(EndpointSpec.self, #"{"network":"n1"}"#) == EndpointSpec(network: NetworkID("n1")))
        #expect(throws: DecodingError.self) { try decode(EndpointSpec.self, #"{"name":"web"}"#) }
    }
}
