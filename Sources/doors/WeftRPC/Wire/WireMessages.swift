internal import FoundationEssentials
internal import WeftModel
internal import WeftNet

extension Wire {
    static func endpoints(_ wire: [Weft_V1_Endpoint], _ field: String, _ skipped: inout [WireError]) -> [Endpoint] {
        objects(wire, field, &skipped, object: \.id)
    }

    /// Objects of a kind. What of one makes no sense is noted with its id.
    static func objects<Value: WireForm>(
        _ wire: [Value.Message], _ field: String, _ skipped: inout [WireError], object: (Value.Message) -> String
    ) -> [Value] {
        var parts: [WireError] = []
        let objects: [Value] = list(wire, field, &skipped, object: object) { message, field throws(WireError) in
            let known = parts.count
            let result = try Value(message: message, field, &parts)
            for index in parts.indices.dropFirst(known) {
                parts[index].leaves(shown(object(message), max: Bounds.idBytes), Value.kind.name)
            }
            return result
        }
        for part in parts { note(part, in: &skipped) }
        return objects
    }
}

extension Weft_V1_NodeMessage {
    init(_ message: NodeMessage) {
        self.init()
        switch message {
        case .hello(let description, let dataPathAddress, let appliedRevision, let endpoints):
            hello.description_p = Weft_V1_NodeDescription(description)
            hello.dataPathAddress = dataPathAddress.rawValue
            hello.appliedRevision = appliedRevision.index
            hello.endpoints = endpoints.map(Weft_V1_Endpoint.init)
        case .heartbeat(let appliedRevision):
            heartbeat.appliedRevision = appliedRevision.index
        case .endpointsChanged(let added, let removed):
            endpointsChanged.added = added.map(Weft_V1_Endpoint.init)
            endpointsChanged.removed = removed.map(\.rawValue)
        case .leaseRequest(let number, let subnet, let address, let isSpare):
            leaseRequest.number = number
            leaseRequest.network = subnet.network.rawValue
            leaseRequest.ipv6 = subnet.family == .v6
            leaseRequest.spare = isSpare
            switch address {
            case .v4(let address): leaseRequest.address = address.rawValue
            case .v6(let address): leaseRequest.address6 = Data(address.octets)
            case nil: break
            }
        case .leasesReturned(let leases):
            leasesReturned.leases = leases
        case .addressesReturned(let number, let subnet, let prefix):
            addressesReturned.number = number
            addressesReturned.network = subnet.network.rawValue
            addressesReturned.prefix = Weft_V1_Prefix(prefix)
        case .addressesKept(let number, let reason):
            addressesKept.number = number
            addressesKept.reason = reason
        case .resyncRequest:
            resyncRequest = .init()
        case .descriptionChanged(let description):
            descriptionChanged = Weft_V1_NodeDescription(description)
        case .leaving:
            leaving = .init()
        case .tasksChanged(let reports):
            tasksChanged.reports = reports.map(Weft_V1_NodeMessage.TaskReport.init)
        case .awaitsOthers(let number):
            awaitsOthers.number = number
        case .keysStated(let statement):
            keysStated = Weft_V1_SignedStatement(statement)
        case .keysReady(let readiness):
            keysReady = Weft_V1_Readiness(readiness)
        }
    }
}

