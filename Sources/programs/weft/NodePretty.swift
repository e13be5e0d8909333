import WeftTemplate

/// `node inspect --pretty`, laid out as docker's.
enum NodePretty {
    static let template = """
        ID:\t\t\t{{.ID}}
        {{- if .Labels }}
        Labels:
        {{- range $k, $v := .Labels }}
         - {{ $k }}{{if $v }}={{ $v }}{{ end }}
        {{- end }}{{ end }}
        Hostname:              \t{{.Hostname}}
        Joined at:             \t{{.CreatedAt}}
        Status:
         State:\t\t\t{{.State}}
        {{- if .Message }}
         Message:              \t{{.Message}}
        {{- end }}
         Availability:         \t{{.Availability}}
        {{- if .Address }}
         Address:\t\t{{.Address}}
        {{- end }}
        {{- with .Manager }}
        Manager Status:
         Address:\t\t{{.Addr}}
         Raft Status:\t\t{{.Reachability}}
         Leader:\t\t{{.Leader}}
        {{- end }}
        Platform:
         Operating System:\t{{.OS}}
         Architecture:\t\t{{.Architecture}}
        Resources:
         CPUs:\t\t\t{{.CPUs}}
         Memory:\t\t{{.Memory}}
        {{- if .Plugins }}
        Plugins:
        {{- range .Plugins }}
         {{ .Type }}:\t\t{{ .Names }}
        {{- end }}{{ end }}
        Engine Version:\t\t{{.EngineVersion}}
        {{- with .TLSInfo }}
        TLS Info:
         TrustRoot:
        {{.TrustRoot}}
         Issuer Subject:\t{{.CertIssuerSubject}}
         Issuer Public Key:\t{{.CertIssuerPublicKey}}
        {{- end }}
        """

    /// What the template asks for.
    static func value(_ node: TemplateValue) -> TemplateValue {
        let description = node["Description"]
        let manager = node["ManagerStatus"]
        var plugins: [(type: String, names: [String])] = []
        for plugin in description["Engine"]["Plugins"].array {
            let (type, name) = (plugin["Type"].string ?? "", plugin["Name"].string ?? "")
            if let position = plugins.firstIndex(where: { $0.type == type }) {
                plugins[position].names.append(name)
            } else {
                plugins.append((type, [name]))
            }
        }
        func text(_ value: TemplateValue) -> TemplateValue { .string(value.string ?? "") }
        return [
            "ID": text(node["ID"]), "Labels": node["Spec"]["Labels"], "Hostname": text(description["Hostname"]),
            "CreatedAt": .string(HumanTime.spelled(node["CreatedAt"].string ?? "", zone: "utc")),
            "State": .string((node["Status"]["State"].string ?? "").capitalizedFirst),
            "Message": text(node["Status"]["Message"]),
            "Availability": .string((node["Spec"]["Availability"].string ?? "").capitalizedFirst),
            "Address": text(node["Status"]["Addr"]),
            "Manager": manager.isNull
                ? .null
                : [
                    "Addr": text(manager["Addr"]),
                    "Reachability": .string((manager["Reachability"].string ?? "").capitalizedFirst),
                    "Leader": manager["Leader"].bool == true ? "Yes" : "No",
                ],
            "OS": text(description["Platform"]["OS"]), "Architecture": text(description["Platform"]["Architecture"]),
            "CPUs": .int((description["Resources"]["NanoCPUs"].int ?? 0) / 1_000_000_000),
            "Memory": .string(HumanSize.binary(description["Resources"]["MemoryBytes"].int ?? 0)),
            "Plugins": .array(
                plugins.map { ["Type": .string($0.type), "Names": .string($0.names.joined(separator: ", "))] }),
            "EngineVersion": text(description["Engine"]["EngineVersion"]),
            "TLSInfo": description["TLSInfo"].isNull
                ? .null
                : [
                    "TrustRoot": .string((description["TLSInfo"]["TrustRoot"].string ?? "").trimmed),
                    "CertIssuerSubject": text(description["TLSInfo"]["CertIssuerSubject"]),
                    "CertIssuerPublicKey": text(description["TLSInfo"]["CertIssuerPublicKey"]),
                ],
        ]
    }
}

/// Sizes as people read them.
enum HumanSize {
    /// With the units of 1024 and four significant digits: `23.54GiB`.
    static func binary(_ bytes: Int64) -> String {
        scaled(bytes, step: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
    }
    /// With the units of 1000.
    static func decimal(_ bytes: Int64) -> String {
        scaled(bytes, step: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB", "EB"])
    }

    private static func scaled(_ bytes: Int64, step: Double, units: [String]) -> String {
        var size = Double(bytes)
        var unit = 0
        while size >= step, unit < units.count - 1 {
            size /= step
            unit += 1
        }
        let decimals = unit == 0 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3
        // Docker prints four significant digits and no trailing zeros.
        var text = (try? Template("{{printf \"%.\(decimals)f\" .}}").render(.double(size))) ?? ""
        if text.contains(".") {
            while text.hasSuffix("0") { text.removeLast() }
            if text.hasSuffix(".") { text.removeLast() }
        }
        return text + units[unit]
    }
}
