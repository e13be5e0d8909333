import FoundationEssentials

/// Part of a request that may be anything: options of the user's and of the engine's.
enum OptionValue: Decodable, Sendable {
    case text(String)
    case flag(Bool)
    case map([String: OptionValue])
    case other

    init(from decoder: any Decoder) throws {
        if let map = try? [String: OptionValue](from: decoder) {
            self = .map(map)
        } else {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let flag = try? container.decode(Bool.self) {
                self = .flag(flag)
            } else {
                self = .other
            }
        }
    }
}

/// Bodies of the engine's calls. Members that are not named here concern other drivers.
enum Request {
    struct Pool: Decodable, Sendable {
        var Pool: String?
        var SubPool: String?
        var Options: [String: OptionValue]?
        var V6: Bool?
    }

    struct Address: Decodable, Sendable {
        var PoolID: String
        var Address: String?
        var Options: [String: OptionValue]?
    }

    struct Network: Decodable, Sendable {
        struct Family: Decodable, Sendable {
            var AddressSpace: String?
            var Pool: String?
        }
        var NetworkID: String
        var Options: [String: OptionValue]?
        var IPv4Data: [Family]?
        var IPv6Data: [Family]?
    }

    struct Endpoint: Decodable, Sendable {
        struct Interface: Decodable, Sendable {
            var Address: String?
            var AddressIPv6: String?
            var MacAddress: String?
        }
        var NetworkID: String
        var EndpointID: String
        var Interface: Interface?
        var Options: [String: OptionValue]?
        var SandboxKey: String?
    }
}

/// Bodies of the answers.
enum Response {
    struct Empty: Encodable, Sendable {}
    /// The two drivers' protocols have different keys for it.
    struct Failure: Encodable, Sendable {
        var Err: String
        var Error: String
        init(_ sentence: String) { (Err, Error) = (sentence, sentence) }
    }
    struct Activation: Encodable, Sendable { var Implements = ["NetworkDriver", "IpamDriver"] }
    struct NetworkCapabilities: Encodable, Sendable {
        var Scope = "local"
        var ConnectivityScope = "global"
    }
    struct AddressCapabilities: Encodable, Sendable {
        var RequiresMACAddress = false
        var RequiresRequestReplay = false
    }
    struct AddressSpaces: Encodable, Sendable {
        var LocalDefaultAddressSpace = "weftlocal"
        var GlobalDefaultAddressSpace = "weftglobal"
    }
    struct Pool: Encodable, Sendable {
        var PoolID: String
        var Pool: String
        var Data: [String: String] = [:]
    }
    struct Address: Encodable, Sendable {
        /// With the prefix length.
        var Address: String
        var Data: [String: String] = [:]
    }
    struct Endpoint: Encodable, Sendable {
        struct Interface: Encodable, Sendable {
            /// Only when the engine named none: it takes an echo for an error.
            var MacAddress: String?
        }
        var Interface: Interface
    }
    struct Join: Encodable, Sendable {
        struct Name: Encodable, Sendable {
            var SrcName: String
            var DstPrefix = "eth"
        }
        struct Route: Encodable, Sendable {
            var Destination: String
            /// 1: directly connected.
            var RouteType = 1
        }
        var InterfaceName: Name
        var StaticRoutes: [Route]
        /// Absent: the engine adds its own bridge, for the way out and published ports.
        var DisableGatewayService: Bool?
    }
    struct Information: Encodable, Sendable { var Value: [String: String] }
}
