/// A bag that nearly always holds one element, and then costs no allocation: a hundred thousand names are a hundred
/// thousand of these.
package struct Few<Element: Equatable & Sendable>: Sendable {
    private var first: Element?
    private var others: [Element] = []

    package init() {}

    package var isEmpty: Bool { first == nil }

    package mutating func insert(_ element: Element) {
        guard first != nil else {
            first = element
            return
        }
        others.append(element)
    }

    package mutating func remove(_ element: Element) {
        if first == element {
            first = others.popLast()
        } else if let index = others.firstIndex(of: element) {
            others.remove(at: index)
        }
    }

    package func forEach(_ body: (Element) -> Void) {
        if let first { body(first) }
        others.forEach(body)
    }

    package var count: Int { (first == nil ? 0 : 1) + others.count }

    package func contains(where condition: (Element) -> Bool) -> Bool {
        first.map(condition) ?? false || others.contains(where: condition)
    }
}

extension Few: Equatable {
    /// Order does not matter.
    package static func == (left: Self, right: Self) -> Bool {
        guard left.count == right.count else { return false }
        var isSame = true
        left.forEach { element in isSame = isSame && right.contains { $0 == element } }
        return isSame
    }
}
