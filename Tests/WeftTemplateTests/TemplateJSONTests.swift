import Testing
import WeftTemplate
import WeftText

@Test("objects keep the order of their keys, and the last of equal ones counts")
func order() throws {
    let text = #"{"b":1,"a":[true,false,null,-2.5],"c":{"z":"","y":{}},"d":[]}"#
    #expect(try TemplateValue(json: text.utf8).json == text)
    #expect(try TemplateValue(json: #"{"a":1,"a":2}"#.utf8).json == #"{"a":2}"#)
    #expect(try TemplateValue(json: "1e2".utf8) == .double(100))
    #expect(throws: JSONError.self) { try TemplateValue(json: "[1,]".utf8) }
}

@Test("maps sort their keys, and a missing one has no value")
func maps() throws {
    let value = try TemplateValue(json: #"{"Labels":{"b":"1","a":"2"}}"#.utf8, maps: ["Labels"])
    #expect(value.json == #"{"Labels":{"a":"2","b":"1"}}"#)
    #expect(try Template("{{.Labels.c}}").render(value) == "<no value>")
    let empty = try TemplateValue(json: #"{"Labels":null,"Other":null}"#.utf8, maps: ["Labels"])
    #expect(empty.json == #"{"Labels":null,"Other":null}"#)
    #expect(
        try Template("{{.Labels}} {{.Labels.c}} {{len .Labels}} {{.Other}}").render(empty)
            == "map[] <no value> 0 <no value>")
}

@Test("indented as docker inspect prints it")
func indented() throws {
    let value = try TemplateValue(json: #"[{"a":1,"b":[],"c":{},"d":["x"]}]"#.utf8)
    #expect(
        value.json(indent: "    ") == """
            [
                {
                    "a": 1,
                    "b": [],
                    "c": {},
                    "d": [
                        "x"
                    ]
                }
            ]
            """)
}
