import Synchronization
import WeftIdentity
import WeftModel

/// A manager's data key in use, and what locks it on disk.
final class ManagerSeal: Sendable {
    let key: DataKey
    private let file: SealFile
    /// What the file's key is locked with.
    private let lockedBy: Mutex<Secret?>

    /// Makes a key for a new swarm, or for one from before there were such keys.
    static func make(settings: Settings) throws -> ManagerSeal {
        let key = DataKey()
        let file = SealFile(directory: settings.stateDirectory)
        // It must not be lost once something is sealed with it.
        try file.save(key, lockedBy: nil)
        return ManagerSeal(key: key, file: file, lockedBy: nil)
    }

    /// Takes up what an earlier run left; `unlockKey` is what opened it.
    init(key: DataKey, file: SealFile, lockedBy unlockKey: Secret?) {
        self.key = key
        self.file = file
        lockedBy = Mutex(unlockKey)
    }

    /// Sees to it that the key on disk is locked with this, or lies open for nil.
    func lock(with unlockKey: Secret?) throws {
        try lockedBy.withLock { current throws(any Error) in
            guard unlockKey != current else { return }
            try file.save(key, lockedBy: unlockKey)
            current = unlockKey
        }
    }
}
