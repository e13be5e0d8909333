import Testing
import WeftTemplate

/// What the tests' templates are executed against.
let network: TemplateValue = [
    "Id": "i4dgis952rg9d3ke5pj2w9tfr", "Name": "my_net", "Attachable": true, "Internal": false, "MTU": 1450,
    "Ratio": .double(0.25), "Created": .null,
    "IPAM": [
        "Config": [
            ["Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"], ["Subnet": "10.0.2.0/24", "Gateway": "10.0.2.1"],
        ]
    ],
    "Labels": .map(["tier": "db", "owner": "me"]), "Peers": [], "Names": ["a1", "a2", "a3"], "Hosts": .map([:]),
]

func render(_ template: String, _ value: TemplateValue = network) throws -> String {
    try Template(template).render(value)
}

/// The error's text of a template that fails to be read or executed.
func failure(_ template: String, _ value: TemplateValue = network) -> String? {
    do throws(TemplateError) {
        _ = try Template(template).render(value)
        return nil
    } catch {
        return error.description
    }
}
