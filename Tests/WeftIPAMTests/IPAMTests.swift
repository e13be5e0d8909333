import TestSupport
import Testing
import WeftIPAM
import WeftModel
import WeftNet

func prefix(_ text: String) throws -> AnyIPPrefix { try #require(AnyIPPrefix(text)) }
func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

@Suite("Subnets and VNIs")
struct PoolTests {
    @Test("Subnets come in order, around what is taken")
    func subnets() throws {
        let pools = [try prefix("10.0.0.0/8")]
        #expect(try SubnetPool.choose(pools: pools, length: 24, avoiding: []) == prefix("10.0.0.0/24"))
        let taken = try ["10.0.0.0/24", "10.0.1.128/25", "10.0.2.0/23"].map(prefix)
        #expect(try SubnetPool.choose(pools: pools, length: 24, avoiding: taken) == prefix("10.0.4.0/24"))
        #expect(
            try SubnetPool.choose(pools: pools, length: 24, avoiding: [prefix("10.0.0.0/9")]) == prefix("10.128.0.0/24")
        )
    }

    @Test("The next pool follows when one is used up, and then there is none")
    func exhaustion() throws {
        let pools = try [prefix("10.1.0.0/30"), prefix("10.2.0.0/29")]
        #expect(try SubnetPool.choose(pools: pools, length: 30, avoiding: [pools[0]]) == prefix("10.2.0.0/30"))
        #expect(throws: IPAMError.poolsExhausted(pools: pools, length: 30)) {
            try SubnetPool.choose(pools: pools, length: 30, avoiding: pools)
        }
        #expect(throws: IPAMError.self) {
            try SubnetPool.choose(pools: [prefix("127.0.0.0/8")], length: 24, avoiding: [])
        }
    }

    @Test("A subnet given back is used again last")
    func resting() throws {
        let pools = [try prefix("10.0.0.0/23")]
        let old = try prefix("10.0.0.0/24")
        #expect(try SubnetPool.choose(pools: pools, length: 24, avoiding: [], resting: [old]) == prefix("10.0.1.0/24"))
        #expect(
            try SubnetPool.choose(pools: pools, length: 24, avoiding: [prefix("10.0.1.0/24")], resting: [old]) == old)
    }

    @Test("IPv6 subnets are found the same way, up to the end of the address space")
    func subnets6() throws {
        let pools = [try prefix("fd00:1:2::/48")]
        #expect(try SubnetPool.choose(pools: pools, length: 64, avoiding: []) == prefix("fd00:1:2::/64"))
        let taken = try ["fd00:1:2::/63", "fd00:1:2:2:8000::/80"].map(prefix)
        #expect(try SubnetPool.choose(pools: pools, length: 64, avoiding: taken) == prefix("fd00:1:2:3::/64"))
        let top = try prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120")
        #expect(PrefixSearch.firstFree(length: 121, in: top, avoiding: [top]) == nil)
        #expect(PrefixSearch.countFree(length: 122, in: top, avoiding: [], limit: 99) == 4)
        #expect(PrefixSearch.firstFree(length: 128, in: try prefix("::/0"), avoiding: []) == (try prefix("::/128")))
    }

    @Test("A search steps over taken space instead of trying all of it")
    func largeObstacles() throws {
        let space = try prefix("10.0.0.0/8")
        #expect(
            PrefixSearch.firstFree(length: 32, in: space, avoiding: [try prefix("10.0.0.0/9")])
                == (try prefix("10.128.0.0/32")))
        #expect(PrefixSearch.firstFree(length: 32, in: space, avoiding: [space]) == nil)
        #expect(PrefixSearch.firstFree(length: 7, in: space, avoiding: []) == nil)
        let top = try prefix("255.255.255.0/24")
        #expect(
            PrefixSearch.firstFree(length: 25, in: top, avoiding: [try prefix("255.255.255.0/25")])
                == (try prefix("255.255.255.128/25")))
        #expect(PrefixSearch.firstFree(length: 25, in: top, avoiding: [top]) == nil)
    }

    @Test("VNIs come from 4096 up, lowest first")
    func vnis() throws {
        #expect(try VNIPool.lowestFree(used: []).rawValue == 4096)
        let used = Set([4096, 4097, 4099].compactMap { VNI($0) })
        #expect(try VNIPool.lowestFree(used: used).rawValue == 4098)
        #expect(try VNIPool.lowestFree(used: used, resting: Set([VNI(4098)].compactMap(\.self))).rawValue == 4100)
    }
}

