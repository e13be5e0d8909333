import WeftModel
import WeftNet

/// What a network's spec must be like, whatever else is in the swarm.
enum NetworkRules {
    static let mtuOption = "com.docker.network.driver.mtu"
    static let vniOption = "com.docker.network.driver.overlay.vxlanid_list"

    /// The underlay's MTU: below, the overlay's would be under the 576 bytes that every IPv4 host must take (RFC 1122), or with IPv6 under
    /// the 1280 that every link carries (RFC 8200, 5); Linux turns it off on a smaller one.
    private static func smallestMTU(_ spec: NetworkSpec) -> Int {
        (spec.ipv6 ? 1280 : 576) + (spec.isEncrypted ? MTU.espOverheadIPv4 : MTU.vxlanOverheadIPv4)
    }

    static func check(_ spec: NetworkSpec) throws(ControlError) {
        try checkName(spec.name)
        guard spec.sizeBytes <= Bounds.specBytes else { throw .specTooLarge("a network's labels and options") }
        for (key, value) in spec.options.sorted(by: { $0.key < $1.key }) {
            switch key {
            case NetworkSpec.encryptedOption:
                guard ["", "true", "false", "1", "0"].contains(value.lowercased()) else {
                    throw ControlError(
                        .invalid, "invalid option \(key)=\(value): give --opt \(key), or --opt \(key)=false for packets in the clear")
                }
            case mtuOption:
                let range = smallestMTU(spec)...65535
                guard let mtu = Int(value), range.contains(mtu) else {
                    let kinds = [spec.isEncrypted ? "is encrypted" : nil, spec.ipv6 ? "has IPv6" : nil].compactMap(\.self)
                    throw ControlError(
                        .invalid,
                        "invalid option \(key)=\(value): the MTU of the hosts' network must be a number between \(range.lowerBound) and "
                            + "\(range.upperBound)" + (kinds.isEmpty ? "" : ", as the network " + kinds.joined(separator: " and ")))
                }
            case vniOption:
                _ = try vni(spec)
            default:
                throw ControlError(
                    .invalid,
                    "overlay networks have no option \(key); there are \(mtuOption), \(vniOption) and \(NetworkSpec.encryptedOption)"
                )
            }
        }
        if spec.ingress, spec.attachable { throw ControlError(.invalid, "the ingress network cannot be attachable") }
        if spec.ingress, spec.isInternal { throw ControlError(.invalid, "the ingress network cannot be internal") }
    }

    private static func checkName(_ name: String) throws(ControlError) {
        if NetworkSpec.predefinedNames.contains(name) {
            throw ControlError(.forbidden, "operation is not permitted on predefined \(name) network")
        }
        guard Bounds.isName(name) else {
            throw ControlError(
                .invalid,
                "invalid network name \"\(name)\": it must be 1 to 63 characters of a-z, A-Z, 0-9, '_', '.' and '-', the first a "
                    + "letter or a digit")
        }
    }

    /// The VNI that the user pinned, nil for an automatic one.
    static func vni(_ spec: NetworkSpec) throws(ControlError) -> VNI? {
        guard let text = spec.options[vniOption] else { return nil }
        guard !text.contains(",") else {
            throw ControlError(.invalid, "invalid option \(vniOption)=\(text): a network of one subnet has one VNI")
        }
        guard let number = UInt32(text), let vni = VNI(number) else {
            throw ControlError(
                .invalid, "invalid option \(vniOption)=\(text): a VNI is a number between 1 and 16777215")
        }
        return vni
    }
}
