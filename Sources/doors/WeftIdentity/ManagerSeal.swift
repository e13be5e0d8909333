internal import Synchronization
package import WeftModel

/// A manager's data key in use, and what locks it on disk.
package final class ManagerSeal: Sendable {
    package let key: DataKey
    private let file: SealFile
    /// What the file's key is locked with.
    private let lockedBy: Mutex<Secret?>

    /// Makes a key for a new swarm, or for one from before there were such keys.
    package static func make(directory: String) throws -> ManagerSeal {
        let key = DataKey()
        let file = SealFile(directory: directory)
        // It must not be lost once something is sealed with it.
        try file.save(key, lockedBy: nil)
        return ManagerSeal(key: key, file: file, lockedBy: nil)
    }

    /// Takes up what an earlier run left; `unlockKey` is what opened it.
    package init(key: DataKey, file: SealFile, lockedBy unlockKey: Secret?) {
        self.key = key
        self.file = file
        lockedBy = Mutex(unlockKey)
    }

    /// Sees to it that the key on disk is locked with this, or lies open for nil.
    package func lock(with unlockKey: Secret?) throws {
        try lockedBy.withLock { current throws(any Error) in
            guard unlockKey != current else { return }
            try file.save(key, lockedBy: unlockKey)
            current = unlockKey
        }
    }
}
