// Where libFuzzer comes in. Built by scripts/fuzz only, with coverage in all of Weft's code.
import FuzzTargets
import Glibc

/// Standard error; C's own variable for it is not safe to share.
private func complain(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
}

private let target: FuzzTarget = {
    let name = getenv("WEFT_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    if let target = FuzzTarget.named(name) { return target }
    complain("there is no target “\(name)”; there are \(FuzzTarget.all.map(\.name).joined(separator: ", "))")
    exit(2)
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do {
        try target.run(Array(UnsafeBufferPointer(start: start, count: count)))
    } catch {
        complain("\(target.name): \(error)")
        abort()
    }
    return 0
}

private typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<Arguments>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// Writes the target's samples as files, for libFuzzer to begin with.
private func writeSamples(to directory: String) {
    for (number, sample) in target.samples.enumerated() {
        let file = open("\(directory)/sample-\(number)", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        if write(file, sample, sample.count) != sample.count { complain("cannot write to \(directory)") }
        close(file)
    }
}

/// SwiftPM makes this name the program's `main`, in the place of libFuzzer's own.
@_cdecl("weft_fuzz_main")
public func main(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
    if let directory = getenv("WEFT_FUZZ_SAMPLES") {
        writeSamples(to: String(cString: directory))
        return 0
    }
    if getenv("WEFT_FUZZ_LIST") != nil {
        for target in FuzzTarget.all { print(target.name) }
        return 0
    }
    var count = count
    var arguments = arguments
    return runDriver(&count, &arguments, testOneInput)
}
