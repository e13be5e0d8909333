/// How secrets are written: an encoder and a decoder that have one under `CodingUserInfoKey.secretSeal` use it for every
/// `Secret`.
package struct SecretSeal: Sendable {
    /// Text to sealed text.
    package let seal: @Sendable (String) throws -> String
    /// Back again. Text that was never sealed comes back as it is.
    package let open: @Sendable (String) throws -> String

    package init(
        seal: @escaping @Sendable (String) throws -> String, open: @escaping @Sendable (String) throws -> String
    ) {
        self.seal = seal
        self.open = open
    }
}

extension CodingUserInfoKey {
    package static let secretSeal = CodingUserInfoKey(rawValue: "weft.secretSeal").unsafelyUnwrapped
}
