/// What something written must survive as soon as the call that wrote it returns.
package enum Survival: Sendable {
    /// The end of this process: nothing waits for the disk.
    case process
    /// The end of this host as well.
    case host
}
