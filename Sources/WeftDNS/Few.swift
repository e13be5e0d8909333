/// A bag that nearly always holds one element, and then costs no allocation: a hundred thousand names are a hundred
/// thousand of these.
struct Few<Element: Equatable & Sendable>: Sendable {
    private var first: Element?
    private var others: [Element] = []

    var isEmpty: Bool { first == nil }

    mutating func insert(_ element: Element) {
        guard first != nil else {
            first = element
            return
        }
        others.append(element)
    }

    mutating func remove(_ element: Element) {
        if first == element {
            first = others.popLast()
        } else if let index = others.firstIndex(of: element) {
            others.remove(at: index)
        }
    }

    func forEach(_ body: (Element) -> Void) {
        if let first { body(first) }
        others.forEach(body)
    }
}
