import Testing
import WeftAPI
import WeftModel
import WeftText

@Suite struct SharedFileTests {
    @Test(arguments: ["secret", "config"])
    func `what the CLI and SDKs make is shown, found and removed`(kind: String) async throws {
        try await withServer { client, _ async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            let body = #"{"Name":"st_key","Labels":{"com.docker.stack.namespace":"st"},"Data":"c2VzYW1l","Templating":{"name":"golang"}}"#
            let created = try await client.send("POST", "/v1.41/\(kind)s/create", body)
            #expect(created.status == 201)
            guard case .string(let id)? = try created.json()["ID"] else { return #expect(Bool(false), "\(created.text)") }
            let shown = try await client.send("GET", "/\(kind)s/st_key").json()
            #expect(shown["ID"] == .string(id) && shown["Version"]?["Index"] != nil && shown["CreatedAt"] != nil)
            let labels: JSON = ["com.docker.stack.namespace": "st"]
            let templating: JSON = ["Name": "golang"]
            // What is secret never leaves; a config does.
            #expect(
                shown["Spec"]
                    == (kind == "secret"
                        ? ["Name": "st_key", "Labels": labels, "Templating": templating]
                        : ["Name": "st_key", "Labels": labels, "Data": "c2VzYW1l", "Templating": templating]))
            #expect(try await client.send("GET", "/\(kind)s/\(id.prefix(9))").json() == shown)
            #expect(try await client.send("GET", "/\(kind)s").json() == .array([shown]))
            let taken = try await client.send("POST", "/\(kind)s/create", body)
            #expect(taken.status == 409)
            #expect(taken.message == "rpc error: code = AlreadyExists desc = \(kind) st_key already exists")
            let removed = try await client.send("DELETE", "/\(kind)s/st_key")
            #expect(removed.status == 204 && removed.body.isEmpty)
            #expect(try await client.send("GET", "/\(kind)s/\(id)").message == "\(kind) \(id) not found")
        }
    }

    @Test(arguments: [
        (#"{"name":["st_"]}"#, ["st_a", "st_b"]), (#"{"name":{"st_a":true}}"#, ["st_a"]), (#"{"names":["st_"]}"#, []),
        (#"{"label":{"a=1":true}}"#, ["other"]), (#"{"label":{"a":true}}"#, ["other", "st_a"]),
        (#"{"label":["a","b"]}"#, ["st_a"]),
    ])
    func `lists are filtered as Docker filters them`(filter: String, names: [String]) async throws {
        try await withServer { client, _ async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            for (name, labels) in [("other", #"{"a":"1"}"#), ("st_a", #"{"a":"2","b":""}"#), ("st_b", "null")] {
                let answer = try await client.send("POST", "/configs/create", #"{"Name":"\#(name)","Labels":\#(labels),"Data":"eA=="}"#)
                #expect(answer.status == 201)
            }
            let answer = try await client.send("GET", "/configs?filters=\(filter.percentEncoded)").json()
            guard case .array(let found) = answer else { return #expect(Bool(false)) }
            let shown = found.map { $0["Spec"]?["Name"] }.sorted { "\($0 ?? "")" < "\($1 ?? "")" }
            #expect(shown == names.map { .string($0) })
        }
    }

    @Test(arguments: [
        (
            "secrets", #"{"Name":"x"}"#, 400,
            "rpc error: code = InvalidArgument desc = secret data must be larger than 0 and less than 512000"
        ),
        ("configs", #"{"Name":"x","Data":""}"#, 400, "config data must be larger than 0 and less than 1024000 bytes"),
        ("secrets", #"{"Name":"x","Data":"a"}"#, 400, "Data is not base 64"),
        ("secrets", #"{"Name":"x","Data":"eB=="}"#, 400, "Data is not base 64"),
        ("secrets", #"{"Name":"x","Data":"eA==","Driver":{"Name":"vault"}}"#, 501, "Driver is not available"),
        ("configs", #"{"Name":"x","Data":"eA==","Templating":{"Name":"jinja"}}"#, 501, "Templating.Name \"jinja\""),
    ])
    func `what cannot be kept is refused`(kind: String, body: String, status: Int, text: String) async throws {
        try await withServer { client, _ async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            let answer = try await client.send("POST", "/\(kind)/create", body)
            #expect(answer.status == status && answer.message?.contains(text) == true, "\(answer.text)")
            #expect(try await client.send("GET", "/\(kind)").text == "[]\n")
        }
    }

    @Test func `a secret as large as Docker takes it is taken`() async throws {
        try await withServer { client, _ async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            for (size, status) in [(511_999, 201), (512_000, 400)] {
                let data = Base64.encoded([UInt8](repeating: 7, count: size))
                let answer = try await client.send("POST", "/secrets/create", #"{"Name":"s\#(size)","Data":"\#(data)"}"#)
                #expect(answer.status == status)
            }
        }
    }

    @Test func `labels are updated under the version as read`() async throws {
        try await withServer { client, _ async throws in
            _ = try await client.send("POST", "/swarm/init", "{}")
            _ = try await client.send("POST", "/secrets/create", #"{"Name":"x","Data":"eA=="}"#)
            guard case .integer(let version)? = try await client.send("GET", "/secrets/x").json()["Version"]?["Index"] else {
                return #expect(Bool(false))
            }
            let body = #"{"Name":"x","Labels":{"k":"v"}}"#
            #expect(try await client.send("POST", "/secrets/x/update?version=\(version)", body).status == 200)
            #expect(try await client.send("GET", "/secrets/x").json()["Spec"]?["Labels"] == ["k": "v"])
            let stale = try await client.send("POST", "/secrets/x/update?version=1", body)
            #expect(stale.status == 500 && stale.message == "rpc error: code = Unknown desc = update out of sequence")
        }
    }
}
