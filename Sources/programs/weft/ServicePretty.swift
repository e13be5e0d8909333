import WeftTemplate

/// `service inspect --pretty`, laid out as docker's.
enum ServicePretty {
    static let template = """
        ID:\t\t{{.ID}}
        Name:\t\t{{.Name}}
        {{- if .Labels }}
        Labels:
        {{- range $k, $v := .Labels }}
         {{ $k }}{{if $v }}={{ $v }}{{ end }}
        {{- end }}{{ end }}
        Service Mode:\t{{.Mode}}
        {{- if .Replicas }}
         Number of Replicas:\t{{.Replicas}}
        {{- end }}
        {{- with .UpdateStatus }}
        UpdateStatus:
         State:\t\t{{.State}}
         Started:\t{{.Started}}
        {{- if .Completed }}
         Completed:\t{{.Completed}}
        {{- end }}
         Message:\t{{.Message}}
        {{- end }}
        {{- if .Constraints }}
        Placement:
         Constraints:\t{{.Constraints}}
        {{- end }}
        {{- with .Update }}
        UpdateConfig:
        {{.}}
        {{- end }}
        {{- with .Rollback }}
        RollbackConfig:
        {{.}}
        {{- end }}
        ContainerSpec:
        {{- if .Image }}
         Image:\t\t{{.Image}}
        {{- end }}
        {{- if .Rootfs }}
         Rootfs:\t{{.Rootfs}}
        {{- end }}
        {{- if .Arguments }}
         Args:\t\t{{.Arguments}}
        {{- end }}
        {{- if .Env }}
         Env:\t\t{{.Env}}
        {{- end }}
        {{- if .Resources }}
        Resources:
        {{.Resources}}
        {{- end }}
        {{- if .Networks }}
        Networks: {{.Networks}}
        {{- end }}
        Endpoint Mode:\t{{.EndpointMode}}
        {{- if .Ports }}
        Ports:
        {{- range .Ports }}
         PublishedPort = {{.PublishedPort}}
          Protocol = {{.Protocol}}
          TargetPort = {{.TargetPort}}
          PublishMode = {{.PublishMode}}
        {{- if .PublishedAddresses }}
          PublishedAddresses = {{.PublishedAddresses}}
        {{- end }}
        {{- end }}{{ end }}
        """

    /// What the template asks for. Networks are shown by the names given for their ids.
    static func value(_ service: TemplateValue, networks: [String: String]) -> TemplateValue {
        let (spec, task) = (service["Spec"], service["Spec"]["TaskTemplate"])
        let container = task["ContainerSpec"]
        let status = service["UpdateStatus"]
        let replicas = spec["Mode"]["Replicated"]["Replicas"].int ?? spec["Mode"]["ReplicatedJob"]["TotalCompletions"].int
        func words(_ value: TemplateValue, _ separator: String = " ") -> TemplateValue {
            .string(value.array.compactMap(\.string).joined(separator: separator))
        }
        func text(_ value: TemplateValue) -> TemplateValue { .string(value.string ?? "") }
        return [
            "ID": text(service["ID"]), "Name": text(spec["Name"]), "Labels": spec["Labels"],
            "Mode": .string(ServiceLs.word(spec["Mode"]).capitalizedFirst), "Replicas": replicas.map { .string(String($0)) } ?? "",
            "UpdateStatus": status.isNull
                ? .null
                : [
                    "State": text(status["State"]), "Started": .string(ago(status["StartedAt"])),
                    "Completed": .string(status["CompletedAt"].isNull ? "" : ago(status["CompletedAt"])),
                    "Message": text(status["Message"]),
                ],
            "Constraints": .string("[" + task["Placement"]["Constraints"].array.compactMap(\.string).joined(separator: " ") + "]")
                .unless(task["Placement"]["Constraints"].array.isEmpty),
            "Update": .string(replacement(spec["UpdateConfig"], "Update")),
            "Rollback": .string(replacement(spec["RollbackConfig"], "Rollback")), "Image": text(container["Image"]),
            "Rootfs": text(container["Rootfs"]), "Arguments": words(.array(container["Command"].array + container["Args"].array)),
            "Env": words(container["Env"], ","), "Resources": .string(resources(task["Resources"])),
            "Networks": .string(
                task["Networks"].array.compactMap { $0["Target"].string }.map { networks[$0] ?? $0 }.joined(separator: " ")),
            "EndpointMode": .string(spec["EndpointSpec"]["Mode"].string ?? "vip"),
            "Ports": .array(service["Endpoint"]["Ports"].array.map(port)),
        ]
    }

    private static func port(_ port: TemplateValue) -> TemplateValue {
        var port = port
        port["PublishedAddresses"] = .string(port["PublishedAddresses"].array.compactMap(\.string).joined(separator: " "))
        return port
    }

    private static func ago(_ time: TemplateValue) -> String {
        time.string.flatMap { HumanTime.seconds($0) }.map { HumanTime.duration(Terminal.now() - $0) + " ago" } ?? ""
    }

    private static func replacement(_ config: TemplateValue, _ word: String) -> String {
        guard !config.isNull else { return "" }
        var lines = [" Parallelism:\t\(config["Parallelism"].int ?? 0)"]
        if let delay = config["Delay"].int, delay > 0 { lines.append(" Delay:\t\t\(seconds(delay))") }
        lines.append(" On failure:\t\(config["FailureAction"].string ?? "pause")")
        if let monitor = config["Monitor"].int, monitor > 0 { lines.append(" Monitoring Period: \(seconds(monitor))") }
        let ratio: Double =
            switch config["MaxFailureRatio"] {
            case .double(let ratio): ratio
            case .int(let ratio): Double(ratio)
            default: 0
            }
        lines.append(" Max failure ratio: \(ratio == 0 ? "0" : "\(ratio)")")
        lines.append(" \(word) order:      \(config["Order"].string ?? "stop-first")")
        return lines.joined(separator: "\n")
    }

    private static func seconds(_ nanoseconds: Int64) -> String {
        let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return rest == 0 ? "\(whole)s" : "\(Double(nanoseconds) / 1e9)s"
    }

    private static func resources(_ resources: TemplateValue) -> String {
        var lines: [String] = []
        for group in ["Reservations", "Limits"] {
            let amounts = resources[group]
            var own: [String] = []
            if let cpus = amounts["NanoCPUs"].int, cpus > 0 { own.append("  CPU:\t\t\(Double(cpus) / 1e9)") }
            if let memory = amounts["MemoryBytes"].int, memory > 0 { own.append("  Memory:\t\(HumanSize.binary(memory))") }
            if let pids = amounts["Pids"].int, pids > 0 { own.append("  PIDs:\t\t\(pids)") }
            if !own.isEmpty { lines += [" \(group):"] + own }
        }
        return lines.joined(separator: "\n")
    }
}

extension TemplateValue {
    fileprivate func unless(_ isEmpty: Bool) -> TemplateValue { isEmpty ? "" : self }
}
