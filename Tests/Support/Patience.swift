/// How long a test waits for what must come. As soon as it is there the wait is over, so only a test that fails takes so long:
/// the machine may be slow, and busy with other things.
package let patience = Duration.seconds(60)

/// The same in seconds, for system calls and for programs.
package let patienceSeconds = 60

package struct NeverCame: Error, CustomStringConvertible {
    package let description: String
}

/// Waits until the condition holds.
package func eventually(
    _ what: @autoclosure () -> String, within limit: Duration = patience, _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else { throw NeverCame(description: what()) }
        try await Task.sleep(for: .milliseconds(5))
    }
}
