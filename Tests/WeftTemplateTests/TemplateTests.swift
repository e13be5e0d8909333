import TestSupport
import Testing
import WeftTemplate

@Test(
    "fields, nested and of maps",
    arguments: [
        ("{{.Name}}", "my_net"),
        ("{{ .Name }} {{.MTU}}", "my_net 1450"),
        ("{{.ID}}", "i4dgis952rg9d3ke5pj2w9tfr"),
        ("{{.Id}}", "i4dgis952rg9d3ke5pj2w9tfr"),
        ("{{.Labels.tier}}", "db"),
        ("{{.Labels.nothing}}", "<no value>"),
        ("{{.Created}}", "<no value>"),
        ("{{.Ratio}}", "0.25"),
        ("{{.Labels}}", "map[owner:me tier:db]"),
        ("{{.Names}}", "[a1 a2 a3]"),
        ("{{(index .IPAM.Config 1).Subnet}}", "10.0.2.0/24"),
        ("{{$.Name}}", "my_net"),
        ("{{.}}{{/* nothing */}}", nil),
        ("no action", "no action"),
    ])
func fields(template: String, expected: String?) throws {
    let text = try render(template, template == "{{.}}{{/* nothing */}}" ? "dot" : network)
    #expect(text == expected ?? "dot")
}

@Test(
    "range, with, if",
    arguments: [
        ("{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}};{{end}}", "10.0.1.0/24 10.0.1.1;10.0.2.0/24 10.0.2.1;"),
        ("{{range $i, $e := .Names}}{{if $i}},{{end}}{{$i}}={{$e}}{{end}}", "0=a1,1=a2,2=a3"),
        ("{{range $e := .Names}}{{$e}}{{$.MTU}} {{end}}", "a11450 a21450 a31450 "),
        ("{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}", "owner:me tier:db "),
        ("{{range .Peers}}x{{else}}none{{end}}", "none"),
        ("{{range .Hosts}}x{{else}}none{{end}}", "none"),
        ("{{range .Created}}x{{else}}none{{end}}", "none"),
        ("{{range .Names}}{{if eq . \"a2\"}}{{continue}}{{end}}{{.}}{{end}}", "a1a3"),
        ("{{range .Names}}{{if eq . \"a2\"}}{{break}}{{end}}{{.}}{{end}}", "a1"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{with .IPAM}}{{len .Config}}{{end}}", "2"),
        ("{{with .Peers}}x{{else}}no peers{{end}}", "no peers"),
        ("{{with .Peers}}x{{else with .Name}}{{.}}{{end}}", "my_net"),
        ("{{with $x := .Name}}{{$x}}{{end}}", "my_net"),
        ("{{if .Internal}}in{{else if .Attachable}}at{{else}}no{{end}}", "at"),
        ("{{if .Internal}}in{{else if .Peers}}at{{else}}no{{end}}", "no"),
        ("{{if and .Attachable .MTU}}1{{end}}{{if or .Internal .Peers}}2{{end}}{{if not .Internal}}3{{end}}", "13"),
        ("{{and .Name .MTU}} {{or .Internal .Name}} {{and .Internal .Nothing.At.All}}", "1450 my_net false"),
        ("{{$n := 0}}{{range .Names}}{{$n = len .}}{{end}}{{$n}}", "2"),
        ("{{$x := .Name}}{{if true}}{{$x := 1}}{{$x}}{{end}}{{$x}}", "1my_net"),
    ])
func control(template: String, expected: String) throws {
    #expect(try render(template) == expected)
}

@Test(
    "white space is trimmed where the dashes say",
    arguments: [
        ("a \n {{- .Name -}} \n b", "amy_netb"),
        ("a {{- /* gone */ -}} b", "ab"),
        ("a {{/* gone */}} b", "a  b"),
        ("{{- 3}} {{-3}}", "3 -3"),
        ("{{range .Names -}}\n  {{.}}\n{{- end}}", "a1a2a3"),
    ])
func trimming(template: String, expected: String) throws {
    #expect(try render(template) == expected)
}

