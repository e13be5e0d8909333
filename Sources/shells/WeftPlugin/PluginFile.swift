import WeftFiles

/// The plugin's state in a file.
package struct PluginFile: PluginStore {
    private let file: RecordFile<PluginState>

    package init(directory: String) { file = RecordFile("\(directory)/plugin.json") }

    /// What cannot be read is set aside. Containers that run go on; the engine's networks are strangers to this node until the
    /// engine makes them anew: the start of a container on one of them is refused, and told that it is to be removed.
    package func loadPlugin() throws -> PluginState {
        do { return try file.load() ?? PluginState() } catch is UnreadableRecord {
            try file.setAside()
            return PluginState()
        }
    }

    package func savePlugin(_ state: PluginState) throws { try file.save(state) }
}
