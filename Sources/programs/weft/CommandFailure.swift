/// A command that failed: a sentence for the user and the exit code.
struct CommandFailure: Error {
    /// Empty when everything has been said already.
    let message: String
    let exitCode: Int32

    init(_ message: String, exitCode: Int32 = 1) {
        self.message = message
        self.exitCode = exitCode
    }
}