@Suite("A subnet's layout and leases")
struct SubnetTests {
    private func layout(_ subnet: String, _ change: (inout IPAMConfig<IPAddress>) throws -> Void = { _ in }) throws -> SubnetLayout {
        var ipam = IPAMConfig<IPAddress>()
        try change(&ipam)
        return try SubnetLayout(subnet: prefix(subnet), ipam: ipam)
    }

    @Test("The first host address is the gateway, unless said otherwise")
    func gateways() throws {
        #expect(try layout("10.0.1.0/24").gateway == address("10.0.1.1"))
        #expect(try layout("10.0.1.0/24") { $0.gateway = try address("10.0.1.254") }.gateway == address("10.0.1.254"))
        #expect(
            try layout("10.0.1.0/24") { $0.auxiliaryAddresses = ["r": try address("10.0.1.1")] }.gateway
                == address("10.0.1.2"))
    }

    @Test("What cannot work is refused")
    func refusals() throws {
        for subnet in [
            "10.0.0.0/31", "10.0.0.0/7", "127.0.0.0/16", "169.254.0.0/20", "224.1.0.0/16", "240.0.0.0/16", "0.0.0.0/8",
        ] {
            #expect(throws: IPAMError.self, "\(subnet)") { try layout(subnet) }
        }
        #expect(throws: IPAMError.gatewayUnusable(try address("10.0.2.1"), subnet: try prefix("10.0.1.0/24"))) {
            try layout("10.0.1.0/24") { $0.gateway = try address("10.0.2.1") }
        }
        #expect(throws: IPAMError.self) { try layout("10.0.1.0/24") { $0.gateway = try address("10.0.1.255") } }
        #expect(throws: IPAMError.self) { try layout("10.0.1.0/24") { $0.range = try prefix("10.0.2.0/25") } }
        #expect(throws: IPAMError.self) {
            try layout("10.0.1.0/24") { $0.auxiliaryAddresses = ["r": try address("10.0.9.1")] }
        }
        #expect(throws: IPAMError.self) {
            try layout("10.0.1.0/24") {
                $0.gateway = try address("10.0.1.1")
                $0.auxiliaryAddresses = ["r": try address("10.0.1.1")]
            }
        }
        // Nothing is left for endpoints.
        #expect(throws: IPAMError.self) {
            try layout("10.0.1.0/30") { $0.auxiliaryAddresses = ["r": try address("10.0.1.2")] }
        }
    }

    @Test(
        "Block lengths follow the subnet and the number of nodes",
        arguments: [
            ("10.0.0.0/24", 3, 29), ("10.0.0.0/16", 3, 26), ("10.0.0.0/28", 3, 32), ("10.0.0.0/24", 20, 31),
            ("10.0.0.0/24", 500, 32),
        ])
    func blockLengths(subnet: String, nodes: Int, length: Int) throws {
        #expect(try layout(subnet).blockLength(nodes: nodes) == length)
    }

    @Test("An IPv6 subnet has no broadcast address, but one of its routers")
    func layout6() throws {
        let layout = try layout("fd00:9::/64") { $0.auxiliaryAddresses = ["r": try address("fd00:9::2")] }
        #expect(layout.gateway == (try address("fd00:9::1")))
        #expect(layout.purpose(of: try address("fd00:9::"))?.contains("anycast") == true)
        for text in ["fd00:9::", "fd00:9::1", "fd00:9::2"] { #expect(!layout.isAssignable(try address(text))) }
        #expect(layout.isAssignable(try address("fd00:9::ffff:ffff:ffff:ffff")))
        #expect(layout.blockLength(nodes: 3) == 122 && layout.hostCount(in: layout.subnet) > 1 << 30)
        #expect(try self.layout("fd00:9::/120").blockLength(nodes: 3) == 125)
        for subnet in ["fd00::/47", "fd00::/121", "fe80::/64", "ff02::/64", "::/64", "::ffff:10.0.0.0/112"] {
            #expect(throws: IPAMError.self, "\(subnet)") { try self.layout(subnet) }
        }
        var leases = SubnetLeases(layout: layout)
        #expect(leases.freeBlock(nodes: 3) == (try prefix("fd00:9::8000:0:0:0/122")))
        leases.insert(try prefix("fd00:9::8000:0:0:0/122"), node: NodeID("n"))
        #expect(leases.lease(holding: try address("fd00:9::8000:0:0:3f"))?.node == NodeID("n"))
        #expect(leases.lease(holding: try address("fd00:9::8000:0:0:40")) == nil)
        var addresses = NodeAddresses(layout: layout)
        addresses.setBlocks([try prefix("fd00:9::/126"), try prefix("fd00:9::8000:0:0:0/122")])
        let start = Instant(nanoseconds: 0)
        #expect(try addresses.allocate(now: start) == address("fd00:9::3"))
        #expect(try addresses.allocate(now: start) == address("fd00:9::8000:0:0:0"))
        try addresses.claim(address("fd00:9::8000:0:0:9"))
        #expect(addresses.freshCount() == 62)
    }

    @Test("Reserved addresses are no endpoint's")
    func assignable() throws {
        let layout = try layout("10.0.1.0/24") { $0.auxiliaryAddresses = ["router": try address("10.0.1.9")] }
        for text in ["10.0.1.0", "10.0.1.1", "10.0.1.9", "10.0.1.255", "10.0.2.1"] {
            #expect(!layout.isAssignable(try address(text)))
            #expect(throws: IPAMError.self) { try layout.checkAssignable(address(text)) }
        }
        #expect(layout.isAssignable(try address("10.0.1.2")))
        #expect(layout.hostCount(in: try prefix("10.0.1.0/29")) == 6)
        #expect(layout.hostCount(in: try prefix("10.0.1.8/29")) == 7)
    }

    @Test("Blocks never overlap, and fragments around single addresses are used at last")
    func leases() throws {
        var leases = SubnetLeases(layout: try layout("10.0.1.0/24"))
        let node = NodeID("n1")
        leases.insert(try prefix("10.0.1.20/32"), node: NodeID("n2"))
        var given: [AnyIPPrefix] = []
        while let block = leases.freeBlock(nodes: 3) {
            #expect(!leases.owners.keys.contains { $0.overlaps(block) })
            leases.insert(block, node: node)
            given.append(block)
        }
        // The upper half first; people choose low addresses themselves.
        #expect(given.prefix(2) == (try ["10.0.1.128/29", "10.0.1.136/29"].map(prefix))[...])
        #expect(given.dropFirst(16).prefix(3) == (try ["10.0.1.0/29", "10.0.1.8/29", "10.0.1.24/29"].map(prefix))[...])
        // Every address but the single one is leased in the end.
        #expect(given.reduce(0) { $0 + (1 << ($1.width - $1.length)) } == 255)
        #expect(leases.lease(holding: try address("10.0.1.20"))?.node == NodeID("n2"))
        #expect(leases.lease(holding: try address("10.0.1.21"))?.node == node)
        #expect(leases.blocks(of: NodeID("n2")) == [try prefix("10.0.1.20/32")])
    }

    @Test("An IP range is where blocks come from")
    func ranges() throws {
        let leases = SubnetLeases(layout: try layout("10.9.0.0/24") { $0.range = try prefix("10.9.0.128/25") })
        #expect(leases.freeBlock(nodes: 3) == (try prefix("10.9.0.128/30")))
    }

    @Test("First blocks are given only while every node could have one")
    func firstBlocks() throws {
        var leases = SubnetLeases(layout: try layout("10.0.1.0/24"))
        #expect(leases.hasBlockForEach(nodes: 3))
        for index in 0..<30 {
            leases.insert(
                try #require(try prefix("10.0.1.0/24").subprefix(length: 29, index: UInt64(index))), node: NodeID("n"))
        }
        #expect(!leases.hasBlockForEach(nodes: 3) && leases.hasBlockForEach(nodes: 2))
        #expect(!SubnetLeases(layout: try layout("10.0.1.0/28")).hasBlockForEach(nodes: 1))
    }
}

@Suite("A node's own allocator")
struct NodeAddressesTests {
    private let start = Instant(nanoseconds: 0)

    private func allocator(_ blocks: String...) throws -> NodeAddresses {
        var allocator = NodeAddresses(layout: try SubnetLayout(subnet: prefix("10.0.1.0/24"), ipam: IPAMConfig<IPAddress>()))
        allocator.setBlocks(try blocks.map(prefix))
        return allocator
    }

    @Test("Addresses come serially, without the reserved ones, until there are none")
    func serial() throws {
        var addresses = try allocator("10.0.1.0/29")
        #expect(addresses.freshCount() == 6)
        let given = try (0..<6).map { _ in try addresses.allocate(now: start).description }
        #expect(given == (2...7).map { "10.0.1.\($0)" })
        #expect(throws: IPAMError.noFreeAddress) { try addresses.allocate(now: start) }
        #expect(addresses.freshCount() == 0)
    }

    @Test("A freed address comes after those that do not rest; where all others are in use, the longest freed is given at once")
    func rest() throws {
        var addresses = try allocator("10.0.1.8/30")
        let first = try addresses.allocate(now: start)
        addresses.release(first, now: start)
        let second = try addresses.allocate(now: start)
        #expect(second != first)
        _ = try addresses.allocate(now: start)
        _ = try addresses.allocate(now: start)
        addresses.release(second, now: start + .seconds(1))
        #expect(addresses.fresh() == nil && addresses.longestResting() == first)
        #expect(addresses.longestResting(held: [first]) == second, "never one that an interface has")
        #expect(try addresses.allocate(now: start + .seconds(1)) == first)
        #expect(try addresses.allocate(now: start + .seconds(1)) == second)
        #expect(throws: IPAMError.noFreeAddress) { try addresses.allocate(now: start + .seconds(2)) }
    }

    @Test("A rest ends after 60 s, and only the last one of an address counts")
    func restEnds() throws {
        var addresses = try allocator("10.0.1.8/31")
        let first = try addresses.allocate(now: start)
        addresses.release(first, now: start)
        try addresses.claim(first)
        addresses.release(first, now: start + .seconds(30))
        #expect(addresses.expireRests(now: start + .seconds(89)).isEmpty)
        #expect(addresses.expireRests(now: start + .seconds(90)) == [first] && addresses.freshCount() == 2)
    }

    @Test("Others get half of what is free at most, and at last the last address; nothing used, held, or under way")
    func spare() throws {
        var addresses = try allocator("10.0.1.8/29", "10.0.1.32/31")
        #expect(addresses.spare(held: []) { _ in false } == .prefix(try prefix("10.0.1.8/30")))
        let frozen = addresses.spare(held: []) { $0.length == 29 }
        #expect(frozen == .prefix(try prefix("10.0.1.32/31")))
        for text in (8...14).map({ "10.0.1.\($0)" }) + ["10.0.1.32"] { try addresses.claim(address(text)) }
        // Rather one that does not rest.
        addresses.release(try address("10.0.1.9"), now: start)
        addresses.release(try address("10.0.1.8"), now: start)
        #expect(addresses.spare(held: []) { _ in false } == .prefix(try prefix("10.0.1.15/32")))
        for text in ["10.0.1.8", "10.0.1.9", "10.0.1.15"] { try addresses.claim(address(text)) }
        let last = try address("10.0.1.33")
        #expect(addresses.spare(held: []) { _ in false } == .prefix(AnyIPPrefix(host: last)))
        #expect(addresses.spare(held: [last]) { _ in false } == .later)
        #expect(addresses.spare(held: []) { _ in true } == .later)
        try addresses.claim(last)
        #expect(addresses.spare(held: []) { _ in false } == .none)
    }

    @Test("Single addresses beside the IP range are for those who name them")
    func outsideTheRange() throws {
        let range = IPAMConfig<IPAddress>(range: try prefix("10.0.1.128/25"))
        var addresses = NodeAddresses(layout: try SubnetLayout(subnet: prefix("10.0.1.0/24"), ipam: range))
        addresses.setBlocks([try prefix("10.0.1.5/32")])
        try addresses.claim(address("10.0.1.5"))
        addresses.release(try address("10.0.1.5"), now: start)
        #expect(throws: IPAMError.noFreeAddress) { try addresses.allocate(now: start) }
        #expect(addresses.spare(held: []) { _ in false } == .none)
    }

    @Test("An address that an interface still holds is never given out")
    func held() throws {
        var addresses = try allocator("10.0.1.8/31")
        let held: Set = [try address("10.0.1.8")]
        #expect(try addresses.allocate(now: start, held: held) == address("10.0.1.9"))
        #expect(throws: IPAMError.noFreeAddress) { try addresses.allocate(now: start, held: held) }
        #expect(throws: IPAMError.addressHeld(try address("10.0.1.8"))) {
            try addresses.claim(address("10.0.1.8"), held: held)
        }
    }

    @Test("A particular address: leased, free, resting or not")
    func claims() throws {
        var addresses = try allocator("10.0.1.8/29")
        let wanted = try address("10.0.1.10")
        try addresses.claim(wanted)
        #expect(throws: IPAMError.addressInUse(wanted)) { try addresses.claim(wanted) }
        addresses.release(wanted, now: start)
        // Its own node may have it back at once: a container with a fixed address that restarts.
        try addresses.claim(wanted)
        #expect(throws: IPAMError.addressNotLeased(try address("10.0.1.77"))) {
            try addresses.claim(address("10.0.1.77"))
        }
        #expect(throws: IPAMError.self) { try addresses.claim(address("10.0.1.1")) }
        #expect(throws: IPAMError.self) { try addresses.claim(address("10.0.2.10")) }
    }

    @Test("Blocks go back when nothing in them is used or resting; one stays")
    func returns() throws {
        var addresses = try allocator("10.0.1.8/29", "10.0.1.16/29", "10.0.1.40/32")
        #expect(addresses.returnableBlocks() == (try ["10.0.1.16/29", "10.0.1.40/32"].map(prefix)))
        #expect(addresses.returnableBlocks(held: [try address("10.0.1.40")]) == [try prefix("10.0.1.16/29")])
        let used = try addresses.allocate(now: start)
        #expect(addresses.returnableBlocks() == [try prefix("10.0.1.40/32")])
        addresses.release(used, now: start)
        #expect(addresses.returnableBlocks() == [try prefix("10.0.1.40/32")])
        addresses.expireRests(now: start + .seconds(60))
        #expect(addresses.returnableBlocks().count == 2)
    }

    @Test("What is counted as it changes is what counting anew finds", arguments: 0..<20 as Range<UInt64>)
    func counts(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        var addresses = try allocator("10.0.1.8/29", "10.0.1.32/28")
        let blocks = try ["10.0.1.0/29", "10.0.1.8/29", "10.0.1.32/28", "10.0.1.64/30"].map(prefix)
        var now = start
        for _ in 0..<300 {
            now = now + .seconds(Int64.random(in: 0...20, using: &random))
            let some = IPAddress.v4(
                try #require(IPv4Address("10.0.1.0")?.advanced(by: UInt32.random(in: 0..<80, using: &random))))
            switch Int.random(in: 0..<7, using: &random) {
            case 0: addresses.setBlocks(blocks.filter { _ in Bool.random(using: &random) })
            case 1: try? addresses.claim(some)
            case 2: addresses.release(addresses.used.randomElement(using: &random) ?? some, now: now)
            case 3: addresses.expireRests(now: now)
            case 4: addresses.restoreRest(of: some, until: now + .seconds(30))
            case 5 where addresses.layout.isAssignable(some): addresses.restoreUse(of: some)
            default: _ = try? addresses.allocate(now: now)
            }
            #expect(addresses.used.isDisjoint(with: addresses.resting.keys))
            let busy = addresses.used.union(addresses.resting.keys)
            let free = addresses.blocks.reduce(0) { sum, block in
                sum + addresses.layout.hostCount(in: block) - busy.count { block.contains($0) }
            }
            #expect(addresses.freshCount() == free)
            for block in addresses.returnableBlocks() { #expect(!busy.contains(where: block.contains)) }
        }
    }
}
