import WeftSandboxWire
import WeftWire

extension FuzzTarget {
    /// Everything that Weft reads from the kernel, out of one datagram.
    static let netlink = FuzzTarget(
        name: "netlink",
        samples: [
            // RTM_NEWLINK for lo: header, ifinfomsg, IFLA_IFNAME, IFLA_MTU, an empty nested IFLA_LINKINFO.
            [
                56, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 3, 1, 0, 0, 0, 73, 0, 1, 0, 0, 0, 0, 0,
                7, 0, 3, 0, 108, 111, 0, 0, 8, 0, 4, 0, 0, 0, 1, 0, 8, 0, 18, 0, 4, 0, 1, 0,
            ],
            // RTM_NEWROUTE 10.0.0.0/8 dev 2.
            [
                44, 0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 8, 0, 0, 254, 3, 253, 1, 0, 0, 0, 0,
                8, 0, 1, 0, 10, 0, 0, 0, 8, 0, 4, 0, 2, 0, 0, 0,
            ],
            // NLMSG_ERROR of ENOENT.
            [36, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 20, 0, 0, 0, 16, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        ]
    ) { bytes throws(FuzzFinding) in
        for message in NetlinkMessage.parse(bytes) ?? [] {
            _ = LinkMessage(message)
            _ = RouteMessage(message)
            _ = RuleMessage(message)
            _ = AddressMessage(message)
            _ = NeighbourMessage(message)
            _ = FilterMessage(message)
        }
    }

    /// A frame that reads is written to the same bytes.
    static let logFrame = FuzzTarget(
        name: "log-frame", samples: [LogFrame(time: 1_700_000_000_000, stream: .output, bytes: Array("hello\n".utf8)).encoded()]
    ) { bytes throws(FuzzFinding) in
        guard let (frame, size) = (try? LogFrame.decode(bytes[...])) ?? nil else { return }
        try same(frame.encoded(), Array(bytes.prefix(size)), "a log frame")
    }

    /// A stream, read whole and in pieces, tells the same messages.
    static let shimMessages = FuzzTarget(
        name: "shim-messages",
        samples: [
            ShimMessage.input(Array("ls\n".utf8)).encoded() + ShimMessage.exited(code: 7).encoded(),
            ShimMessage.launch(.sample).encoded(),
            ShimMessage.signal(9).encoded() + ShimMessage.resize(TerminalSize(rows: 24, columns: 80)).encoded(),
        ]
    ) { bytes throws(FuzzFinding) in
        func messages(_ pieces: [ArraySlice<UInt8>]) -> [ShimMessage] {
            var buffer = ShimMessage.Buffer()
            var result: [ShimMessage] = []
            for piece in pieces {
                buffer.append(piece)
                while let message = (try? buffer.next()) ?? nil { result.append(message) }
            }
            return result
        }
        let whole = messages([bytes[...]])
        // Only as long as nothing is wrong: what follows a wrong message is not read.
        var buffer = ShimMessage.Buffer()
        buffer.append(bytes)
        do { while try buffer.next() != nil {} } catch { return }
        try same(messages(bytes.indices.map { bytes[$0...$0] }), whole, "in pieces and whole")
    }
}

extension LaunchRequest {
    fileprivate static var sample: LaunchRequest {
        var request = LaunchRequest(
            directory: "/run/a", hostname: "a", rootfs: "",
            process: ProcessRequest(command: ["a"], environment: ["A=b"], workingDirectory: "/", terminal: false, openInput: false),
            mounts: [SandboxMount(source: "/a", target: "/b", isReadOnly: true), SandboxMount(source: nil, target: "/c")],
            sysctls: ["net/a", "1"])
        request.confinement.user = "a"
        request.confinement.limits = [Confinement.Limit(name: "nofile", resource: 7, soft: 1, hard: .max)]
        return request
    }
}
