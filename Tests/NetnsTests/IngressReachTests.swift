import Glibc
import TestSupport
import Testing
import WeftBPF
import WeftDatapath
import WeftKernel
import WeftLinux
import WeftModel
import WeftNet

/// Where ports are published and for whom, and by what else than the host's usual interfaces they are reached.
extension IngressTests {
    @Test("at an address of its own a port is published there alone, as soon as the host has it", arguments: [4, 6])
    func addresses(family: Int) throws {
        let (own, late) = family == 4 ? ("198.51.100.9", "198.51.100.10") : ("2001:db8:9::9", "2001:db8:9::10")
        let length = family == 4 ? 32 : 128
        if family == 6 { try run(in: h1, "ip -6 addr add \(own)/128 dev out0 nodad") }
        let text = family == 4 ? "198.51.100.9,198.51.100.10" : "2001:db8:9::9,2001:db8:9::10"
        swarm.services[0].labels[IngressLabels.addressesKey] = text
        try converge()
        func told(_ address: String) throws -> String { try python(out, #"print(told(lambda: ask(tcp("\#(address)", 8080)) in "bc"))"#) }
        #expect(try told(own) == "True")
        #expect(try told(Self.asked[family == 4 ? 0 : 1]) == "ConnectionRefusedError")
        try run(in: h1, "ip addr add \(late)/\(length) dev out0 \(family == 4 ? "" : "nodad")")
        #expect(try eventually { try told(late) == "True" })
        // What is free of the port, others may have; what is not, they may not.
        let kind = family == 4 ? "AF_INET" : "AF_INET6"
        func bind(_ address: String) -> String { #"import socket; s = socket.socket(socket.\#(kind)); s.bind(("\#(address)", 8080))"# }
        try run(in: h1, "python3 -c '\(bind(Self.asked[family == 4 ? 0 : 1]))'")
        #expect(throws: (any Error).self) { try run(in: h1, "python3 -c '\(bind(own))' 2>/dev/null") }
        #expect(throws: (any Error).self) { try run(in: h1, "python3 -c '\(bind(late))' 2>/dev/null") }
        swarm.services[0].labels = [:]
        try converge()
        #expect(try told(Self.asked[family == 4 ? 0 : 1]) == "True")
    }

    @Test("clients of other networks than it is published for get no answer; open connections stay", arguments: asked)
    func sources(asked: String) throws {
        let open = try BackgroundClient(
            prefix, out, #"s = tcp("\#(asked)", 8080); ask(s); print("ready"); wait(1); print("kept", ask(s) in "bc")"#)
        #expect(try open.tells("ready"))
        func told() throws -> String {
            try python(
                out,
                """
                def short(s): s.settimeout(1.5); return s
                s = short(socket.socket(family("\(asked)"))); u = short(udp("\(asked)", 8080))
                print(told(lambda: s.connect(("\(asked)", 8080))), told(lambda: [u.send(b"x"), u.recv(9)][1][1:]))
                """)
        }
        swarm.services[0].labels[IngressLabels.fromKey] = "203.0.113.0/24,2001:db8:8::/64"
        try converge()
        let denied = try first.counters()[EndpointID?.none]?.dropped[.notAllowed] ?? 0
        #expect(try told() == "TimeoutError TimeoutError")
        #expect(try first.counters()[EndpointID?.none]?.dropped[.notAllowed] ?? 0 >= denied + 2)
        try open.go(1)
        #expect(try open.tells("kept True"))
        swarm.services[0].labels[IngressLabels.fromKey] = "203.0.113.0/24,198.51.100.2,2001:db8:9::/64"
        try converge()
        #expect(try told() == "None b'x'")
        swarm.services[0].labels = [:]
        try converge()
        #expect(try told() == "None b'x'")
    }

    @Test("by a narrow tunnel answers come in parts that it carries, and both ends of TCP know", arguments: asked)
    func narrow(asked: String) throws {
        try run(in: h1, "ip link set eth0 mtu 1400")
        swarm.underlayMTUs[0] = try #require(MTU(1400))
        swarm.turn("c", .draining)
        try converge()
        let told = try python(
            out,
            """
            s = tcp("\(asked)", 8080); most = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            assert most <= 1350 - \(asked.contains(":") ? 60 : 40), most
            n = 0
            for i in range(100): s.sendall(b"x" * 50000)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536): n += 1
            u = udp("\(asked)", 8080); u.settimeout(2); sizes = []
            for size in (1320, 1400, 1400, 4000):
                for attempt in range(5):
                    try: u.send(b"x" * size); sizes.append(len(u.recv(9000)) - 1); break
                    except OSError: pass
            print(n > 0, *sizes)
            """)
        #expect(told == "True 1320 1400 1400 4000")
    }

    @Test("sandboxes reach published ports at their own host's addresses", arguments: ["172.30.0.1", "198.51.100.9"])
    func hairpin(address: String) throws {
        let told = try python(
            c,
            """
            names = set(); whose = set(); sizes = set()
            for i in range(30):
                s = tcp("\(address)", 8080); names.add(ask(s)); whose.add(ask(s, b"whose"))
                assert s.getpeername() == ("\(address)", 8080)
                s.close()
            s = tcp("\(address)", 8090); n = 0
            for i in range(50): s.sendall(b"x" * 50000)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536): n += 1
            for size in (1, 4000):
                for i in range(10):
                    u = udp("\(address)", 8080); u.settimeout(2)
                    for attempt in range(5):
                        try: u.send(b"x" * size); d = u.recv(9000); break
                        except OSError: pass
                    names.add(chr(d[0])); sizes.add(len(d))
            print("".join(sorted(names)), n > 0, *sorted(sizes), *whose)
            """)
        #expect(told == "bc True 2 4001 ::ffff:10.77.40.11")
        // What is not published is what it was.
        #expect(
            try python(c, #"s = udp("\#(address)", 9999); s.settimeout(0.5); s.send(b"x"); print(told(lambda: s.recv(9)))"#)
                == "TimeoutError")
        swarm.turn("b", .draining)
        swarm.turn("c", .waiting)
        try converge()
        #expect(
            try python(
                c, #"s = udp("\#(address)", 8080); s.send(b"x"); print(told(lambda: tcp("\#(address)", 8080)), told(lambda: s.recv(9)))"#)
                == "ConnectionRefusedError ConnectionRefusedError")
    }

    @Test("a sandbox that asks its host's address is told what its task says, and let in as its address may be")
    func hairpinErrors() throws {
        swarm.services[0].ports = [Self.port(8080, 98, .tcp), Self.port(8080, 99, .udp), Self.port(8090, 80, .tcp)]
        swarm.services[0].labels[IngressLabels.addressesKey] = "198.51.100.9:8090"
        try converge()
        for _ in 0..<4 {
            #expect(
                try python(
                    c,
                    """
                    s = udp("172.30.0.1", 8080); s.send(b"x")
                    print(told(lambda: tcp("172.30.0.1", 8080)), told(lambda: s.recv(9)), ask(tcp("198.51.100.9", 8090)) in "bc")
                    """) == "ConnectionRefusedError ConnectionRefusedError True")
        }
        swarm.services[0].labels[IngressLabels.fromKey] = "10.77.99.0/24"
        try converge()
        let lines = #"s = socket.socket(); s.settimeout(1); print(told(lambda: s.connect(("198.51.100.9", 8090))))"#
        #expect(try python(c, lines) == "TimeoutError")
        swarm.services[0].labels[IngressLabels.fromKey] = "10.77.41.0/24"
        try converge()
        #expect(try python(c, lines) == "None")
    }

    @Test(
        "the host's own connections to the service's address reach its tasks, with and without help at the socket",
        arguments: [true, false])
    func virtualAddress(hasHooks: Bool) throws {
        let names = #"r = set(ask(tcp("10.77.40.100", 80)) for i in range(30)); print("".join(sorted(r)))"#
        if !hasHooks {
            first = try topology.datapath("h1", translation: .interface)
            try converge()
        }
        #expect(try python(h1, names) == "bc")
        #expect(try python(h1, names.replacing("10.77.40.100", with: "fd77:40::64")) == "bc")
    }

    /// Two tun devices, whatever is sent into one comes out of the other. It ends when who started it does.
    static let pipe = """
        import fcntl, os, select, struct
        ends = {}
        for name in b"tn0", b"tn1":
            ends[name] = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(ends[name], 0x400454ca, struct.pack("16sH22x", name, 0x1001))  # TUNSETIFF: IFF_TUN, IFF_NO_PI
        one, other = ends.values(); parent = os.getppid(); print("ready", flush=True)
        while os.getppid() == parent:
            for end in select.select([one, other], [], [], 1)[0]:
                try: os.write(other if end == one else one, os.read(end, 65536))
                except OSError: pass
        """

    @Test("by interfaces without an Ethernet header ports are reached, too", arguments: [4, 6])
    func bare(family: Int) throws {
        let isSix = family == 6
        let (near, far) = isSix ? ("2001:db8:a::1", "2001:db8:a::2") : ("192.0.2.33", "192.0.2.34")
        let pipe = try BackgroundClient(prefix, h1, Self.pipe)
        #expect(try pipe.tells("ready"))
        try run(in: h1, "ip link set tn1 netns \(try #require(out.path?.split(separator: "/").last))")
        for (namespace, device, address) in [(h1, "tn0", near), (out, "tn1", far)] {
            try run(
                in: namespace,
                "ip link set \(device) up; ip addr add \(address)/\(isSix ? "64" : "30") dev \(device) \(isSix ? "nodad" : "")")
        }
        #expect(try eventually { try first.observe(for: swarm.desired(0).host).published.count == 3 })
        let told = try python(
            out,
            """
            names = set(); whose = set(); sizes = set()
            for i in range(30):
                s = tcp("\(near)", 8080); names.add(ask(s)); whose.add(ask(s, b"whose")); s.close()
                u = udp("\(near)", 8080); u.settimeout(2)
                for attempt in range(5):
                    try: u.send(b"x" * 2000); d = u.recv(9000); break
                    except OSError: pass
                names.add(chr(d[0])); sizes.add(len(d))
            s = tcp("\(near)", 8090); n = 0
            for i in range(50): s.sendall(b"x" * 50000)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536): n += 1
            print("".join(sorted(names)), n > 0, *sizes, *whose, told(lambda: tcp("\(near)", 8081)))
            """)
        #expect(told == "bc True 2001 \(isSix ? far : "::ffff:" + far) ConnectionRefusedError")
        #expect(answers(far, from: h1) && answers(near, from: out))
        swarm.turn("b", .draining)
        swarm.turn("c", .waiting)
        try converge()
        #expect(
            try python(
                out, #"s = udp("\#(near)", 8080); s.send(b"x"); print(told(lambda: tcp("\#(near)", 8080)), told(lambda: s.recv(9)))"#)
                == "ConnectionRefusedError ConnectionRefusedError")
    }

    @Test("by filters of clsact, as on a kernel without tcx, ports are published just so, and nothing of it is left")
    func clsact() throws {
        let told = #"print(ask(tcp("198.51.100.1", 8080)) in "bc", ask(tcp("2001:db8:9::1", 8080)) in "bc")"#
        func filters() throws -> String { try run(in: h1, "tc filter show dev out0 ingress") }
        for _ in 0..<2 {
            first = try topology.datapath("h1", attachment: .tc)
            try converge()
            #expect(try filters().contains("weft_from_outside"))
            #expect(try python(out, told) == "True True")
        }
        try run(in: h1, "ip link add br9 type bridge; ip link set br9 up")
        #expect(try eventually { try run(in: h1, "tc filter show dev br9 ingress").contains("weft_from_outside") })
        swarm.services[0].ports = []
        try converge()
        #expect(try filters().isEmpty && !run(in: h1, "tc qdisc show dev out0").contains("clsact"))
        #expect(try !run(in: h1, "tc qdisc show dev br9").contains("clsact"))
    }

    @Test("with dsr a task elsewhere answers by its own node's way to the client, as from what was asked")
    func direct() throws {
        let name = try #require(out.path?.split(separator: "/").last)
        try run(
            in: h2,
            """
            ip link add dsr0 type veth peer name dsr1 netns \(name); ip addr add 192.0.2.77/32 dev dsr0; ip link set dsr0 up
            ip route add 198.51.100.2/32 dev dsr0
            """)
        try run(in: out, "ip link set dsr1 up; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.dsr1.rp_filter=0")
        swarm.services[0].labels[IngressLabels.directKey] = "true"
        swarm.turn("c", .draining)
        try converge()
        let told = try python(
            out,
            """
            def received(name): return int(open("/proc/net/dev").read().split(name + ":")[1].split()[1])
            was = received("eth0"), received("dsr1"); names = set(); whose = set(); sizes = []
            for port in range(5000, 5010):
                s = [tcp(a, p, source=port) for a, p in
                     [("198.51.100.1", 8080), ("198.51.100.1", 8090), ("198.51.100.9", 8080), ("198.51.100.9", 8090)]]
                for i in range(2): names |= {ask(x) for x in s}; whose |= {ask(x, b"whose") for x in s}
                for x in s: end(x)
            s = tcp("198.51.100.1", 8080); n = 0
            for i in range(100): s.sendall(b"x" * 50000)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536): n += 1
            for size in (1, 1400, 4000):
                u = udp("198.51.100.1", 8080); u.settimeout(2)
                for attempt in range(5):
                    try: u.send(b"x" * size); sizes.append(len(u.recv(9000)) - 1); break
                    except OSError: pass
            now = received("eth0"), received("dsr1")
            # By the host that was asked comes what does not fit its tunnel, and no answer.
            print(*names, *whose, n > 0, *sizes, now[1] - was[1] > 200, now[0] - was[0] < 30)
            """)
        // The usual way by an encrypted network.
        let way = encryptsNetworks ? "False False" : "True True"
        #expect(told == "b ::ffff:198.51.100.2 True 1 1400 4000 \(way)")
        swarm.services[0].ports = [Self.port(8080, 98, .tcp), Self.port(8080, 99, .udp)]
        try converge()
        #expect(
            try python(
                out,
                """
                s = udp("198.51.100.1", 8080); s.send(b"x")
                print(told(lambda: tcp("198.51.100.1", 8080)), told(lambda: s.recv(10)))
                """) == "ConnectionRefusedError ConnectionRefusedError")
        // A task where it enters is none of that.
        swarm.services[0].ports = [Self.port(8080, 80, .tcp)]
        swarm.turn("b", .draining)
        swarm.turn("c", .serving)
        try converge()
        #expect(try python(out, #"print(ask(tcp("198.51.100.1", 8080)))"#) == "c")
    }
}
