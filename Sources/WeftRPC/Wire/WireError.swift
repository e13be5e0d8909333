/// A field of a received message that holds nothing Weft can mean.
package struct WireError: Error, Hashable, CustomStringConvertible {
    /// Path of the field, `assignments.networks[2].vni`.
    package let field: String
    package let problem: String

    package var description: String { "\(field): \(problem)" }
}
