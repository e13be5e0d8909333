import Foundation
import Testing
import WeftModel
import WeftNet
import WeftNode
import WeftStoreSQLite

@Suite struct NodeFileTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "weft-node-\(UUID().uuidString)").path

    private static let rows = [
        ("knowledge", "", #"{"cluster":{"dataPathPort":4790,"heartbeatSeconds":5,"id":"c","rootCertificatesPEM":"PEM"},"revision":12}"#),
        ("peer", "h1", #"{"dataPathAddress":"172.30.0.1","hostname":"host1","id":"h1","state":"ready"}"#),
        (
            "network", "n1",
            #"""
            {"createdAt":1,"gateway":"10.0.1.1","id":"n1","spec":{"attachable":true,"ingress":false,"ipam":
            {"auxiliaryAddresses":{}},"isInternal":false,"labels":{},"name":"net","options":{}},"subnet":"10.0.1.0/24",
            "updatedAt":1,"version":3,"vni":4097}
            """#
        ),
        (
            "known", "e1",
            #"{"aliases":[],"id":"e1","ipv4":"10.0.1.2","mac":"02:42:0a:00:01:02","name":"a","network":"n1","node":"h2","sandbox":"s","version":1}"#
        ),
        ("node", "", #"{"isLeaving":false,"leases":[{"block":"10.0.1.8/29","network":"n1","node":"h1","version":1}],"returned":[]}"#),
    ]

    @Test func `a file from before kinds had a list is read whole, and the manager says what it lacks`() throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let former = try RowFile(path: directory + "/node.db")
        var change = RowFile.Change()
        for (kind, id, body) in Self.rows { change.put(kind, id, Array(body.utf8)) }
        try former.write(change)
        try former.close()

        let file = try NodeFile(directory: directory)
        let saved = try file.load().node
        #expect(saved.view.revision == Version(12) && saved.view.cluster?.dataPathPort == 4790)
        // Of services nothing is in it.
        #expect(saved.lacksKinds)
        #expect(saved.view.networks.map(\.id) == [NetworkID("n1")] && saved.view.peers.map(\.hostname) == ["host1"])
        #expect(saved.view.endpoints.map(\.id) == [EndpointID("e1")] && saved.own.leases.count == 1)

        let description = NodeDescription(hostname: "h1", architecture: "x86_64", nanoCPUs: 1, memoryBytes: 1, weftVersion: "test")
        var machine = NodeMachine(
            id: NodeID("h1"), description: description, dataPathAddress: IPv4Address(rawValue: 1), saved: saved)
        var random = SystemRandomNumberGenerator()
        _ = machine.handle(.sessionOpened, now: Instant(nanoseconds: 1), random: &random)
        var whole = Assignments(isFull: true, baseRevision: .none, revision: Version(13))
        whole.cluster = saved.view.cluster
        whole.networks = saved.view.networks
        whole.peers = saved.view.peers
        _ = machine.handle(.received(.assignments(whole)), now: Instant(nanoseconds: 2), random: &random)
        try file.saveOwn(machine.takeOwnChange(), interfaceIndexes: [:])
        try file.saveView(machine.takeViewChange())
        let later = try file.load().node
        #expect(later == machine.saved && later.view.endpoints.isEmpty && later.view.revision == Version(13))
        #expect(!later.lacksKinds && later.view.cluster == saved.view.cluster && later.view.networks == saved.view.networks)
        try file.close()
    }
}
