import NIOCore
import NIOHTTP1

extension HTTPResponseHead {
    /// The head on the wire, with the empty line behind it.
    var bytes: ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeString("HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\n")
        for (name, value) in headers { buffer.writeString("\(name): \(value)\r\n") }
        buffer.writeString("\r\n")
        return buffer
    }
}
