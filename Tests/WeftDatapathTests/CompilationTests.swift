import TestSupport
import Testing
import WeftDatapath
import WeftModel
import WeftNet

/// One endpoint at a time comes to the same as all at once.
@Suite struct CompilationTests {
    private static let networks = ["n0", "n1", "n2"]

    /// Networks of which one is internal, and no endpoint.
    private func world() throws -> View {
        var view = try View()
        for (number, name) in Self.networks.enumerated() {
            try view.network(name, "10.\(number).0.0/24", 4096 + UInt32(number), isInternal: number == 2)
        }
        return view
    }

    /// Nothing, or an endpoint here or elsewhere. There are few addresses and sandboxes, so that they meet.
    private func randomEndpoint(
        _ id: String, _ random: inout SplitMix
    ) throws -> (attachment: SandboxAttachment?, endpoint: Endpoint?) {
        var view = try View()
        let number = Int.random(in: 0..<3, using: &random)
        let (network, text) = (Self.networks[number], "10.\(number).0.\(Int.random(in: 2..<7, using: &random))")
        switch Int.random(in: 0..<7, using: &random) {
        case 0, 1:
            let sandbox = String(Int.random(in: 0..<3, using: &random))
            try view.local(id, network, text, eth: Int.random(in: 0..<4, using: &random), sandbox: sandbox)
        case 2, 3: try view.remote(id, network, text, on: Int.random(in: 0..<4, using: &random))
        case 4, 5:
            try view.local(id, network, text)
            let endpoint = try #require(view.view.endpoints.first)
            return (SandboxAttachment(engine: endpoint, isNew: Bool.random(using: &random)), endpoint)
        default: break
        }
        return (view.view.attachments.first, view.view.endpoints.first)
    }

    @Test("what is kept is what compiling anew gives, after every change", arguments: 0..<30 as Range<UInt64>)
    func sameAsAnew(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        let empty = try world()
        var compilation = Compilation(empty.view)
        var parts: [EndpointID: (attachment: SandboxAttachment?, endpoint: Endpoint?)] = [:]
        for _ in 0..<200 {
            let id = "e\(Int.random(in: 0..<12, using: &random))"
            let part = try randomEndpoint(id, &random)
            parts[EndpointID(id)] = part
            compilation.set(EndpointID(id), attachment: part.attachment, endpoint: part.endpoint)
            var view = empty.view
            view.attachments = parts.values.compactMap(\.attachment)
            view.endpoints = parts.values.compactMap(\.endpoint)
            view.underlayMTU = compilation.underlayMTU
            #expect(compilation.desired == compile(view))
            if Int.random(in: 0..<20, using: &random) == 0, let mtu = MTU(Int.random(in: 1400...9000, using: &random)) {
                compilation.setUnderlay(mtu: mtu, port: compilation.desired.host.dataPathPort)
            }
        }
    }

    @Test("rounds over what changed leave nothing to do", arguments: 0..<30 as Range<UInt64>)
    func rounds(seed: UInt64) throws {
        var random = SplitMix(state: seed &+ 1000)
        var compilation = Compilation(try world().view)
        let kernel = FakeKernel(ObservedState(host: compilation.desired.host))
        var reconciler = DatapathReconciler()
        var isFirst = true
        for _ in 0..<150 {
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let id = "e\(Int.random(in: 0..<12, using: &random))"
                let part = try randomEndpoint(id, &random)
                compilation.set(EndpointID(id), attachment: part.attachment, endpoint: part.endpoint)
            }
            if Int.random(in: 0..<15, using: &random) == 0 {
                // Something else takes an interface away; the next look finds it.
                if let name = kernel.state.endpoints.keys.sorted().first { kernel.state.endpoints[name] = nil }
                reconciler.forget()
            }
            let isFailing = Int.random(in: 0..<10, using: &random) == 0
            kernel.failing = { operation in
                if case .createEndpoint = operation { isFailing } else { false }
            }
            let keys = compilation.takeTouched()
            let failures = try reconciler.reconcile(
                compilation.desired, changed: isFirst ? nil : keys, with: kernel)
            isFirst = false
            guard failures.isEmpty else { continue }
            #expect(difference(desired: compilation.desired, observed: kernel.state).isEmpty)
            #expect(reconciler.addressesHeld == Set(kernel.state.endpoints.values.flatMap { $0.entry?.addresses ?? [] }))
        }
    }

    @Test("a change touches what it concerns, however much there is beside it")
    func touches() throws {
        var view = try world()
        for host in 2..<200 {
            try view.local("l\(host)", "n0", "10.0.0.\(host)", sandbox: "s\(host)")
            try view.remote("r\(host)", "n1", "10.1.0.\(host)", on: 1)
        }
        try view.local("first", "n1", "10.1.0.250", sandbox: "other")
        var compilation = Compilation(view.view)
        #expect(compilation.takeTouched() == DatapathKeys(), "a new one is all new")

        var one = try View()
        try one.local("new", "n0", "10.0.0.201", sandbox: "new")
        try one.remote("far", "n1", "10.1.0.201", on: 2)
        compilation.set(EndpointID("new"), attachment: one.view.attachments.first, endpoint: one.view.endpoints.first)
        compilation.set(EndpointID("far"), attachment: nil, endpoint: one.view.endpoints.last)
        let keys = compilation.takeTouched()
        #expect(keys.endpoints == [EndpointID("new")])
        #expect(keys.addresses.map(\.address.description).sorted() == ["10.0.0.201", "10.1.0.201"])
        #expect(keys.members == [Membership(vni: try vni(4097), vtep: peerAddress(2))])

        // The same again, as echoes tell it.
        compilation.set(EndpointID("far"), attachment: nil, endpoint: one.view.endpoints.last)
        #expect(compilation.takeTouched() == DatapathKeys())
    }
}
