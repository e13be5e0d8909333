/// A field of a received message that holds nothing Weft can mean.
package struct WireError: Error, Hashable, CustomStringConvertible {
    /// Path of the field, `assignments.networks[2].vni`.
    package let field: String
    package private(set) var problem: String

    /// The object it is in, if that has an id.
    package var object: String?

    /// How many more there were that nobody listed.
    package var others = 0

    package init(field: String, problem: String) {
        self.field = field
        self.problem = problem
    }

    /// Something of an object, which is taken without it.
    mutating func leaves(_ object: String, _ what: String) {
        self.object = object
        problem += "; the \(what) is known without it"
    }

    package var description: String {
        "\(field): \(problem)" + (others > 0 ? " (and \(others) more in the same message)" : "")
    }
}
