import WeftAPI
import WeftIdentity
import WeftNet
import WeftRPC
import WeftTemplate
import WeftText
import WeftWire

/// What reads from text is printed so that it reads the same again.
private func printsAlike<Value: Equatable & CustomStringConvertible>(
    _ text: String, _ what: String, _ read: (String) -> Value?
) throws(FuzzFinding) {
    guard let value = read(text) else { return }
    guard let again = read(value.description) else { throw FuzzFinding("\(what) \(text) prints as \(value), which does not read") }
    try same(again, value, what)
}

private let documents = [
    #"{"Name":"my_net","Labels":{"a":"b","ü":"\u00e9\ud83d\ude00"},"IPAM":{"Config":[{"Subnet":"10.1.0.0/16"}]},"n":[1,-2.5e3,true,null]}"#,
    "[[[[[[[]]]]]]]", #""\u0000\\\"""#, "-0.0", "18446744073709551615", "1e400",
].map { Array($0.utf8) }

extension FuzzTarget {
    static let addresses = FuzzTarget(
        name: "addresses",
        samples: [
            "10.1.0.0/16", "255.255.255.255", "fd00:0:0:1::/64", "::ffff:10.0.0.1", "02:42:0a:01:00:02", "web.my_net.", "a\\032b",
        ].map { Array($0.utf8) }
    ) { bytes throws(FuzzFinding) in
        let text = String(decoding: bytes, as: UTF8.self)
        try printsAlike(text, "address") { IPv4Address($0) }
        try printsAlike(text, "address") { IPv6Address($0) }
        try printsAlike(text, "prefix") { IPv4Prefix($0) }
        try printsAlike(text, "prefix") { IPv6Prefix($0) }
        try printsAlike(text, "prefix") { AnyIPPrefix($0) }
        try printsAlike(text, "MAC address") { MACAddress($0) }
        try printsAlike(text, "name") { DNSName($0) }
    }

    static let engineJSON = FuzzTarget(name: "engine-json", samples: documents) { bytes throws(FuzzFinding) in
        guard let value = try? JSON(parsing: bytes) else { return }
        guard let again = try? JSON(parsing: value.utf8) else {
            throw FuzzFinding("what was written does not read: \(String(decoding: value.utf8, as: UTF8.self))")
        }
        // Not the values: 1e2 is a number that is written as the integer 100.
        try same(again.text, value.text, "written and read")
    }

    static let templateJSON = FuzzTarget(name: "template-json", samples: documents) { bytes throws(FuzzFinding) in
        guard let value = try? TemplateValue(json: bytes) else { return }
        guard let again = try? TemplateValue(json: value.json.utf8) else {
            throw FuzzFinding("what was written does not read: \(value.json)")
        }
        try same(again.json, value.json, "written and read")
    }

    /// Lists of one element only: what a user's own template costs that user is not looked for here.
    static let template = FuzzTarget(
        name: "template",
        samples: [
            "{{range $i, $n := .Networks}}{{if and (eq $i 0) $n.Name}}{{$n.Name | printf \"%-10.3s|%5.2f\" | json}}{{else}}-{{end}}{{end}}",
            "table {{.ID}}\t{{.Name}}\n{{- with .Labels}}{{index . \"a\"}}{{end -}}", "{{define \"x\"}}{{.}}{{end}}{{template \"x\" .}}",
            "{{len .Networks}} {{slice .Name 1 2}} {{not .N}} {{println 0x1p-2 'a' `b`}} {{/* c */}}",
        ].map { Array($0.utf8) }
    ) { bytes throws(FuzzFinding) in
        guard let template = try? Template(String(decoding: bytes.prefix(2_000), as: UTF8.self)) else { return }
        let network: TemplateValue = ["Name": "my_net", "Scope": "swarm"]
        let labels = TemplateValue.map(["a": "b"])
        _ = try? template.render(["ID": "0123456789ab", "Name": "alpha", "N": 4097, "Networks": [network], "Labels": labels])
    }

    static let joinToken = FuzzTarget(
        name: "join-token",
        samples: [Array("SWMTKN-1-49nj1cmql0jkz5s954yi3oex3nedyz0fb0xx14ie39trti4wxv-8vxv8rssmk743ojnwacrr2e7c".utf8)]
    ) { bytes throws(FuzzFinding) in
        _ = try? JoinToken(parsing: String(decoding: bytes, as: UTF8.self))
    }

    static let hostPort = FuzzTarget(
        name: "host-port", samples: ["172.30.0.1:2377", "[fd00::1]:2377", "host.example:1"].map { Array($0.utf8) }
    ) { bytes throws(FuzzFinding) in
        _ = try? HostPort(parsing: String(decoding: bytes, as: UTF8.self))
    }
}
