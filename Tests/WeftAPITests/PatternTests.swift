import Testing

@testable import WeftAPI

/// Regular expressions as Go reads them: each expectation is what Go's `regexp.MatchString` says.
@Suite(.timeLimit(.minutes(5))) struct PatternTests {
    @Test(arguments: [
        ("net", "my_net"), ("^my", "my_net"), ("net$", "my_net"), ("^my_net$", "my_net"), ("", "my_net"), ("m.*t", "my_net"),
        ("n.t", "my_net"),
        ("a|net", "my_net"), ("^(a|my)_", "my_net"), ("^(?:my|your)_net$", "your_net"), ("^[a-m]y", "my_net"), ("[^a-z]net", "my_net"),
        ("[[:punct:]]", "my_net"), ("\\d{2,3}$", "net123"), ("^n{1}et", "net"), ("(?i)^MY_NET$", "my_net"), ("(?i:MY)_net", "my_net"),
        ("^a?b+c*$", "bbb"), ("x{,2}", "x{,2}"), ("\\bnet\\b", "a-net-b"), ("\\Aab\\z", "ab"), ("\\Q.*\\E", "a.*b"), ("a{0}b", "b"),
        ("[]a]", "]"), ("[a-]", "-"), ("\\x6e\\x{65}t", "net"), ("(?P<name>n)et", "net"), ("(a|b|)c", "c"), ("(a*)*b", "b"), ("a.c", "aéc"),
        ("(?m)^b$", "a\nb"), ("(?s)a.b", "a\nb"), ("\\w\\W\\s\\S", "a- b"), ("[\\d-]", "-"), ("^(a+)+$", "aaaa"), ("[^\\s]", "x"),
        ("(?i)[A-C]", "b"), ("a+?b", "aab"), ("(?i)a(?-i)B", "AB"),
    ])
    func `it matches`(pattern: String, text: String) throws {
        #expect(try #require(Pattern(pattern)).matches(text), "\(pattern) in \(text)")
    }

    @Test(arguments: [
        ("Net", "my_net"), ("^net", "my_net"), ("my$", "my_net"), ("n.t$", "nett"), ("^a|b$", "xay"), ("[^a-z_]", "my_net"), ("\\d", "net"),
        ("a{3}", "aa"), ("^a{2,3}$", "aaaa"), ("\\bet", "net"), ("\\Bnet", "net"), ("^.$", "\n"), ("^$", "a"), ("a.b", "a\nb"),
        ("^(a|b)+$", "abc"),
        ("(?i)a(?-i)B", "ab"),
    ])
    func `it does not`(pattern: String, text: String) throws {
        #expect(try !#require(Pattern(pattern)).matches(text), "\(pattern) in \(text)")
    }

    @Test(arguments: [
        "(", ")", "a)", "[", "[a", "[z-a]", "*", "+a", "?", "a**", "a{2}{3}", "a{3,2}", "a{1001}", "\\", "\\1", "\\y", "(?x)", "(?P<>a)",
        "(?<n",
        "[[:no:]]", "\\x{110000}", "\\xg0", "((a{1000}){1000}){1000}", String(repeating: "(", count: 5000), "\\pL",
    ])
    func `what is none says so`(pattern: String) { #expect(Pattern(pattern) == nil, "\(pattern)") }

    @Test func `no pattern takes long`() throws {
        let text = String(repeating: "a", count: 63)
        for pattern in ["^(a+)+$", "^(a|aa)*b$", "(a*)*c", "(a?){60}a{60}b", "(.*)(.*)(.*)(.*)(.*)d"] {
            #expect(try #require(Pattern(pattern)).matches(text + "!") == false)
        }
        let empty = "a((((){1000}){1000}){1000}){1000}b"
        #expect(try #require(Pattern(empty)).matches("ab"))
        let wide = String(repeating: "a|", count: 3000) + "b"
        #expect(try #require(Pattern(wide)).matches("b"))
    }

    @Test func `a filter that is no pattern fits its own text only`() {
        #expect(fitsPattern("a(b", "a(b") && !fitsPattern("xa(b", "a(b") && fitsPattern("my_net", "y_n"))
    }
}
