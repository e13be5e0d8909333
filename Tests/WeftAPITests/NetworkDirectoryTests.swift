import Foundation
import Testing
import WeftModel
import WeftNet

@testable import WeftAPI
@testable import WeftEngine

/// Which network is meant.
@Suite struct NetworkDirectoryTests {
    private static func swarm(_ id: String, _ name: String) throws -> Network {
        Network(
            id: NetworkID(id), createdAt: Instant(nanoseconds: 0), spec: NetworkSpec(name: name), vni: try #require(VNI(4096)),
            subnet: try #require(IPv4Prefix("10.0.1.0/24")), gateway: try #require(IPv4Address("10.0.1.1")))
    }

    private static func engine(_ id: String, _ name: String, shadowOf network: String? = nil) throws -> EngineNetwork {
        let labels = network.map { #","Labels":{"io.weft.id":"\#($0)"}"# } ?? ""
        return try JSONDecoder().decode(
            EngineNetwork.self, from: Data(#"{"Id":"\#(id)","Name":"\#(name)","Driver":"bridge"\#(labels)}"#.utf8))
    }

    private let directory: NetworkDirectory

    init() throws {
        directory = NetworkDirectory(
            swarm: [try Self.swarm("0abc", "net"), try Self.swarm("0abd", "other"), try Self.swarm("5xyz", "twice")],
            engine: [
                try Self.engine("f00d", "0"), try Self.engine("0beef", "town"), try Self.engine("5aaa", "twice"),
                try Self.engine("7777", "net", shadowOf: "0abc"), try Self.engine("7778", "gone", shadowOf: "0gone"),
            ])
    }

    private func meant(_ text: String) throws -> String? {
        switch try directory.meaning(of: text) {
        case .swarm(let network)?: "swarm \(network.spec.name)"
        case .engine(_, let name)?: "engine \(name)"
        case nil: nil
        }
    }

    @Test func `a whole name comes first, of whichever kind`() throws {
        #expect(try meant("0") == "engine 0" && meant("net") == "swarm net" && meant("town") == "engine town")
    }

    @Test func `then whole ids, and beginnings that fit one network only`() throws {
        #expect(try meant("0abc") == "swarm net" && meant("f00d") == "engine 0" && meant("0b") == "engine town")
        #expect(try meant("0abd") == "swarm other" && meant("f") == "engine 0" && meant("5x") == "swarm twice")
    }

    @Test func `when two match, it says so`() throws {
        for text in ["0a", "5"] {
            let error = #expect(throws: APIError.self) { try meant(text) }
            #expect(error?.status == 400 && error?.message == "network \(text) is ambiguous (2 matches found on ID prefix)")
        }
        let error = #expect(throws: APIError.self) { try meant("twice") }
        #expect(error?.message.hasPrefix("network twice is ambiguous (2 matches found on name)") == true)
        #expect(directory.matches("5").count == 2 && directory.matches("0").count == 4 && directory.matches("nosuch").isEmpty)
    }

    @Test func `what stands for the swarm's networks is meant by its whole id only, and then the swarm's is`() throws {
        #expect(try meant("7777") == "swarm net")
        #expect(try meant("777") == nil && meant("gone") == nil && meant("7778") == nil && meant("") == nil)
        #expect(try meant("nosuch") == nil)
    }

    @Test func `where only the swarm's can be used, another is refused by name`() throws {
        #expect(try directory.network("net").spec.name == "net")
        let engine = #expect(throws: APIError.self) { try directory.network("0") }
        #expect(engine?.status == 400 && engine?.message.contains("network 0 is the container engine's") == true)
        #expect(throws: APIError.networkNotFound("nosuch")) { try directory.network("nosuch") }
    }
}