extension NodeMessage {
    /// What of it makes no sense is left out and noted in `skipped`; thrown is what leaves nothing.
    init(wire: Weft_V1_NodeMessage, skipped: inout [WireError]) throws(WireError) {
        switch wire.body {
        case nil:
            throw .unknownKind
        case .hello(let hello):
            self = .hello(
                try NodeDescription(
                    wire: Wire.require(hello.hasDescription_p, hello.description_p, "hello.description"),
                    "hello.description", &skipped),
                dataPathAddress: IPv4Address(rawValue: hello.dataPathAddress),
                appliedRevision: try Wire.version(hello.appliedRevision, "hello.applied_revision"),
                endpoints: Wire.endpoints(hello.endpoints, "hello.endpoints", &skipped))
        case .heartbeat(let heartbeat):
            self = .heartbeat(
                appliedRevision: try Wire.version(heartbeat.appliedRevision, "heartbeat.applied_revision"))
        case .endpointsChanged(let changed):
            self = .endpointsChanged(
                added: Wire.endpoints(changed.added, "endpoints_changed.added", &skipped),
                removed: Wire.identifiers(changed.removed, "endpoints_changed.removed", &skipped))
        case .leaseRequest(let request):
            let subnet = SubnetID(
                try Wire.identifier(request.network, "lease_request.network"), request.ipv6 ? .v6 : .v4)
            let address = try Wire.address(
                of: subnet, request.hasAddress ? request.address : nil, request.hasAddress6 ? request.address6 : nil,
                "lease_request")
            self = .leaseRequest(request.number, subnet, address: address, isSpare: request.spare)
        case .leasesReturned(let returned):
            self = .leasesReturned(returned.leases)
        case .addressesReturned(let returned):
            let field = "addresses_returned"
            let prefix = try Wire.anyPrefix(
                Wire.require(returned.hasPrefix, returned.prefix, "\(field).prefix"), "\(field).prefix")
            self = .addressesReturned(
                returned.number, SubnetID(try Wire.identifier(returned.network, "\(field).network"), prefix.family), prefix)
        case .addressesKept(let kept):
            self = .addressesKept(kept.number, reason: Wire.shown(kept.reason, max: 1024))
        case .resyncRequest:
            self = .resyncRequest
        case .descriptionChanged(let description):
            self = .descriptionChanged(try NodeDescription(wire: description, "description_changed", &skipped))
        case .leaving:
            self = .leaving
        case .tasksChanged(let changed):
            let reports = Wire.list(changed.reports, "tasks_changed.reports", &skipped, object: \.task) {
                report, field throws(WireError) in try TaskReport(wire: report, field)
            }
            self = .tasksChanged(reports)
        case .awaitsOthers(let awaits):
            self = .awaitsOthers(awaits.number)
        case .keysStated(let statement):
            self = .keysStated(try SignedStatement(wire: statement, "keys_stated"))
        case .keysReady(let readiness):
            self = .keysReady(try Readiness(wire: readiness, "keys_ready"))
        }
    }
}

extension Weft_V1_ManagerMessage {
    init(_ message: ManagerMessage) {
        self.init()
        switch message {
        case .assignments(let value):
            assignments = Weft_V1_Assignments(value)
        case .leaseGranted(let number):
            leaseGranted.number = number
        case .leaseRefused(let number, let reason):
            leaseRefused.number = number
            leaseRefused.reason = reason
        case .addressesWanted(let number, let subnet, let address):
            addressesWanted.number = number
            addressesWanted.network = subnet.network.rawValue
            addressesWanted.ipv6 = subnet.family == .v6
            switch address {
            case .v4(let address): addressesWanted.address = address.rawValue
            case .v6(let address): addressesWanted.address6 = Data(address.octets)
            case nil: break
            }
        case .goodbye(let reason):
            goodbye.reason = reason
        case .endpointRefused(let id, let reason):
            endpointRefused.id = id.rawValue
            endpointRefused.reason = reason
        case .othersFollowed(let number):
            othersFollowed.number = number
        }
    }
}

extension ManagerMessage {
    /// What of it makes no sense is left out and noted in `skipped`; thrown is what leaves nothing.
    init(wire: Weft_V1_ManagerMessage, kinds: Kinds = .all, skipped: inout [WireError]) throws(WireError) {
        switch wire.body {
        case nil:
            throw .unknownKind
        case .assignments(let value):
            self = .assignments(try Assignments(wire: value, "assignments", kinds: kinds, &skipped))
        case .leaseGranted(let granted):
            self = .leaseGranted(granted.number)
        case .leaseRefused(let refused):
            self = .leaseRefused(refused.number, reason: refused.reason)
        case .addressesWanted(let wanted):
            let field = "addresses_wanted"
            let subnet = SubnetID(try Wire.identifier(wanted.network, "\(field).network"), wanted.ipv6 ? .v6 : .v4)
            let address = try Wire.address(
                of: subnet, wanted.hasAddress ? wanted.address : nil, wanted.hasAddress6 ? wanted.address6 : nil, field)
            self = .addressesWanted(wanted.number, subnet, address: address)
        case .goodbye(let goodbye):
            self = .goodbye(reason: goodbye.reason)
        case .endpointRefused(let refused):
            // Whatever id the node gave it: what it is refused for may be the id itself.
            self = .endpointRefused(EndpointID(Wire.shown(refused.id)), reason: refused.reason)
        case .othersFollowed(let followed):
            self = .othersFollowed(followed.number)
        }
    }
}
