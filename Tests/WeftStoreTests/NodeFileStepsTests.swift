import Foundation
import Testing
import WeftAgentCore
import WeftModel
import WeftNet
import WeftNode
import WeftStoreSQLite

/// What a node keeps, in a file of its own in a directory of its own.
@Suite("The node's file, as an agent uses it")
final class NodeFileStepsTests {
    private let directory: String

    init() throws {
        directory = NSTemporaryDirectory() + "weft-node-file-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private let network = NetworkID("net")

    private func endpoint(_ id: String, _ host: UInt32, node: String = "n1") throws -> Endpoint {
        let address = IPv4Address(rawValue: 0x0a01_0000 + host)
        return Endpoint(
            id: EndpointID(id), network: network, node: NodeID(node), sandbox: SandboxID("s-\(id)"), ipv4: address,
            ipv6: IPv6Address("fd00::\(host)"), mac: MACAddress(forIPv4: address), name: id, aliases: ["x"])
    }

    /// Steps as an agent takes them, laid over a value in memory and over the file.
    @Test("what was saved step by step is read back as a whole")
    func steps() throws {
        let (file, new, _) = try NodeFile.open(directory: directory) { Issue.record("damage: \($0)") }
        var expected = new
        #expect(expected == SavedNode())
        func save(_ change: SavedNode.OwnChange, _ indexes: [EndpointID: Int] = [:]) throws {
            try file.saveOwn(change, interfaceIndexes: indexes)
            expected.apply(change)
        }

        var first = SavedNode.Own()
        first.endpoints = [try endpoint("a", 2), try endpoint("b", 3)]
        first.engine = [.init(id: EndpointID("b"), since: Instant(nanoseconds: 5))]
        first.leases = [
            AddressLease(network: network, block: try #require(AnyIPPrefix("10.1.0.0/28")), node: NodeID("n1"), version: Version(3))
        ]
        first.returned = ["net/10.1.0.8/29"]
        first.isLeaving = true
        try save(SavedNode.OwnChange(full: first), [EndpointID("a"): 0, EndpointID("b"): 4])

        var step = SavedNode.OwnChange()
        step.own.endpoints = [try endpoint("c", 4)]
        step.removedEndpoints = [EndpointID("a")]
        step.own.resting = [.init(network: network, address: .v4(IPv4Address(rawValue: 0x0a01_0002)), until: Instant(nanoseconds: 9))]
        step.own.reservations = [.init(network: network, address: .v4(IPv4Address(rawValue: 0x0a01_0009)), since: Instant(nanoseconds: 8))]
        try save(step, [EndpointID("c"): 1])

        var last = SavedNode.OwnChange()
        last.removedPlaces = [try #require(step.own.resting.first).place]
        try save(last)

        let view = try View.full(network, endpoints: [endpoint("far", 99, node: "n2")])
        try file.saveView(view)
        expected.apply(view)
        var delta = Assignments(isFull: false, baseRevision: Version(10), revision: Version(11))
        delta.removedEndpoints = [EndpointID("far")]
        delta.endpoints = [try endpoint("farther", 98, node: "n2")]
        try file.saveView(delta)
        expected.apply(delta)
        try file.close()

        let (again, read, indexes) = try NodeFile.open(directory: directory) { Issue.record("damage: \($0)") }
        #expect(read == expected)
        #expect(indexes == [EndpointID("b"): 4, EndpointID("c"): 1])
        try again.close()
    }

    @Test("a full set takes the place of all that was there")
    func full() throws {
        let (file, _, _) = try NodeFile.open(directory: directory) { Issue.record("damage: \($0)") }
        var old = SavedNode.Own()
        old.endpoints = [try endpoint("a", 2)]
        try file.saveOwn(SavedNode.OwnChange(full: old), interfaceIndexes: [EndpointID("a"): 3])
        try file.saveView(try View.full(network, endpoints: [endpoint("far", 99, node: "n2")]))
        var new = SavedNode.Own()
        new.endpoints = [try endpoint("b", 3)]
        try file.saveOwn(SavedNode.OwnChange(full: new), interfaceIndexes: [:])
        try file.saveView(try View.full(network, endpoints: []))
        let (read, indexes) = try file.load()
        #expect(read.own == new && read.view.endpoints.isEmpty && indexes.isEmpty)
        try file.close()
    }

    @Test("a file of no use is set aside, with what it held, and the node begins anew", arguments: [true, false])
    func damage(isText: Bool) throws {
        let path = "\(directory)/node.db"
        if isText {
            try Data("this is no database".utf8).write(to: URL(fileURLWithPath: path))
        } else {
            let rows = try RowFile(path: path)
            var change = RowFile.Change()
            change.put("endpoint", "a", [UInt8]("{\"no\":\"endpoint\"}".utf8))
            try rows.write(change)
            try rows.close()
        }
        var told: [String] = []
        let (file, saved, _) = try NodeFile.open(directory: directory) { told.append($0) }
        #expect(saved == SavedNode())
        #expect(told.count == 1 && told.first?.contains("is set aside as \(path).unreadable") == true)
        #expect(FileManager.default.fileExists(atPath: path + ".unreadable"))
        try file.saveView(try View.full(network, endpoints: []))
        try file.close()
    }
}

private enum View {
    static func full(_ network: NetworkID, endpoints: [Endpoint]) throws -> Assignments {
        var all = Assignments(isFull: true, baseRevision: .none, revision: Version(10))
        all.cluster = ClusterView(id: ClusterID("c"), dataPathPort: 4789, heartbeatSeconds: 5, rootCertificatesPEM: "PEM")
        let subnet = try #require(IPv4Prefix("10.1.0.0/24"))
        all.networks = [
            Network(
                id: network, createdAt: Instant(nanoseconds: 0), spec: NetworkSpec(name: "net"), vni: try #require(VNI(4097)),
                subnet: subnet, gateway: try #require(IPv4Address("10.1.0.1")))
        ]
        all.peers = [Peer(id: NodeID("n2"), hostname: "h2", state: .down, dataPathAddress: nil, managerAddress: nil)]
        all.endpoints = endpoints
        return all
    }
}
