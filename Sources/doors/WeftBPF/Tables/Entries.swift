import CDatapathABI
package import WeftDatapath
package import WeftNet

/// What the programs know about this node.
package struct DatapathConfig: Hashable, Sendable {
    /// Index of the interface that leads to the other nodes.
    package var underlayInterface: UInt32
    /// This node's data-path address.
    package var vtep: IPv4Address
    /// The VXLAN port, the same on all nodes.
    package var port: UInt16
    /// Index of the device of what encrypts; 0: there is none.
    package var tunnelInterface: UInt32

    package init(underlayInterface: UInt32, vtep: IPv4Address, port: UInt16 = 4789, tunnelInterface: UInt32 = 0) {
        self.tunnelInterface = tunnelInterface
        self.underlayInterface = underlayInterface
        self.vtep = vtep
        self.port = port
    }
}

/// Where an address of a network lives: `Location` as the kernel knows it, which has indexes of interfaces for endpoints.
package enum ForwardTarget: Hashable, Sendable {
    /// Behind the host end with this index.
    case local(interface: UInt32, mac: MACAddress, isBackend: Bool = false, isHost: Bool = false)
    /// On the node with this data-path address. `mtu`: the largest IP packet that its tunnel carries; nil: not known.
    case remote(vtep: IPv4Address, mac: MACAddress, mtu: MTU? = nil, tunnel: TunnelKind = .clear, isBackend: Bool = false)
    /// Nowhere: a service's own address.
    case service
}

/// Why the data plane drops a packet. The names are those of metrics and of `enum weft_drop_reason`.
package enum DropReason: String, Sendable, CaseIterable {
    case truncated
    case unknownEndpoint = "unknown_endpoint"
    case spoofedMAC = "spoofed_mac"
    case spoofedAddress = "spoofed_address"
    case unsupportedProtocol = "unsupported_protocol"
    case multicast
    case noEndpoint = "no_endpoint"
    case otherNetwork = "other_network"
    case isInternal = "internal"
    case encapFailed = "encap_failed"
    case unknownVTEP = "unknown_vtep"
    case decapFailed = "decap_failed"
    case badVXLAN = "bad_vxlan"
    case forgedSource = "forged_source"
    case arpUnanswered = "arp_unanswered"
    case neighbourUnanswered = "neighbour_unanswered"
    case linkLocal = "link_local"
    case noIPv6Exit = "no_ipv6_exit"
    case resolverShare = "resolver_share"
    case noExit = "no_exit"
    case tooBig = "too_big"
    case controlMessage = "control_message"
    case wrongTunnel = "wrong_tunnel"
    case noBackend = "no_backend"
    case noFlow = "no_flow"
    case notAllowed = "not_allowed"
    case noTunnel = "no_tunnel"
    case tunnelUnread = "tunnel_unread"

    var number: Int {
        let value =
            switch self {
            case .truncated: WEFT_DROP_TRUNCATED
            case .unknownEndpoint: WEFT_DROP_UNKNOWN_ENDPOINT
            case .spoofedMAC: WEFT_DROP_SPOOFED_MAC
            case .spoofedAddress: WEFT_DROP_SPOOFED_ADDRESS
            case .unsupportedProtocol: WEFT_DROP_UNSUPPORTED_PROTOCOL
            case .multicast: WEFT_DROP_MULTICAST
            case .noEndpoint: WEFT_DROP_NO_ENDPOINT
            case .otherNetwork: WEFT_DROP_OTHER_NETWORK
            case .isInternal: WEFT_DROP_INTERNAL
            case .encapFailed: WEFT_DROP_ENCAP_FAILED
            case .unknownVTEP: WEFT_DROP_UNKNOWN_VTEP
            case .decapFailed: WEFT_DROP_DECAP_FAILED
            case .badVXLAN: WEFT_DROP_BAD_VXLAN
            case .forgedSource: WEFT_DROP_FORGED_SOURCE
            case .arpUnanswered: WEFT_DROP_ARP_UNANSWERED
            case .neighbourUnanswered: WEFT_DROP_NEIGHBOUR_UNANSWERED
            case .linkLocal: WEFT_DROP_LINK_LOCAL
            case .noIPv6Exit: WEFT_DROP_NO_IPV6_EXIT
            case .resolverShare: WEFT_DROP_RESOLVER_SHARE
            case .noExit: WEFT_DROP_NO_EXIT
            case .tooBig: WEFT_DROP_TOO_BIG
            case .controlMessage: WEFT_DROP_CONTROL_MESSAGE
            case .wrongTunnel: WEFT_DROP_WRONG_TUNNEL
            case .noBackend: WEFT_DROP_NO_BACKEND
            case .noFlow: WEFT_DROP_NO_FLOW
            case .notAllowed: WEFT_DROP_NOT_ALLOWED
            case .noTunnel: WEFT_DROP_NO_TUNNEL
            case .tunnelUnread: WEFT_DROP_TUNNEL_UNREAD
            }
        return Int(value.rawValue)
    }
}

/// How a query comes to the resolver.
package enum ResolverTransport: Sendable, CaseIterable {
    case udp
    case tcp

    var number: UInt32 { self == .udp ? WEFT_RESOLVER_UDP.rawValue : WEFT_RESOLVER_TCP.rawValue }
}

/// What passed at an endpoint and what did not, since its entry was made.
package struct EndpointCounters: Hashable, Sendable {
    package var sentPackets: UInt64 = 0
    package var sentBytes: UInt64 = 0
    package var receivedPackets: UInt64 = 0
    package var receivedBytes: UInt64 = 0
    /// Packets by reason; reasons without any are absent.
    package var dropped: [DropReason: UInt64] = [:]

    package init() {}

    mutating func add(_ counter: weft_counter) {
        sentPackets &+= counter.sent_packets
        sentBytes &+= counter.sent_bytes
        receivedPackets &+= counter.received_packets
        receivedBytes &+= counter.received_bytes
        withUnsafeBytes(of: counter.dropped) { bytes in
            for reason in DropReason.allCases {
                let count = bytes.loadUnaligned(fromByteOffset: reason.number * 8, as: UInt64.self)
                if count > 0 { dropped[reason, default: 0] &+= count }
            }
        }
    }
}
