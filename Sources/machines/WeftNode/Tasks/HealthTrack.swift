package import WeftModel

/// When the health of a run is to be looked at, and what follows from what is seen, as Docker has it.
package struct HealthTrack: Hashable, Sendable {
    package let interval: Duration
    package let timeout: Duration
    private let startPeriod: Duration
    private let startInterval: Duration
    private let retries: Int64
    package private(set) var health: TaskHealth
    private var failures: Int64 = 0

    /// - Parameter health: what it was, of a run that an earlier weftd looked at.
    package init(_ check: ContainerSpec.Healthcheck, health: TaskHealth = .unknown) {
        func span(_ nanoseconds: Int64, _ usual: Duration) -> Duration { nanoseconds > 0 ? .nanoseconds(nanoseconds) : usual }
        interval = span(check.interval, .seconds(30))
        timeout = span(check.timeout, .seconds(30))
        startPeriod = span(check.startPeriod, .zero)
        startInterval = span(check.startInterval, .seconds(5))
        retries = check.retries > 0 ? check.retries : 3
        self.health = health
    }

    /// Until the next look, `age` after the start of the run.
    package func pause(age: Duration) -> Duration { isStarting(age) ? min(startInterval, interval) : interval }

    /// What a look that began at that age has shown.
    package mutating func note(isWell: Bool, age: Duration) {
        guard !isWell else {
            failures = 0
            health = .healthy
            return
        }
        guard !isStarting(age) else { return }
        failures += 1
        if failures >= retries { health = .unhealthy }
    }

    private func isStarting(_ age: Duration) -> Bool { health == .unknown && age < startPeriod }
}
