import WeftLinux
package import WeftModel
import WeftNode
import WeftThreads

/// A secret or a config as a file of this host's, and the path at which its task is to see it.
package struct LaidFile: Hashable, Sendable {
    package let source: String
    package let target: String

    package init(source: String, target: String) {
        self.source = source
        self.target = target
    }
}

/// The secrets and configs of the tasks on this node as files, which containers and sandboxes get to see: below the run directory,
/// in memory alone, for as long as the task's container is there. It lives on a thread of its own.
package actor TaskFileStore {
    private let thread = BlockingExecutor()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let path: String
    private static let secretDirectory = "/run/secrets"

    package init(runDirectory: String) { path = "\(runDirectory)/task-files" }

    /// Writes the files of a task, and says where each is to be seen. Nothing is left when it throws.
    package func lay(_ order: TaskOrder) throws -> [LaidFile] {
        guard !order.files.isEmpty else { return [] }
        let directory = "\(path)/\(order.task.id)"
        let templates = TaskTemplates(order.task, on: order.node)
        do {
            try FileSystem.makeDirectoryInMemory(path, mode: 0o700)
            try FileSystem.removeTree(directory)
            try FileSystem.makeDirectory(directory, mode: 0o700)
            var laid: [LaidFile] = []
            for (number, file) in order.files.enumerated() {
                guard let target = Self.target(of: file) else { continue }
                let source = "\(directory)/\(number)"
                let reference = file.reference
                guard let uid = UInt32(reference.uid), let gid = UInt32(reference.gid) else {
                    throw TaskFailure("\(reference.name) cannot be of user \(reference.uid) and group \(reference.gid): give numbers")
                }
                try FileSystem.write(
                    try templates.content(of: file), to: source, owner: (uid, gid), mode: reference.mode)
                laid.append(LaidFile(source: source, target: target))
            }
            return laid
        } catch {
            try? FileSystem.removeTree(directory)
            throw error
        }
    }

    /// Nil: the engine itself uses it.
    static func target(of file: TaskFile) -> String? {
        guard let target = file.reference.target else { return nil }
        if target.hasPrefix("/") { return target }
        return file.isSecret ? "\(secretDirectory)/\(target)" : "/\(target)"
    }

    package func remove(_ task: TaskID) throws { try FileSystem.removeTree("\(path)/\(task)") }
}
