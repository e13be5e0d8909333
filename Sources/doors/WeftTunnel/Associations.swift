internal import CTunnel
internal import Synchronization
internal import WeftESP

/// The keys that a packet may be sent and taken under, shared by the threads of the tunnel. Whoever changes them wakes nobody: a thread
/// sees with its next batch that there is a newer generation.
package final class Associations: Sendable {
    /// An AES-GCM key and its salt (RFC 4106, section 8.1). Overwritten when nobody has it any more.
    package final class Secret: Sendable {
        private nonisolated(unsafe) let octets: UnsafeMutablePointer<UInt8>
        private let keyLength: Int

        /// - Parameter material: the key of 16 or 32 octets, then the salt of 4; nil for another length.
        package init?(_ material: some Collection<UInt8>) {
            guard material.count == 20 || material.count == 36 else { return nil }
            octets = .allocate(capacity: material.count)
            for (index, octet) in material.enumerated() { octets[index] = octet }
            keyLength = material.count - 4
        }

        deinit {
            ctn_wipe(octets, keyLength + 4)
            octets.deallocate()
        }

        func makeKey(seals: Bool) -> SealingKey? { SealingKey(ctn_key_make(octets, keyLength, octets + keyLength, seals ? 1 : 0)) }
    }

    /// What is sent to a peer.
    package final class Outbound: Sendable {
        package let spi: UInt32
        /// Where to: the peer's address and port on the underlay, in the machine's order.
        package let address: UInt32
        package let port: UInt16
        let secret: Secret
        /// The number that was given out last. Threads take as many at once as a packet has segments.
        private let last: Atomic<UInt64>

        /// - Parameter lastSequence: what a predecessor sent last under the same key; 0 for a new key.
        package init(spi: UInt32, address: UInt32, port: UInt16, secret: Secret, lastSequence: UInt64 = 0) {
            self.spi = spi
            self.address = address
            self.port = port
            self.secret = secret
            last = Atomic(lastSequence)
        }

        /// The last number that was given out.
        package var lastSequence: UInt64 { last.load(ordering: .relaxed) }

        /// Numbers that nobody else gets: the first of them; nil when the key has no more (RFC 4303, 3.3.3).
        func take(_ count: Int) -> UInt64? {
            let taken = last.wrappingAdd(UInt64(count), ordering: .relaxed)
            guard taken.newValue > taken.oldValue, taken.newValue < UInt64.max - 1 << 32 else { return nil }
            return taken.oldValue + 1
        }
    }

    /// What is taken from a peer.
    package final class Inbound: Sendable {
        package let spi: UInt32
        /// The peer's data-path address in the machine's order: what the programs know it by, wherever the packet came from.
        package let peer: UInt32
        let secret: Secret
        let window = Mutex(ReplayWindow())

        package init(spi: UInt32, peer: UInt32, secret: Secret) {
            self.spi = spi
            self.peer = peer
            self.secret = secret
        }

        /// The highest number that was taken; 0 as long as nothing came.
        package var highestSequence: UInt64 { window.withLock { $0.highest } }
    }

    struct Tables: Sendable {
        /// By the peer's data-path address.
        var outbound: [UInt32: Outbound] = [:]
        var inbound: [UInt32: Inbound] = [:]
    }

    private let tables = Mutex(Tables())
    private let generation = Atomic<UInt64>(1)

    package init() {}

    var current: UInt64 { generation.load(ordering: .acquiring) }
    var snapshot: Tables { tables.withLock { $0 } }

    private func change(_ work: (inout Tables) -> Void) {
        tables.withLock { work(&$0) }
        generation.wrappingAdd(1, ordering: .releasing)
    }

    /// Packets to the peer go under this from now on; nil: they do not go at all.
    package func send(to peer: UInt32, under association: Outbound?) { change { $0.outbound[peer] = association } }

    /// False if the SPI is taken: to take another key under it would be to forget which numbers came.
    package func add(_ association: Inbound) -> Bool {
        let isNew = tables.withLock {
            guard $0.inbound[association.spi] == nil else { return false }
            $0.inbound[association.spi] = association
            return true
        }
        if isNew { generation.wrappingAdd(1, ordering: .releasing) }
        return isNew
    }

    package func removeInbound(_ spi: UInt32) { change { $0.inbound[spi] = nil } }
}

/// A key that is set up for one thread.
struct SealingKey: ~Copyable {
    private let key: OpaquePointer

    init?(_ key: OpaquePointer?) {
        guard let key else { return nil }
        self.key = key
    }

    deinit { ctn_key_free(key) }

    /// Encrypts a datagram that `ESPPacket.frame` has framed.
    /// - Parameter length: of what is encrypted.
    func seal(_ datagram: UnsafeMutableRawPointer, spi: UInt32, sequence: UInt64, length: Int, scratch: UnsafeMutableRawPointer) -> Bool {
        ESPPacket.writeAuthenticated(spi, sequence, to: scratch)
        let content = datagram + ESPPacket.headerLength
        return ctn_seal(
            key, (datagram + 8).assumingMemoryBound(to: UInt8.self), scratch.assumingMemoryBound(to: UInt8.self),
            ESPPacket.authenticatedLength, content.assumingMemoryBound(to: UInt8.self), length,
            (content + length).assumingMemoryBound(to: UInt8.self)) == 0
    }

    /// Decrypts a datagram to another place; false if it is not authentic.
    func open(
        _ datagram: UnsafeRawBufferPointer, spi: UInt32, sequence: UInt64, to place: UnsafeMutableRawPointer,
        scratch: UnsafeMutableRawPointer
    ) -> Bool {
        guard let start = datagram.baseAddress else { return false }
        ESPPacket.writeAuthenticated(spi, sequence, to: scratch)
        let length = datagram.count - ESPPacket.headerLength - ESPPacket.tagLength
        let content = start + ESPPacket.headerLength
        return ctn_open(
            key, (start + 8).assumingMemoryBound(to: UInt8.self), scratch.assumingMemoryBound(to: UInt8.self),
            ESPPacket.authenticatedLength, content.assumingMemoryBound(to: UInt8.self), place.assumingMemoryBound(to: UInt8.self), length,
            (content + length).assumingMemoryBound(to: UInt8.self)) == 0
    }
}

/// A peer as one thread sends to it.
final class SealingPeer {
    let association: Associations.Outbound
    let key: SealingKey

    /// Nil if the key cannot be set up.
    init?(_ association: Associations.Outbound) {
        guard let key = association.secret.makeKey(seals: true) else { return nil }
        self.association = association
        self.key = key
    }
}