@Test(
    "functions",
    arguments: [
        ("{{json .Labels}}", #"{"owner":"me","tier":"db"}"#),
        (
            "{{json .IPAM.Config}}",
            #"[{"Subnet":"10.0.1.0/24","Gateway":"10.0.1.1"},{"Subnet":"10.0.2.0/24","Gateway":"10.0.2.1"}]"#
        ),
        ("{{.Created | json}}", "null"),
        ("{{.Name | upper | printf \"%s!\"}}", "MY_NET!"),
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"two words\"}}", "MY_NET abc Two Words"),
        ("{{join .Names \", \"}}", "a1, a2, a3"),
        ("{{index (split .Name \"_\") 1}}", "net"),
        ("{{json (split \"abc\" \"\")}} {{json (split \",a,\" \",\")}}", #"["a","b","c"] ["","a",""]"#),
        ("{{truncate .Id 5}}|{{truncate .Name 50}}", "i4dgi|my_net"),
        ("[{{pad .Name 2 3}}][{{pad \"\" 2 3}}]", "[  my_net   ][]"),
        (
            "{{index .Labels \"tier\"}} {{index .Names 2}} {{index .IPAM \"Config\" 0 \"Subnet\"}}",
            "db a3 10.0.1.0/24"
        ),
        ("{{len .Names}} {{len .Name}} {{len .Labels}}", "3 6 2"),
        ("{{slice .Name 3}} {{slice .Names 1 2}} {{slice .Name 0 2}}", "net [a2] my"),
        ("{{eq .Name \"my_net\"}} {{ne .MTU 1450}} {{eq .MTU 1 2 1450}}", "true false true"),
        ("{{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1.5 2.5}}", "true true true false"),
        ("{{print 1 2 \"a\" 3 \"b\" \"c\"}}", "1 2a3bc"),
        ("{{println \"a\" 1}}", "a 1\n"),
        ("{{(printf \"%d\" 7) | len}}", "1"),
        ("{{\"a\\t\\\"\\u00e9\"}} {{`raw\\n`}} {{'a'}}", "a\t\"é raw\\n 97"),
        ("{{0x1F}} {{1_000}} {{-7}} {{1e3}} {{2.5}} {{true}}", "31 1000 -7 1000 2.5 true"),
    ])
func functions(template: String, expected: String) throws {
    #expect(try render(template) == expected)
}

@Test("a field that takes an argument")
func lookups() throws {
    var row = TemplateObject([.init(key: "Name", value: "n")])
    row.lookups["Label"] = ["tier": "db"]
    #expect(try render(#"{{.Name}} {{.Label "tier"}} [{{.Label "none"}}]"#, .object(row)) == "n db []")
    #expect(failure("{{.Label}}", .object(row))?.contains("wrong number of args for Label: want 1 got 0") == true)
    #expect(failure("{{.Name \"x\"}}", .object(row))?.contains("Name is not a method but has arguments") == true)
}

@Test(
    "syntax errors say what docker says",
    arguments: [
        ("{{.Name", "template parsing error: template: :1: unclosed action"),
        ("a\n\n{{.Name", "template parsing error: template: :3: unclosed action"),
        ("{{nothing .Name}}", "template parsing error: template: :1: function \"nothing\" not defined"),
        ("{{}}", "template parsing error: template: :1: missing value for command"),
        ("{{if}}x{{end}}", "template parsing error: template: :1: missing value for if"),
        ("{{if .Name}}x", "template parsing error: template: :1: unexpected EOF"),
        ("{{end}}", "template parsing error: template: :1: unexpected {{end}}"),
        ("{{else}}", "template parsing error: template: :1: unexpected {{else}}"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "template parsing error: template: :1: expected end; found {{else}}"),
        ("{{$x}}", "template parsing error: template: :1: undefined variable \"$x\""),
        (
            "{{range .Names}}{{$x := .}}{{end}}{{$x}}",
            "template parsing error: template: :1: undefined variable \"$x\""
        ),
        ("{{\"abc}}", "template parsing error: template: :1: unterminated quoted string"),
        ("{{(.Name}}", "template parsing error: template: :1: unclosed left paren"),
        ("{{.Name)}}", "template parsing error: template: :1: unexpected right paren"),
        ("{{.Name | }}", "template parsing error: template: :1: missing value for command"),
        ("{{.Name | 3}}", "template parsing error: template: :1: non executable command in pipeline stage 2"),
        ("{{/* a}}", "template parsing error: template: :1: unclosed comment"),
        ("{{3x}}", "template parsing error: template: :1: bad number syntax: \"3x\""),
        ("{{.Name%}}", "template parsing error: template: :1: bad character U+0025 '%'"),
        ("{{break}}", "template parsing error: template: :1: {{break}} outside {{range}}"),
    ])
func syntaxErrors(template: String, expected: String) {
    #expect(failure(template) == expected)
}

@Test(
    "errors of execution say where",
    arguments: [
        (
            "{{.Nothing}}",
            "template parsing error: template: :1:2: executing \"\" at <.Nothing>: map has no entry for key \"Nothing\""
        ),
        (
            "a\n {{.IPAM.Nothing}}",
            "template parsing error: template: :2:8: executing \"\" at <.IPAM.Nothing>: map has no entry for key \"Nothing\""
        ),
        (
            "{{.Name.First}}",
            "template parsing error: template: :1:7: executing \"\" at <.Name.First>: can't evaluate field First in type string"
        ),
        (
            "{{index .Names 3}}",
            "template parsing error: template: :1:2: executing \"\" at <index .Names 3>: error calling index: index out of range: 3"
        ),
        (
            "{{range .Name}}{{end}}",
            "template parsing error: template: :1:8: executing \"\" at <.Name>: range can't iterate over my_net"
        ),
        (
            "{{upper}}",
            "template parsing error: template: :1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0"
        ),
        (
            "{{lt .Name 3}}",
            "template parsing error: template: :1:2: executing \"\" at <lt .Name 3>: error calling lt: incompatible types for comparison"
        ),
    ])
func executionErrors(template: String, expected: String) {
    #expect(failure(template) == expected)
}

@Test("what a user may type never traps")
func noise() {
    var generator = SplitMix(state: 7)
    let pieces = [
        "{{", "}}", "{{-", " -}}", ".Name", "$", "$x", ":=", "=", "|", "(", ")", "range", "if", "else", "end", "with",
        " ",
        "\"", "`", "'", "\\", "/*", "*/", "printf", "\"%*d%-08.3f\"", "index", ".Names", "3", "-", "+", "0x", "1e999",
        "slice",
        ".", ",", "é", "\n", "pad", "truncate", "99999999999999999999", "nil", "break", "define", "json", "len",
        "{{range .Names}}",
    ]
    for _ in 0..<20_000 {
        let text = (0..<Int.random(in: 1...12, using: &generator)).map { _ in
            pieces[Int.random(in: pieces.indices, using: &generator)]
        }.joined()
        _ = failure(text)
        _ = failure("{{" + text + "}}")
    }
    #expect(failure(String(repeating: "{{if 1}}", count: 5_000))?.contains("nested too deeply") == true)
    #expect(
        failure("{{" + String(repeating: "(", count: 5_000) + "1" + String(repeating: ")", count: 5_000) + "}}")?
            .contains("nested too deeply") == true)
}
