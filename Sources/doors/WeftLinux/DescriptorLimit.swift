internal import Glibc

/// How many descriptors this process may have open (RLIMIT_NOFILE, getrlimit(2)).
package enum DescriptorLimit {
    package struct Raised: Hashable, Sendable {
        /// What children are to have that do not know of the other: select(2) takes no descriptor above 1023.
        package let former: Int
        package let current: Int
    }

    /// More than any host needs, and what kernels have as their own bound by default (fs.nr_open).
    private static let most: rlim_t = 1 << 20

    /// Raises the limit as far as this process may.
    package static func raise() throws(SystemError) -> Raised {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { throw .last("ask for the limit of open files") }
        let former = limit.rlim_cur
        limit.rlim_cur = max(former, min(limit.rlim_max, most))
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { throw .last("raise the limit of open files") }
        return Raised(former: Int(clamping: former), current: Int(clamping: limit.rlim_cur))
    }
}
