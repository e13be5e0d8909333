import NIOCore

/// Who is to have a turn: askers one after the other, and of each what waits longest.
package struct TurnQueue<Asker: Hashable, Item> {
    private var askers = CircularBuffer<Asker>()
    private var items: [Asker: CircularBuffer<Item>] = [:]

    package init() {}

    package var isEmpty: Bool { askers.isEmpty }

    package mutating func append(_ item: Item, of asker: Asker) {
        if items[asker] == nil { askers.append(asker) }
        items[asker, default: CircularBuffer(initialCapacity: 1)].append(item)
    }

    package mutating func next() -> Item? {
        guard let asker = askers.popFirst(), let item = items[asker]?.popFirst() else { return nil }
        if items[asker]?.isEmpty == true { items[asker] = nil } else { askers.append(asker) }
        return item
    }
}
