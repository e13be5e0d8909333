import NIOCore
import NIOPosix
import WeftDNS
import WeftWire

/// One query on its way to all resolvers at once. Confined to the server's event loop.
///
/// Each resolver gets its own socket, whose port the kernel draws, and its own random identifier: 32 bits that a
/// forger must guess (RFC 5452). The socket is connected, so that the kernel drops what others send to it.
final class UpstreamExchange {
    private let message: [UInt8]
    private let question: DNSQuestion
    private let servers: [SocketAddress]
    private let identifiers: [UInt16]
    private let overTCP: Bool
    private let times: DNSTimes
    /// The server is the one in this container.
    private let container: ContainerResolver?
    private let eventLoop: any EventLoop
    private var completion: (([UInt8]?) -> Void)?
    /// Is told whether a server answers.
    private let note: (SocketAddress, _ isSilent: Bool) -> Void

    private var race: UpstreamRace
    private var answers: [Int: [UInt8]] = [:]
    private var channels: [Int: any Channel] = [:]
    private var stream: (any Channel)?
    private var timers: [Scheduled<Void>] = []

    init(
        message: [UInt8], question: DNSQuestion, servers: [SocketAddress], identifiers: [UInt16], overTCP: Bool, times: DNSTimes,
        container: ContainerResolver? = nil, eventLoop: any EventLoop, note: @escaping (SocketAddress, _ isSilent: Bool) -> Void,
        completion: @escaping ([UInt8]?) -> Void
    ) {
        self.message = message
        self.question = question
        self.servers = servers
        self.identifiers = identifiers
        self.overTCP = overTCP
        self.times = times
        self.container = container
        self.eventLoop = eventLoop
        self.note = note
        self.completion = completion
        race = UpstreamRace(count: servers.count)
    }

    func start() {
        after(times.again) { exchange in
            for index in exchange.servers.indices where exchange.answers[index] == nil { exchange.send(index) }
        }
        after(times.answer) {
            $0.noteSilence()
            $0.perform($0.race.timedOut())
        }
        for index in servers.indices { open(index) }
    }

    /// Ends the exchange: `answer` goes to the client with the identifier it gave. The first call counts.
    func finish(_ answer: [UInt8]?) {
        guard let completion else { return }
        self.completion = nil
        closeAll()
        var answer = answer
        if answer != nil { answer?.replaceSubrange(0..<2, with: message[0..<2]) }
        completion(answer)
    }

    private func perform(_ verdict: UpstreamRace.Verdict) {
        guard completion != nil, stream == nil else { return }
        switch verdict {
        case .wait: break
        case .waitForGrace:
            after(.nanoseconds(Int64(UpstreamRace.grace / .nanoseconds(1)))) {
                $0.noteSilence()
                $0.perform($0.race.graceExpired())
            }
        case .giveUp: finish(nil)
        case .take(let index):
            guard let answer = answers[index] else { return finish(nil) }
            if overTCP, DNSHeader(message: answer)?.isTruncated == true {
                askAgainOverTCP(index)
            } else {
                finish(answer)
            }
        }
    }

    private func noteSilence() {
        guard completion != nil, stream == nil else { return }
        for index in race.silent { note(servers[index], true) }
    }

    /// True when the message answers what resolver `index` was asked.
    private func isAnswer(_ answer: [UInt8], from index: Int) -> Bool {
        guard let header = DNSHeader(message: answer), header.isResponse, header.opcode == .query,
            header.id == identifiers[index]
        else { return false }
        if let echoed = try? DNSQuestion(onlyQuestionOf: answer) { return echoed == question }
        // Some servers leave the question out when they could not read it.
        return header.responseCode == .formatError || header.responseCode == .notImplemented
    }

    private func closeAll() {
        for timer in timers { timer.cancel() }
        timers = []
        for channel in channels.values { channel.close(promise: nil) }
        channels = [:]
        stream?.close(promise: nil)
    }

    private func after(_ delay: TimeAmount, _ body: @escaping (UpstreamExchange) -> Void) {
        timers.append(
            eventLoop.assumeIsolated().scheduleTask(in: delay) { [weak self] in
                if let self { body(self) }
            })
    }
}

// MARK: UDP

extension UpstreamExchange {
    private func open(_ index: Int) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let bootstrap = DatagramBootstrap(group: eventLoop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: DNSMessage.sizeMax))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        UpstreamDatagramHandler(
                            onMessage: { bound.value.received($0, from: index) },
                            onError: { bound.value.perform(bound.value.race.failed(index)) }))
                }
            }
        connected(overTCP: false, { bootstrap.connect(to: servers[index]) }, { bootstrap.withBoundSocket($0) })
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel): self.opened(channel, index)
                case .failure: self.perform(self.race.failed(index))
                }
            }
    }

    /// A connection by `connect`, or by a socket that is connected in the container.
    private func connected(
        overTCP: Bool, _ connect: () -> EventLoopFuture<any Channel>, _ adopt: (Int32) -> EventLoopFuture<any Channel>
    ) -> EventLoopFuture<any Channel> {
        guard let container else { return connect() }
        do { return adopt(try container.connect(overTCP)) } catch { return eventLoop.makeFailedFuture(error) }
    }

    private func opened(_ channel: any Channel, _ index: Int) {
        guard completion != nil, stream == nil else {
            channel.close(promise: nil)
            return
        }
        channels[index] = channel
        send(index)
    }

    private func send(_ index: Int) {
        guard let channel = channels[index] else { return }
        var buffer = channel.allocator.buffer(bytes: message)
        buffer.setInteger(identifiers[index], at: buffer.readerIndex)
        channel.writeAndFlush(AddressedEnvelope(remoteAddress: servers[index], data: buffer), promise: nil)
    }

    private func received(_ answer: [UInt8], from index: Int) {
        guard completion != nil, stream == nil, isAnswer(answer, from: index),
            let header = DNSHeader(message: answer)
        else { return }
        answers[index] = answer
        note(servers[index], false)
        let hasRecords = header.isTruncated || answer[6] != 0 || answer[7] != 0
        perform(race.answered(index, header.responseCode, hasRecords: hasRecords))
    }
}

// MARK: TCP

extension UpstreamExchange {
    /// Fetches the whole of an answer that was cut off, for a client that can take it.
    private func askAgainOverTCP(_ index: Int) {
        closeAll()
        after(times.answer) { $0.finish(nil) }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(times.connect)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        UpstreamStreamHandler(
                            onMessage: { answer in
                                if bound.value.isAnswer(answer, from: index) { bound.value.finish(answer) }
                            },
                            onEnd: { bound.value.finish(nil) }))
                }
            }
        connected(overTCP: true, { bootstrap.connect(to: servers[index]) }, { bootstrap.withConnectedSocket($0) })
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel): self.openedStream(channel, index)
                case .failure: self.finish(nil)
                }
            }
    }

    private func openedStream(_ channel: any Channel, _ index: Int) {
        var message = message
        message[0] = UInt8(identifiers[index] >> 8)
        message[1] = UInt8(truncatingIfNeeded: identifiers[index])
        guard completion != nil, let framed = DNSStreamDecoder.frame(message) else {
            channel.close(promise: nil)
            return
        }
        stream = channel
        channel.writeAndFlush(channel.allocator.buffer(bytes: framed), promise: nil)
    }
}
