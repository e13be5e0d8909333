import Testing
import WeftDatapath
import WeftModel
import WeftNet

@Suite("Endpoints that a container engine configures") struct EngineTests {
    private func view(isNew: Bool) throws -> View {
        var view = try View()
        try view.network("n", "10.1.0.0/24", 4096)
        try view.local("a", "n", "10.1.0.2")
        let endpoint = try #require(view.view.endpoints.first)
        view.view.attachments = [SandboxAttachment(engine: endpoint, isNew: isNew)]
        return view
    }

    @Test("the far end has a name of its own, and nothing is configured in the container")
    func compiled() throws {
        let endpoint = try #require(compile(view(isNew: true).view).endpoints[EndpointID("a")])
        #expect(endpoint.placement == .engine(isNew: true))
        #expect(endpoint.interfaceName == "wce40c292c" && endpoint.interfaceName == engineInterfaceName(EndpointID("a")))
        #expect(endpoint.routes == SandboxRoutes(isDefault: false, toResolver: false))
    }

    @Test("it is made on the engine's word only, and kept over a restart")
    func madeOnce() throws {
        let new = compile(try view(isNew: true).view)
        let known = compile(try view(isNew: false).view)
        var observed = ObservedState(host: new.host)
        let operations = difference(desired: new, observed: observed)
        #expect(operations.contains { if case .createEndpoint = $0 { true } else { false } })
        for operation in operations { observed.record(operation) }
        #expect(difference(desired: known, observed: observed).isEmpty)
        #expect(difference(desired: new, observed: observed).isEmpty, "asked again, nothing to do")

        // The container's namespace ended, and the pair with it: what led to it goes, and nothing is made that nobody takes.
        let address = OverlayAddress(vni: try vni(4096), address: try WeftDatapathTests.address("10.1.0.2"))
        observed.endpoints = [:]
        observed.locations[address] = .stale
        #expect(difference(desired: known, observed: observed) == [.removeLocation(address)])
        observed.locations = [:]
        #expect(difference(desired: known, observed: observed).isEmpty)
    }
}
