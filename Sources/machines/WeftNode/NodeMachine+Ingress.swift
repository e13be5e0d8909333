import WeftModel

/// The node's own place on the ingress network. Ports are published by a node that has one: all its tables are those of a network with an
/// endpoint here, and the host's own processes have it as their address there.
extension NodeMachine {
    /// Nobody waits for it; the shell's begin at 1.
    static let ingressRequest = RequestID(0)
    static let ingressPatience = Duration.seconds(5)

    /// Has an endpoint made as soon as a port is published. It stays as long as the network does.
    mutating func keepIngress(now: Instant, random: inout some RandomNumberGenerator) {
        guard session == .synchronised, !isLeaving, !isAdopting, sandboxes[.hostIngress] == nil,
            waiting[Self.ingressRequest] == nil, ingressAsked.map({ now - $0 >= Self.ingressPatience }) ?? true,
            let network = view.networks.values.first(where: \.spec.ingress),
            view.tables[ServiceView.self].values.contains(where: { !$0.ports.isEmpty })
        else { return }
        ingressAsked = now
        let spec = EndpointSpec(network: network.id, name: "ingress-endpoint")
        attach(Self.ingressRequest, AttachRequest(spec, sandbox: .hostIngress, manual: false), now: now, random: &random)
    }
}
