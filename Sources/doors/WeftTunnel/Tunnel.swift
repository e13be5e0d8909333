internal import CTunnel
internal import Glibc
package import WeftLinux
package import WeftTunnelWire

/// The tunnel of a node: its device's queues and its sockets, each pair with a thread for either direction.
package final class Tunnel: Sendable {
    package struct Options: Sendable {
        /// Of the TAP device, which others have made and set up, or is made and stays.
        package var device: String
        /// Of this node on the underlay, in the machine's order.
        package var address: UInt32
        /// Where ESP in UDP comes to (RFC 3948: 4500).
        package var port: UInt16
        /// The port of VXLAN inside: another than that in the clear, so that who decrypts in the kernel tells them apart.
        package var innerPort: UInt16
        /// Pairs of threads, 1 to 64.
        package var queues: Int

        package init(device: String, address: UInt32, port: UInt16 = 4500, innerPort: UInt16, queues: Int = 1) {
            self.device = device
            self.address = address
            self.port = port
            self.innerPort = innerPort
            self.queues = queues
        }
    }

    /// The form of the device's frames that this tunnel takes and makes.
    package static let frames = TunnelFrames.form

    private let associations = Associations()
    private let counters = Counters()
    private let prober: Prober
    private let pairs: [Pair]

    /// Opens device and sockets, and starts the threads: they live as long as the process.
    /// - Parameter failed: called once a thread cannot go on, on that thread.
    package init(_ options: Options, failed: @escaping @Sendable (SystemError) -> Void) throws(SystemError) {
        var pairs: [Pair] = []
        for _ in 0..<max(1, min(options.queues, 64)) {
            pairs.append(
                Pair(
                    queue: try TunnelQueue(options.device, keeps: true),
                    socket: try TunnelSocket(address: options.address, port: options.port, shares: options.queues > 1)))
        }
        prober = Prober(associations, pairs[0].socket, port: options.innerPort)
        self.pairs = pairs
        for pair in pairs {
            let (associations, counters, prober, port) = (associations, counters, prober, options.innerPort)
            try Thread.start("weft-seal") {
                var path = SendPath(pair.queue, pair.socket, associations: associations, counters: counters, port: port)
                do throws(SystemError) { while true { try path.step() } } catch { failed(error) }
            }
            try Thread.start("weft-open") {
                var path = ReceivePath(
                    pair.queue, pair.socket, associations: associations, counters: counters, prober: prober, port: port)
                do throws(SystemError) { while true { try path.step() } } catch { failed(error) }
            }
        }
    }

    private final class Pair: Sendable {
        let queue: TunnelQueue
        let socket: TunnelSocket

        init(queue: consuming TunnelQueue, socket: consuming TunnelSocket) {
            self.queue = queue
            self.socket = socket
        }
    }

    /// Keeps the process's memory from disks and from other processes; false if some of it could not be had.
    package static func keepSecrets() -> Bool { ctn_keep_secrets() == 0 }

    /// Does what is asked.
    package func answer(_ request: TunnelRequest) -> TunnelReply {
        switch request {
        case .send(let peer, nil):
            associations.send(to: peer, under: nil)
            prober.forget(peer)
        case .send(let peer, let association?):
            guard let secret = Associations.Secret(association.material) else {
                return .refused("a key has 16 or 32 bytes, and 4 of salt")
            }
            associations.send(
                to: peer,
                under: Associations.Outbound(
                    spi: association.spi, address: association.address, port: association.port, secret: secret,
                    lastSequence: association.lastSequence))
        case .receive(let association):
            guard let secret = Associations.Secret(association.material) else {
                return .refused("a key has 16 or 32 bytes, and 4 of salt")
            }
            guard associations.add(Associations.Inbound(spi: association.spi, peer: association.peer, secret: secret)) else {
                return .refused("SPI \(association.spi) is taken: its replay window would begin anew")
            }
        case .refuse(let spi):
            associations.removeInbound(spi)
        case .status:
            return .status(status)
        case .probe(let peer, let number, let length):
            if !prober.ask(peer, number: number, length: Int(length)) { return .refused("there is no key for peer \(peer)") }
        case .probes:
            return .probes(prober.results)
        }
        return .done
    }

    private var status: TunnelStatus {
        let tables = associations.snapshot
        return TunnelStatus(
            counts: Counters.Event.allCases.map { counters[$0] },
            outbound: tables.outbound.sorted { $0.key < $1.key }.map {
                .init(peer: $0.key, spi: $0.value.spi, lastSequence: $0.value.lastSequence)
            },
            inbound: tables.inbound.values.sorted { $0.spi < $1.spi }.map {
                .init(spi: $0.spi, peer: $0.peer, highestSequence: $0.highestSequence)
            })
    }
}

/// A thread of the kernel's, with nothing above it.
private enum Thread {
    private final class Work: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(name, body))
        let failed = pthread_create(
            &thread, nil,
            {
                guard let argument = $0 else { return nil }
                let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
                ctn_name_thread(work.name)
                work.body()
                return nil
            }, work.toOpaque())
        guard failed == 0 else {
            work.release()
            throw SystemError("start a thread", code: failed)
        }
        pthread_detach(thread)
    }
}
