/// A field of a received message that holds nothing Weft can mean.
package struct WireError: Error, Hashable, CustomStringConvertible {
    /// Path of the field, `assignments.networks[2].vni`.
    package let field: String
    package let problem: String

    /// The object it is in, if that has an id.
    package var object: String?

    /// How many more there were that nobody listed.
    package var others = 0

    package init(field: String, problem: String) {
        self.field = field
        self.problem = problem
    }

    package var description: String {
        "\(field): \(problem)" + (others > 0 ? " (and \(others) more in the same message)" : "")
    }
}
