import Testing
import WeftAgent

@Suite struct TurnQueueTests {
    @Test func `askers have their turn one after the other, each with its oldest`() {
        var queue = TurnQueue<String, Int>()
        for item in 0..<1000 { queue.append(item, of: "busy") }
        queue.append(1000, of: "other")
        queue.append(1001, of: "third")
        #expect((0..<5).map { _ in queue.next() } == [0, 1000, 1001, 1, 2])
        queue.append(1002, of: "other")
        #expect((0..<3).map { _ in queue.next() } == [3, 1002, 4])
    }

    @Test func `it ends when all had theirs`() {
        var queue = TurnQueue<String, Int>()
        #expect(queue.isEmpty && queue.next() == nil)
        for item in 0..<3 { queue.append(item, of: "a") }
        #expect(!queue.isEmpty)
        for item in 0..<3 { #expect(queue.next() == item) }
        #expect(queue.isEmpty && queue.next() == nil)
        queue.append(9, of: "a")
        #expect(queue.next() == 9)
    }
}
