package import WeftNet

/// What every part of Weft, and what users see, must have alike. What the eBPF programs need of it stands in `weft_datapath_abi.h`
/// too; a test compares.
package enum Constants {
    /// Where every sandbox asks for names: 169.254.77.53.
    package static let resolver = IPv4Address(rawValue: 0xa9fe_4d35)
    /// VXLAN's UDP port where nothing else is said (RFC 7348, 5).
    package static let dataPathPort: UInt16 = 4789
    /// Where ESP in UDP comes to (RFC 3948, 2.1).
    package static let encryptedPort: UInt16 = 4500
    /// VXLAN's port inside ESP: another than in the clear, so that who decrypts tells them apart.
    package static let encryptedInnerPort: UInt16 = 4790
    /// The option by which an engine's network says which of the swarm's networks it stands for.
    package static let networkOption = "weft.id"
    /// Options of an endpoint that weftd has an engine make for a task of a service.
    package static let serviceOption = "weft.service"
    package static let taskOption = "weft.task"
    package static let slotOption = "weft.slot"
    /// The option that keeps a container's resolver from asking for a name under every search domain first.
    package static let namesAsTheyAre = "ndots:0"
    /// The label on networks that weftd makes in an engine, with the same value.
    package static let networkLabel = "io.weft.id"
}
