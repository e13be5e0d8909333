import CDatapathABI
package import WeftDatapath
import WeftNet

/// Services and their backends in the kernel. A service's tables are written whole, under a generation that nobody reads yet, and come
/// into force with its entry: a packet finds the former ones or these.
extension DatapathPrograms {
    /// By the address of IPv4. A service of which something is missing is not there.
    package func services() throws(BPFError) -> [OverlayAddress: VirtualService] {
        let entries = try serviceMap.all()
        var backends: [ServiceTable: [VirtualService.Backend]] = [:]
        for (key, value) in try backendMap.all() {
            backends[ServiceTable(key), default: []].append(VirtualService.Backend(value))
        }
        var pages: [ServiceTable: UInt32] = [:]
        for (key, _) in try servicePageMap.all() { pages[ServiceTable(key), default: 0] += 1 }

        let addresses6 = Set(entries.lazy.map(\.0).filter { $0.family == 6 }.map(ServiceKey.init))
        var found: [OverlayAddress: VirtualService] = [:]
        var inForce: Set<ServiceTable> = []
        var named: Set<ServiceKey> = []
        for (key, value) in entries where key.family == 4 {
            let table = ServiceTable(key, value)
            inForce.insert(table)
            let key6 = value.key6(on: key.vni).map(ServiceKey.init)
            if let key6 { named.insert(key6) }
            let known = backends[table] ?? []
            guard let vni = VNI(key.vni), known.count == value.backends, pages[table] ?? 0 == value.pageCount,
                key6.map(addresses6.contains) ?? true
            else { continue }
            found[OverlayAddress(vni: vni, address: IPv4Address(networkOrder: value.ipv4))] = VirtualService(
                ipv6: key6.map { IPv6Address(words: $0.key.address) }, backends: known,
                isBySource: value.flags & WEFT_SERVICE_BY_SOURCE.rawValue != 0)
        }
        // What a process has left that was ended between two steps.
        for key in addresses6.subtracting(named) { try serviceMap.remove(key.key) }
        for key in try backendMap.all().map(\.0) where !inForce.contains(ServiceTable(key)) { try backendMap.remove(key) }
        for key in try servicePageMap.all().map(\.0) where !inForce.contains(ServiceTable(key)) {
            try servicePageMap.remove(key)
        }
        return found
    }

    package func putService(_ address: OverlayAddress, _ service: VirtualService) throws(BPFError) {
        guard let key = weft_service_key(address) else { return }
        let former = try serviceMap.get(key)
        let table = ServiceTable(vni: key.vni, ipv4: key.address.0, generation: (former?.generation ?? 0) &+ 1)
        let places = service.places
        try backendMap.put(service.backends.enumerated().map { (table.backendKey(UInt32($0)), weft_backend($1)) })
        try servicePageMap.put(weft_service_page.all(of: places).enumerated().map { (table.pageKey(UInt32($0)), $1) })
        let value = weft_service(
            ipv4: table.ipv4, generation: table.generation, backends: UInt32(service.backends.count),
            mask: UInt32(max(places.count, 1) - 1), flags: service.isBySource ? WEFT_SERVICE_BY_SOURCE.rawValue : 0,
            ipv6: service.ipv6?.words ?? (0, 0, 0, 0))
        let key6 = value.key6(on: key.vni)
        if let old = former?.key6(on: key.vni), key6.map(ServiceKey.init) != ServiceKey(key: old) { try serviceMap.remove(old) }
        try serviceMap.put(key, value)
        if let key6 { try serviceMap.put(key6, value) }
        if let former { try removeTables(of: former, ServiceTable(key, former)) }
    }

    package func removeService(_ address: OverlayAddress) throws(BPFError) {
        guard let key = weft_service_key(address), let former = try serviceMap.get(key) else { return }
        if let key6 = former.key6(on: key.vni) { try serviceMap.remove(key6) }
        try serviceMap.remove(key)
        try removeTables(of: former, ServiceTable(key, former))
    }

    private func removeTables(of service: weft_service, _ table: ServiceTable) throws(BPFError) {
        for page in 0..<service.pageCount { try servicePageMap.remove(table.pageKey(page)) }
        for index in 0..<service.backends { try backendMap.remove(table.backendKey(index)) }
    }
}

/// One generation of a service's tables.
private struct ServiceTable: Hashable {
    let vni: UInt32
    let ipv4: UInt32
    let generation: UInt32

    init(vni: UInt32, ipv4: UInt32, generation: UInt32) {
        self.vni = vni
        self.ipv4 = ipv4
        self.generation = generation
    }

    init(_ key: weft_backend_key) { self.init(vni: key.vni, ipv4: key.ipv4, generation: key.generation) }
    init(_ key: weft_service_page_key) { self.init(vni: key.vni, ipv4: key.ipv4, generation: key.generation) }
    /// The one in force.
    init(_ key: weft_service_key, _ value: weft_service) {
        self.init(vni: key.vni, ipv4: value.ipv4, generation: value.generation)
    }

    func backendKey(_ index: UInt32) -> weft_backend_key {
        weft_backend_key(vni: vni, ipv4: ipv4, generation: generation, index: index)
    }

    func pageKey(_ page: UInt32) -> weft_service_page_key {
        weft_service_page_key(vni: vni, ipv4: ipv4, generation: generation, page: page)
    }
}

/// A key that can be looked up.
private struct ServiceKey: Hashable {
    let key: weft_service_key

    static func == (left: Self, right: Self) -> Bool { left.words == right.words }
    func hash(into hasher: inout Hasher) { hasher.combine(words) }

    private var words: [UInt32] {
        [key.vni, key.family, key.address.0, key.address.1, key.address.2, key.address.3]
    }
}

extension weft_service_key {
    /// Nil for an address of IPv6: a service is known by the other.
    fileprivate init?(_ address: OverlayAddress) {
        guard case .v4(let ipv4) = address.address else { return nil }
        self.init(vni: address.vni.rawValue, family: 4, address: (ipv4.networkOrder, 0, 0, 0))
    }
}

extension weft_service {
    fileprivate var pageCount: UInt32 { backends == 0 ? 0 : (mask + 1) / WEFT_SERVICE_PAGE_PLACES }

    /// Nil for a service without an address of IPv6.
    fileprivate func key6(on vni: UInt32) -> weft_service_key? {
        IPv6Address(words: ipv6).isUnspecified ? nil : weft_service_key(vni: vni, family: 6, address: ipv6)
    }
}

extension weft_service_page {
    /// Places, a page at a time: a power of two of them, of at least one page.
    fileprivate static func all(of places: [UInt16]) -> [weft_service_page] {
        stride(from: 0, to: places.count, by: Int(WEFT_SERVICE_PAGE_PLACES)).map { start in
            var page = weft_service_page()
            withUnsafeMutableBytes(of: &page) { bytes in
                for index in 0..<Int(WEFT_SERVICE_PAGE_PLACES) {
                    bytes.storeBytes(of: places[start + index], toByteOffset: 2 * index, as: UInt16.self)
                }
            }
            return page
        }
    }
}

extension weft_backend {
    fileprivate init(_ backend: VirtualService.Backend) {
        self.init(ipv4: backend.ipv4.networkOrder, ipv6: backend.ipv6?.words ?? (0, 0, 0, 0))
    }
}

extension VirtualService.Backend {
    fileprivate init(_ value: weft_backend) {
        let ipv6 = IPv6Address(words: value.ipv6)
        self.init(ipv4: IPv4Address(networkOrder: value.ipv4), ipv6: ipv6.isUnspecified ? nil : ipv6)
    }
}
