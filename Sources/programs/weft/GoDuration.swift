import ArgumentParser

/// A duration as Go writes it: `90m`, `2160h0m0s`, `1.5s`.
struct GoDuration: ExpressibleByArgument, Hashable {
    let nanoseconds: Int64

    private static let units: [(name: String, nanoseconds: Double)] = [
        ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
    ]

    init?(argument: String) {
        var rest = Substring(argument)
        var total = 0.0
        repeat {
            let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { !($0.isASCII && $0.isNumber || $0 == ".") }
            rest = rest.dropFirst(name.count)
            guard let number = Double(digits), let unit = Self.units.first(where: { $0.name == name }) else { return nil }
            total += number * unit.nanoseconds
        } while !rest.isEmpty
        guard let nanoseconds = Int64(exactly: total.rounded()) else { return nil }
        self.nanoseconds = nanoseconds
    }
}
