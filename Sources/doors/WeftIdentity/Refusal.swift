/// A refusal that the caller is to read.
package struct Refusal: Error, Hashable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// The secret or the caller is not accepted; trying again is of no use.
        case denied
        /// What was sent makes no sense.
        case invalid
        /// Not now: the swarm is not in a state for it.
        case unavailable
    }
    package let kind: Kind
    /// What is wrong, and what to do.
    package let sentence: String

    package init(_ kind: Kind, _ sentence: String) {
        self.kind = kind
        self.sentence = sentence
    }
    package var description: String { sentence }
}
