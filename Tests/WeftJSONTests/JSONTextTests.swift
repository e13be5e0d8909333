import Foundation
import TestSupport
import Testing
import WeftJSON

@Suite("JSON of others") struct JSONTextTests {
    @Test("is refused when it is deeper than anything meant, whatever it is made of", arguments: [65, 512, 513, 514, 100_000])
    func deepText(depth: Int) {
        for opening in ["[", "{\"a\":", "[{\"a\":", "\"\\\"\",[", " \n["] {
            let text = Array(String(repeating: opening, count: depth).utf8)
            #expect(throws: JSONText.TooDeep.self) { try JSONText.decode([String].self, from: text) }
        }
    }

    @Test(
        "is refused in any other encoding, in which brackets are told apart otherwise",
        arguments: [
            String.Encoding.utf16, .utf16LittleEndian, .utf16BigEndian, .utf32, .utf32LittleEndian, .utf32BigEndian,
        ])
    func otherEncodings(encoding: String.Encoding) throws {
        // U+2200 and U+0022 have the octet of a quotation mark.
        for text in ["[1]", "[\"\u{2200}\",\(String(repeating: "[", count: 600))"] {
            let bytes = [UInt8](try #require(text.data(using: encoding)))
            #expect(throws: JSONText.NotUTF8.self) { try JSONText.decode([Int].self, from: bytes) }
        }
    }

    @Test("may be as deep as that, and hold any brackets in its strings")
    func shallowText() throws {
        let deep = String(repeating: "[", count: 63) + "1" + String(repeating: "]", count: 63)
        #expect(JSONText.isShallow(Array(deep.utf8)))
        let brackets = String(repeating: "[{", count: 1000)
        let text = Array("{\"a\":\"\(brackets)\\\"\(brackets)\\\\\",\"b\":\"\"}".utf8)
        let decoded = try JSONText.decode([String: String].self, from: text)
        #expect(decoded["a"] == brackets + "\"" + brackets + "\\")
        let wide = Array("[\(Array(repeating: "[]", count: 10_000).joined(separator: ","))]".utf8)
        #expect(try JSONText.decode([[String]].self, from: wide).count == 10_000)
    }

    @Test("ends nothing when it is damaged or cut")
    func damagedText() {
        var generator = SplitMix(state: 1)
        let good = Array(#"{"a":[{"b":"c\"d[]"},{"e":[1,2.5e3,null,true]}],"f":{"g":"h"}}"#.utf8)
        for _ in 0..<2000 {
            var text = good
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                text[Int.random(in: text.indices, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            text.removeLast(Int.random(in: 0..<text.count, using: &generator))
            _ = try? JSONText.decode([String: String].self, from: text)
        }
    }
}
