package import TestSupport

extension SplitMix {
    /// A sample with one to eight damages, or parts of two samples, or noise.
    package mutating func damaged(_ samples: [[UInt8]]) -> [UInt8] {
        guard var bytes = samples.randomElement(using: &self) else { return noise() }
        if Int.random(in: 0..<50, using: &self) == 0 { return noise() }
        if Int.random(in: 0..<6, using: &self) == 0, let other = samples.randomElement(using: &self) {
            bytes =
                Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &self)))
                + other.suffix(Int.random(in: 0...other.count, using: &self))
        }
        for _ in 0..<Int.random(in: 1...8, using: &self) { damage(&bytes) }
        return bytes
    }

    private mutating func noise() -> [UInt8] {
        (0..<Int.random(in: 0..<200, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    private mutating func damage(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else {
            bytes = noise()
            return
        }
        let place = Int.random(in: 0..<bytes.count, using: &self)
        switch Int.random(in: 0..<7, using: &self) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &self)
        case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &self)
        // Lengths and counts break at their ends.
        case 2: bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &self) ?? 0
        case 3: bytes.remove(at: place)
        case 4: bytes.insert(UInt8.random(in: 0...255, using: &self), at: place)
        case 5: bytes = Array(bytes.prefix(place))
        default:
            let piece = bytes[place...].prefix(Int.random(in: 1...32, using: &self))
            let times = Int.random(in: 1...20, using: &self)
            bytes.insert(contentsOf: (0..<times).flatMap { _ in piece }, at: place)
        }
    }
}
