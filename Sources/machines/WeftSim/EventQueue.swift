import WeftModel

/// What happens next: events by time, those of one instant in the order in which they were planned.
struct EventQueue<Event> {
    private struct Entry {
        let time: Instant
        let number: UInt64
        let event: Event
        func isBefore(_ other: Entry) -> Bool { (time, number) < (other.time, other.number) }
    }

    /// A binary heap, the earliest first.
    private var heap: [Entry] = []
    private var count: UInt64 = 0

    mutating func plan(_ event: Event, at time: Instant) {
        count += 1
        heap.append(Entry(time: time, number: count, event: event))
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> (time: Instant, event: Event)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2]
                where child < heap.count && heap[child].isBefore(heap[least]) {
                    least = child
                }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return (first.time, first.event)
    }
}
