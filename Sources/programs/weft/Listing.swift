import WeftClient
import WeftTemplate

/// A list as docker prints it: `--format`, `-q`, or the table that the kind has by itself.
struct Listing {
    /// `table …`.
    let table: String
    /// What `-q` prints.
    var quiet = "{{.ID}}"
    /// A heading for each field.
    let headings: TemplateValue

    func render(_ rows: [TemplateValue], format: String?, isQuiet: Bool = false) throws -> String {
        do throws(TemplateError) {
            var format = format.flatMap { $0.isEmpty ? nil : $0 } ?? (isQuiet ? quiet : table)
            if format == "table" { format = isQuiet ? quiet : table }
            return try OutputFormat(list: format).render(rows, headings: headings)
        } catch {
            throw CommandFailure(error.description)
        }
    }
}

/// Objects as `docker inspect` prints them: an indented array, `json` for one line, or a template for each.
enum Inspection {
    static func render(_ values: [TemplateValue], format: String?) throws -> String {
        switch format {
        case nil, ""?: return TemplateValue.array(values).json(indent: "    ") + "\n"
        case "json"?: return TemplateValue.array(values).json + "\n"
        case let format?: return try template(values, format)
        }
    }

    /// One object, not in an array: `info` and `version`.
    static func render(_ value: TemplateValue, format: String) throws -> String {
        format == "json" ? value.json + "\n" : try template([value], format)
    }

    private static func template(_ values: [TemplateValue], _ format: String) throws -> String {
        do throws(TemplateError) {
            let template = try Template(format)
            var output = ""
            for value in values { output += try template.render(value) + "\n" }
            return output
        } catch {
            throw CommandFailure(error.description)
        }
    }

    /// Looks all names up and prints what was found, also when some are missing.
    static func run(
        _ names: [String], format: String?, find: (String) async throws -> TemplateValue
    ) async throws {
        var found: [TemplateValue] = []
        var missing: [String] = []
        for name in names {
            do {
                found.append(try await find(name))
            } catch let error as CommandFailure {
                missing.append(error.message)
            } catch let error as ClientError where error.status != nil {
                missing.append(error.description)
            }
        }
        // Nothing found is an empty array, and nothing at all for a template.
        Terminal.print(try render(found, format: format))
        missing.forEach { Terminal.complain($0) }
        if !missing.isEmpty { throw CommandFailure("") }
    }
}
