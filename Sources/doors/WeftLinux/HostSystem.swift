internal import CLinux
internal import Glibc

/// What weftd asks the machine about itself.
package enum HostSystem {
    package static var hostname: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
        return text(buffer)
    }

    /// `x86_64`, `aarch64`, …
    package static var architecture: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "unknown" }
        return withUnsafeBytes(of: names.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The kernel's release: `6.18.44`.
    package static var kernelRelease: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "unknown" }
        return withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// Whether the kernel has IPv6: it can be left out, or turned off when it starts (`ipv6.disable=1`).
    package static var hasIPv6: Bool { FileSystem.exists("/proc/net/if_inet6") }

    /// Processors online, at least one.
    package static var processorCount: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// Physical memory in bytes.
    package static var memoryBytes: Int64 {
        Int64(max(0, sysconf(Int32(_SC_PHYS_PAGES)))) * Int64(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    package static var wallClock: Int64 { clx_clock(CLOCK_REALTIME) }

    /// Nanoseconds of a clock that never goes back, from an arbitrary start; it stands still while the machine sleeps.
    package static var monotonicClock: Int64 { clx_clock(CLOCK_MONOTONIC) }

    /// `count` random bytes of the kernel's generator.
    package static func randomBytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<max(0, count)).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    private static func text(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Processes by number.
package enum ProcessTable {
    /// When a process started, in clock ticks since boot: with the number it identifies a process. Nil if there is none.
    package static func startTime(of pid: Int32) -> UInt64? {
        guard let text = try? FileSystem.readText("/proc/\(pid)/stat"), let close = text.lastIndex(of: ")") else {
            return nil
        }
        // Field 22; the name in parentheses, field 2, may hold spaces.
        let fields = text[text.index(after: close)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }

    /// Sends a signal; a process that is gone is no error.
    package static func kill(_ pid: Int32, signal: Int32) throws(SystemError) {
        // 0 and negative numbers address whole groups.
        guard pid > 0 else { throw SystemError("signal process \(pid)", code: EINVAL) }
        guard Glibc.kill(pid, signal) == 0 || errno == ESRCH else { throw .last("signal process \(pid)") }
    }

    package static func isAlive(_ pid: Int32) -> Bool { pid > 0 && (Glibc.kill(pid, 0) == 0 || errno == EPERM) }
}
