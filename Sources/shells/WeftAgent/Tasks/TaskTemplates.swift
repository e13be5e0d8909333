package import WeftModel
package import WeftNode
import WeftTemplate
import WeftText

/// Fills in what a service's spec says in Go's templates, as Docker does: `{{.Task.Slot}}`, `{{.Node.Hostname}}`.
package struct TaskTemplates: Sendable {
    private let values: TemplateValue

    package init(_ task: ServiceTask, on node: TaskNode) {
        let slot = task.slot == 0 ? node.id.rawValue : String(task.slot)
        values = [
            "Service": [
                "ID": .string(task.service.rawValue), "Name": .string(task.serviceName), "Labels": .map(task.serviceLabels),
            ],
            "Node": [
                "ID": .string(node.id.rawValue), "Hostname": .string(node.hostname),
                "Platform": ["Architecture": .string(node.architecture), "OS": "linux"],
            ],
            "Task": ["ID": .string(task.id.rawValue), "Name": .string(task.name), "Slot": .string(slot)],
        ]
    }

    /// Throws `TaskFailure` with what is wrong with the template.
    package func fill(_ text: String) throws -> String {
        guard text.contains("{{") else { return text }
        do { return try Template(text).render(values) } catch {
            throw TaskFailure("expanding \"\(text.prefix(200))\" failed: \(error)")
        }
    }

    /// A file's content, a template or not.
    package func content(of file: TaskFile) throws -> [UInt8] {
        guard let bytes = Base64.decoded(unpadded: file.content.data.exposed.prefix { $0 != "=" }) else {
            throw TaskFailure("\(file.isSecret ? "secret" : "config") \(file.reference.name) cannot be read")
        }
        guard let driver = file.content.templating else { return bytes }
        guard driver.name == "golang" else {
            throw TaskFailure("template driver \(driver.name) is not supported: it is golang, or none")
        }
        return Array(try fill(String(decoding: bytes, as: UTF8.self)).utf8)
    }
}
