import Glibc

/// Standard output and error, and whether a person sits at them.
enum Terminal {
    enum Stream: Int32 {
        case output = 1
        case error = 2
    }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Writes all of it; a reader that went away ends the command as it does for other programs.
    static func print(_ text: some StringProtocol, to stream: Stream = .output) { print(bytes: Array(text.utf8), to: stream) }

    /// The same of what need not be text.
    static func print(bytes: [UInt8], to stream: Stream = .output) {
        var bytes = bytes[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { write(stream.rawValue, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                return
            }
            bytes = bytes.dropFirst(written)
        }
    }

    static func line(_ text: some StringProtocol) { print(text + "\n") }

    /// `weft: …`, the mark in red where someone looks at it.
    static func complain(_ sentence: String) {
        let mark =
            isTerminal(Stream.error.rawValue) && environment("NO_COLOR") == nil ? "\u{1b}[31mweft:\u{1b}[0m" : "weft:"
        print("\(mark) \(sentence)\n", to: .error)
    }

    static func environment(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        return String(cString: value)
    }

    static var workingDirectory: String? {
        guard let path = getcwd(nil, 0) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    static func exit(_ code: Int32) -> Never { Glibc.exit(code) }

    /// Seconds since 1970.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec)
    }

    /// A line of the standard input, without showing it where a person types it; nil at its end.
    static func secret(prompt: String) -> String? {
        var shown = termios()
        guard isTerminal(STDIN_FILENO), tcgetattr(STDIN_FILENO, &shown) == 0 else { return readLine() }
        print(prompt, to: .error)
        var hidden = shown
        hidden.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden)
        defer {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown)
            print("\n", to: .error)
        }
        return readLine()
    }

    /// Asks, and takes `y` for yes; the end of the standard input is no.
    static func confirms(_ question: String) -> Bool {
        print("\(question) [y/N] ")
        return readLine().map { $0.lowercased() == "y" } ?? false
    }

    /// A file's text; nil when it cannot be read.
    static func contents(of path: String) -> String? { bytes(of: path).map { String(decoding: $0, as: UTF8.self) } }

    /// What is in a file; nil when it cannot be read.
    static func bytes(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
        }
    }
}
