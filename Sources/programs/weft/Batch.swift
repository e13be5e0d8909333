import WeftClient

/// Does the same to several objects: prints each name when it is done, goes on after a failure, and fails at the end.
func forEach(_ names: [String], _ body: (String) async throws -> Void) async throws {
    var failed = false
    for name in names {
        do {
            try await body(name)
            Terminal.line(name)
        } catch let error as ClientError {
            // Nobody else will answer either.
            guard error.status != nil else { throw error }
            Terminal.complain(error.description)
            failed = true
        }
    }
    if failed { throw CommandFailure("") }
}
