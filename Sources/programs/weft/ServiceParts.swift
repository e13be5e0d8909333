import WeftNet
import WeftTemplate

/// What is said of services in one argument.
enum ServiceParts {
    /// `8080:80`, `80`, `8000-8002:80-82/udp`, or `published=8080,target=80,protocol=tcp,mode=host`. An address that a port is to be
    /// published at is no part of it (`Publication`).
    static func ports(_ argument: String) throws -> [TemplateValue] {
        argument.contains("=") ? [try longPort(argument)] : try shortPorts(argument)
    }

    private static func shortPorts(_ argument: String) throws -> [TemplateValue] {
        let halves = argument.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let transport = try transport(halves.count > 1 ? String(halves[1]) : "tcp", argument)
        let sides = halves[0].split(separator: ":", omittingEmptySubsequences: false)
        guard sides.count <= 2 else {
            throw CommandFailure(
                "invalid port \(argument): give it as PUBLISHED:TARGET, 192.0.2.10:PUBLISHED:TARGET or [2001:db8::1]:PUBLISHED:TARGET")
        }
        let targets = try range(sides[sides.count - 1], argument)
        guard sides.count == 2, !sides[0].isEmpty else {
            return targets.map { port(transport, target: $0, published: nil, mode: "ingress") }
        }
        let published = try range(sides[0], argument)
        guard published.count == targets.count else {
            throw CommandFailure("invalid port \(argument): as many ports must be published as there are behind them")
        }
        return zip(published, targets).map { port(transport, target: $1, published: $0, mode: "ingress") }
    }

    private static func longPort(_ argument: String) throws -> TemplateValue {
        var (target, published, transport, mode): (UInt16?, UInt16?, String, String) = (nil, nil, "tcp", "ingress")
        for (key, value) in try fields(argument) {
            switch key {
            case "target": target = try number(value[...], argument)
            case "published": published = try number(value[...], argument)
            case "protocol": transport = try self.transport(value, argument)
            case "mode" where ["ingress", "host"].contains(value): mode = value
            case "mode": throw CommandFailure("invalid port \(argument): its mode is ingress or host")
            default:
                throw CommandFailure("invalid port \(argument): target, published, protocol, mode and address are known, not \(key)")
            }
        }
        guard let target else { throw CommandFailure("invalid port \(argument): target is missing") }
        return port(transport, target: target, published: published, mode: mode)
    }

    private static func port(_ transport: String, target: UInt16, published: UInt16?, mode: String) -> TemplateValue {
        var port: TemplateValue = ["Protocol": .string(transport), "TargetPort": .int(Int64(target))]
        if let published { port["PublishedPort"] = .int(Int64(published)) }
        port["PublishMode"] = .string(mode)
        return port
    }

    private static func transport(_ text: String, _ argument: String) throws -> String {
        let text = text.lowercased()
        guard ["tcp", "udp", "sctp"].contains(text) else {
            throw CommandFailure("invalid port \(argument): its protocol is tcp, udp or sctp")
        }
        return text
    }

    private static func range(_ text: Substring, _ argument: String) throws -> ClosedRange<UInt16> {
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let first = try number(ends[0], argument)
        let last = ends.count > 1 ? try number(ends[1], argument) : first
        guard first <= last else { throw CommandFailure("invalid port \(argument): \(first) is beyond \(last)") }
        return first...last
    }

    private static func number(_ text: Substring, _ argument: String) throws -> UInt16 {
        guard let number = UInt16(text), number > 0 else {
            throw CommandFailure("invalid port \(argument): \"\(text)\" is no number from 1 to 65535")
        }
        return number
    }

    /// `my_net`, or `name=my_net,alias=web`.
    static func network(_ argument: String) throws -> TemplateValue {
        let attachment = try NetworkAttachment(argument: argument)
        guard attachment.ipv4 == nil, attachment.ipv6 == nil else {
            throw CommandFailure("invalid network \(argument): tasks get addresses of their own, none can be given to all")
        }
        var network: TemplateValue = ["Target": .string(attachment.network)]
        if !attachment.aliases.isEmpty { network["Aliases"] = .strings(attachment.aliases) }
        return network
    }

