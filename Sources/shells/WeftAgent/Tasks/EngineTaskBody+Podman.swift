import WeftModel
import WeftText

/// What podman's form of the Engine API does otherwise than dockerd's.
extension ContainerSpec {
    /// A sentence about what podman takes without a word and does not do: nothing is to run otherwise than it was asked for. Nil: all
    /// of it is done.
    var podmanLacks: String? {
        for mount in mounts where mount.kind == .volume {
            let said = [
                ("a driver", mount.volumeDriver != nil), ("labels", !mount.volumeLabels.isEmpty),
                ("a subpath", !mount.volumeSubpath.isEmpty), ("nocopy", mount.volumeNoCopy),
            ].first { $0.1 }
            guard let (what, _) = said else { continue }
            return "podman makes volumes without options, and the mount at \(mount.target) has \(what): leave that out, and make the "
                + "volume on the node beforehand"
        }
        return nil
    }

    /// As podman reads it: in one text that it takes apart at spaces, or hands to a shell.
    var forPodman: ContainerSpec {
        var spec = self
        guard let test = healthcheck?.test, test.first == "CMD",
            test.contains(where: { $0.isEmpty || $0.contains(where: \.isWhitespace) })
        else { return spec }
        let words = test.dropFirst().map { "'" + $0.replacing("'", with: "'\\''") + "'" }
        spec.healthcheck?.test = ["CMD-SHELL", words.joined(separator: " ")]
        return spec
    }
}
