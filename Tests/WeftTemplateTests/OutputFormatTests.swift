import Testing
import WeftTemplate

private let rows: [TemplateValue] = [
    ["ID": "i4dgis952rg9", "Name": "my_net", "Driver": "overlay", "Scope": "swarm"],
    ["ID": "0123456789ab", "Name": "a_rather_long_name", "Driver": "overlay", "Scope": "swarm"],
]
private let headings: TemplateValue = ["ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"]

@Test("a table's columns are aligned under their headings")
func table() throws {
    let format = try OutputFormat(list: #"table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"#)
    #expect(
        try format.render(rows, headings: headings) == """
            NETWORK ID     NAME                 DRIVER    SCOPE
            i4dgis952rg9   my_net               overlay   swarm
            0123456789ab   a_rather_long_name   overlay   swarm

            """)
}

@Test("a table without rows has its headings")
func emptyTable() throws {
    let format = try OutputFormat(list: #"table {{.ID}}\t{{upper .Name}}"#)
    #expect(try format.render([], headings: headings) == "NETWORK ID   NAME\n")
}

@Test("columns narrower than ten are widened")
func narrow() throws {
    let format = try OutputFormat(list: #"table {{.A}}\t{{.B}}"#)
    #expect(
        try format.render([["A": "1", "B": "2"]], headings: ["A": "A", "B": "B"]) == "A         B\n1         2\n")
}

@Test("without table: a line per row, and json an object per line")
func lines() throws {
    #expect(
        try OutputFormat(list: #"{{.Name}}\t{{.Scope}}"#).render(rows, headings: headings)
            == "my_net\tswarm\na_rather_long_name\tswarm\n")
    #expect(
        try OutputFormat(list: "json").render([rows[0]], headings: headings)
            == #"{"ID":"i4dgis952rg9","Name":"my_net","Driver":"overlay","Scope":"swarm"}"# + "\n")
    #expect(
        try OutputFormat(list: "{{json .Name}}").render(rows, headings: headings)
            == "\"my_net\"\n\"a_rather_long_name\"\n")
}

@Test("an unknown column is an error")
func unknownColumn() throws {
    let format = try OutputFormat(list: "{{.Nothing}}")
    #expect(throws: TemplateError.self) { try format.render(rows, headings: headings) }
}