    /// `spread=node.labels.zone`.
    static func preference(_ argument: String) throws -> TemplateValue {
        guard argument.hasPrefix("spread="), argument.count > 7 else {
            throw CommandFailure("invalid placement preference \(argument): give it as spread=node.labels.NAME")
        }
        return ["Spread": ["SpreadDescriptor": .string(String(argument.dropFirst(7)))]]
    }

    /// `type=volume,source=data,target=/data,readonly`.
    static func mount(_ argument: String) throws -> TemplateValue {
        var mount: TemplateValue = ["Type": "volume"]
        for (key, value) in try fields(argument) {
            switch key {
            case "type": mount["Type"] = .string(value.lowercased())
            case "source", "src": mount["Source"] = .string(value)
            case "target", "dst", "destination": mount["Target"] = .string(value)
            case "readonly", "ro": mount["ReadOnly"] = .bool(value.isEmpty || value == "true" || value == "1")
            case "bind-propagation": mount.set(["BindOptions", "Propagation"], .string(value))
            case "bind-nonrecursive":
                mount.set(["BindOptions", "NonRecursive"], .bool(value.isEmpty || value == "true" || value == "1"))
            case "bind-create-src":
                mount.set(["BindOptions", "CreateMountpoint"], .bool(value.isEmpty || value == "true" || value == "1"))
            case "volume-nocopy": mount.set(["VolumeOptions", "NoCopy"], .bool(value.isEmpty || value == "true" || value == "1"))
            case "volume-driver": mount.set(["VolumeOptions", "DriverConfig", "Name"], .string(value))
            case "tmpfs-size":
                guard let size = Bytes(argument: value) else { throw CommandFailure("invalid mount \(argument): tmpfs-size is no size") }
                mount.set(["TmpfsOptions", "SizeBytes"], .int(size.count))
            case "tmpfs-mode":
                guard let mode = Int64(value, radix: 8) else { throw CommandFailure("invalid mount \(argument): tmpfs-mode is no mode") }
                mount.set(["TmpfsOptions", "Mode"], .int(mode))
            default: throw CommandFailure("invalid mount \(argument): there is no \(key)")
            }
        }
        guard !mount["Target"].isNull else { throw CommandFailure("invalid mount \(argument): target is missing") }
        return mount
    }

    /// `name`, or `source=name,target=file,uid=0,gid=0,mode=0400`.
    struct FileArgument: Equatable {
        var source = ""
        var target: String?
        var uid = "0"
        var gid = "0"
        var mode: Int64 = 0o444

        init(_ argument: String) throws {
            guard argument.contains("=") else {
                source = argument
                return
            }
            for (key, value) in try ServiceParts.fields(argument) {
                switch key {
                case "source", "src": source = value
                case "target": target = value
                case "uid": uid = value
                case "gid": gid = value
                case "mode":
                    guard let bits = Int64(value, radix: 8) else { throw CommandFailure("invalid file \(argument): mode is no mode") }
                    mode = bits
                default: throw CommandFailure("invalid file \(argument): source, target, uid, gid and mode are known, not \(key)")
                }
            }
            guard !source.isEmpty else { throw CommandFailure("invalid file \(argument): source is missing") }
        }

        /// A reference to the object that weftd has under the name.
        func reference(to id: String, name: String, isSecret: Bool) -> TemplateValue {
            let key = isSecret ? "Secret" : "Config"
            return TemplateValue.object(
                TemplateObject([
                    .init(
                        key: "File",
                        value: [
                            "Name": .string(target ?? (isSecret ? name : "/" + name)), "UID": .string(uid), "GID": .string(gid),
                            "Mode": .int(mode),
                        ]),
                    .init(key: "\(key)ID", value: .string(id)), .init(key: "\(key)Name", value: .string(name)),
                ]))
        }
    }

    /// `key=value,flag`.
    static func fields(_ argument: String) throws -> [(String, String)] {
        argument.split(separator: ",").map { field in
            let halves = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (halves[0].trimmed.lowercased(), halves.count > 1 ? String(halves[1]) : "")
        }
    }
}
