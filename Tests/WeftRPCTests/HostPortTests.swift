import Testing

@testable import WeftRPC

@Suite("Addresses of managers") struct HostPortTests {
    @Test("are read with or without a port")
    func parsing() throws {
        #expect(try HostPort(parsing: "172.30.0.1") == HostPort(host: "172.30.0.1", port: 2377))
        #expect(try HostPort(parsing: "m1.example:99").description == "m1.example:99")
        #expect(throws: HostPortError.host(":2377")) { try HostPort(parsing: ":2377") }
        #expect(throws: HostPortError.host("172.30.0:1")) { try HostPort(parsing: "172.30.0:1") }
        #expect(throws: HostPortError.port("a:0")) { try HostPort(parsing: "a:0") }
        #expect(throws: HostPortError.port("a:65536")) { try HostPort(parsing: "a:65536") }
        #expect(throws: HostPortError.notIPv4("::1")) { try HostPort(parsing: "::1") }
    }
}
