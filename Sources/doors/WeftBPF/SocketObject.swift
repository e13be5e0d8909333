import CDatapathABI

extension ObjectDeclaration {
    /// Services where sockets connect, bpf/socket.bpf.c. It shares the overlay's maps.
    static func socket(_ sizes: MapSizes) -> ObjectDeclaration {
        ObjectDeclaration(
            name: "socket", code: socketObjectHex,
            maps: MapName.allCases.map { MapDeclaration($0.rawValue, entries: sizes.entries(of: $0)) }
                + [
                    MapDeclaration(SocketHooks.namespaceMap, entries: sizes.endpoints), MapDeclaration(SocketHooks.askedMap),
                    MapDeclaration(SocketHooks.answerMap),
                ],
            programs: SocketHooks.programs)
    }
}

/// Where connections to services are given their backend.
package enum ServiceTranslation: String, Sendable, CaseIterable {
    /// Where sockets connect, and what does not pass there at the interface.
    case socket
    /// At the interface alone.
    case interface
}

/// The programs where sockets connect, on the root of the control groups. Those of several pin directories run there side by side: each
/// is for the network namespaces that it was told of.
struct SocketHooks: Sendable {
    static let programs = [
        "weft_connect4", "weft_connect6", "weft_getpeername4", "weft_getpeername6", "weft_sendmsg4", "weft_sendmsg6",
        "weft_recvmsg4", "weft_recvmsg6",
    ]
    static let namespaceMap = "weft_namespace"
    static let askedMap = "weft_asked"
    static let answerMap = "weft_answer"

    private let object: BPFObject
    private let links: CgroupLinks
    private let namespaces: BPFMap<weft_namespace_key, weft_namespace>

    /// - Parameter loader: has the overlay's maps.
    init(_ loader: inout ObjectLoader, pins: PinDirectory, sizes: MapSizes) throws(BPFError) {
        object = try loader.load(.socket(sizes))
        links = CgroupLinks(pins: pins)
        namespaces = try object.map(Self.namespaceMap, weft_namespace_key.self, weft_namespace.self)
        try object.pinCreatedMaps(in: pins)
    }

    /// Puts the programs on a group, in the place of their former versions.
    func attach(to cgroup: String) throws(BPFError) {
        for name in Self.programs { try links.put(object.program(name), on: cgroup) }
    }

    /// Takes them off all groups, those of a former process too.
    static func detach(pins: PinDirectory) throws(BPFError) {
        let links = CgroupLinks(pins: pins)
        for attachment in try links.all() where programs.contains(attachment.program) { try links.remove(attachment) }
    }

    /// The interfaces whose endpoints' namespaces are known. What is left of others is removed.
    func interfaces(living: (UInt32) -> Bool) throws(BPFError) -> [UInt32: weft_namespace_key] {
        var found: [UInt32: weft_namespace_key] = [:]
        for (key, value) in try namespaces.all() {
            if living(value.ifindex) { found[value.ifindex] = key } else { try namespaces.remove(key) }
        }
        return found
    }

    func put(_ key: weft_namespace_key, interface: UInt32) throws(BPFError) {
        try namespaces.put(key, weft_namespace(ifindex: interface))
    }

    /// Unless another endpoint of the namespace has taken the entry over.
    func remove(_ key: weft_namespace_key, interface: UInt32) throws(BPFError) {
        if try namespaces.get(key)?.ifindex == interface { try namespaces.remove(key) }
    }
}
