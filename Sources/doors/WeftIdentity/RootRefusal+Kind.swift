package import WeftModel

extension RootRefusal: KindedError {
    package var errorKind: ErrorKind { .invalid }
    /// Docker's clients expect it with the words of its inner calls.
    package var sentence: String { "rpc error: code = InvalidArgument desc = \(self)" }
}
