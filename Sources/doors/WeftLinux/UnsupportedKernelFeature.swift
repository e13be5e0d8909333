/// Something that was asked for and that this host's kernel lacks.
package struct UnsupportedKernelFeature: Error, Hashable, Sendable, CustomStringConvertible {
    /// What it is: "attaching programs by tcx".
    package let name: String
    /// The first version of Linux that has it; nil where it depends on how the kernel was built or started.
    package let since: String?
    /// What to do about it, as a clause: "attach them by tc".
    package let advice: String

    package init(_ name: String, since: String? = nil, advice: String) {
        self.name = name
        self.since = since
        self.advice = advice
    }

    package var description: String {
        "This host's kernel does not support \(name)" + (since.map { " (Linux \($0) does)" } ?? "") + ": \(advice)."
    }
}
