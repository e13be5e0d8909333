import Testing
import WeftTemplate

@testable import weft

private func create(_ arguments: String...) throws -> TemplateValue {
    try #require(try Weft.command(["network", "create"] + arguments) as? NetworkCreate).body()
}

@Test("swarm init as the docker CLI sends it")
func swarmInit() throws {
    let command = try #require(try Weft.command(["swarm", "init", "--advertise-addr", "172.29.0.1"]) as? SwarmInit)
    #expect(
        command.body.json
            == #"{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"172.29.0.1","DataPathAddr":"","DataPathPort":0,"ForceNewCluster":false,"#
            + #""Spec":{"Labels":null,"Orchestration":{},"Raft":{"ElectionTick":0,"HeartbeatTick":0},"Dispatcher":{},"CAConfig":{},"#
            + #""TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":false}},"AutoLockManagers":false,"Availability":"active","#
            + #""DefaultAddrPool":[],"SubnetSize":24}"#)
}

@Test("swarm init and update put settings where the docker CLI puts them")
func swarmSettings() throws {
    let command = try #require(
        try Weft.command(["swarm", "init", "--autolock", "--cert-expiry", "48h", "--snapshot-interval", "7"]) as? SwarmInit)
    #expect(
        command.body.json.contains(
            #""Raft":{"ElectionTick":0,"HeartbeatTick":0,"SnapshotInterval":7},"Dispatcher":{},"#
                + #""CAConfig":{"NodeCertExpiry":172800000000000},"TaskDefaults":{},"EncryptionConfig":{"AutoLockManagers":true}}"#))
    let update = try #require(
        try Weft.command(["swarm", "update", "--autolock", "false", "--dispatcher-heartbeat", "10s"]) as? SwarmUpdate)
    #expect(update.autolock == false)
    let spec: TemplateValue = ["Dispatcher": ["HeartbeatPeriod": .int(5)], "Raft": [:]]
    #expect(update.settings.applied(to: spec).json == #"{"Dispatcher":{"HeartbeatPeriod":10000000000},"Raft":{}}"#)
    let plain: TemplateValue = ["EncryptionConfig": ["AutoLockManagers": true]]
    for (arguments, json) in [
        (["--default-encryption"], #""DefaultEncryption":true"#), (["--default-encryption=false"], #""DefaultEncryption":false"#),
        (["--key-rotation", "1h"], #""KeyRotation":3600000000000"#),
    ] {
        let update = try #require(try Weft.command(["swarm", "update"] + arguments) as? SwarmUpdate)
        #expect(update.settings.applied(to: plain).json == #"{"EncryptionConfig":{"AutoLockManagers":true,\#(json)}}"#)
    }
}

@Test(
    "durations are read as Go reads them",
    arguments: [("90m", 5_400_000_000_000), ("1h0m1.5s", 3_601_500_000_000), ("5", nil), ("h", nil), ("", nil), ("2d", nil)])
func goDuration(text: String, nanoseconds: Int64?) {
    #expect(GoDuration(argument: text)?.nanoseconds == nanoseconds)
}

@Test("swarm join")
func swarmJoin() throws {
    let command = try #require(
        try Weft.command(["swarm", "join", "--token", "SWMTKN-1-a-b", "--advertise-addr", "eth0", "172.29.0.1:2377"])
            as? SwarmJoin)
    #expect(
        command.body.json
            == #"{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"eth0","DataPathAddr":"","RemoteAddrs":["172.29.0.1:2377"],"#
            + #""JoinToken":"SWMTKN-1-a-b","Availability":"active"}"#)
}

@Test("network create as the docker CLI sends it")
func networkCreate() throws {
    #expect(
        try create(
            "-d", "overlay", "--attachable", "--subnet", "10.9.0.0/24", "--ip-range", "10.9.0.128/25", "--gateway",
            "10.9.0.1",
            "--aux-address", "r1=10.9.0.2", "--opt", "encrypted", "--label", "l1=v1", "my_net"
        ).json
            == #"{"Name":"my_net","CheckDuplicate":true,"Driver":"overlay","Scope":"","IPAM":{"Driver":"default","Options":{},"#
            + #""Config":[{"Subnet":"10.9.0.0/24","IPRange":"10.9.0.128/25","Gateway":"10.9.0.1","AuxiliaryAddresses":{"r1":"10.9.0.2"}}]},"#
            + #""Internal":false,"Attachable":true,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"#
            + #""Options":{"encrypted":""},"Labels":{"l1":"v1"}}"#)
    #expect(try create("n")["IPAM"]["Config"] == [])
    #expect(try create("n")["EnableIPv6"] == .null && create("--ipv6", "n")["EnableIPv6"] == true)
    #expect(try create("--internal", "n")["Internal"] == true)
}

@Test("gateways, ranges and addresses are put to the subnet that they lie in")
func pools() throws {
    let config = try create(
        "--subnet", "10.1.0.0/24", "--subnet", "10.2.0.0/24", "--gateway", "10.2.0.1", "--ip-range", "10.1.0.64/26",
        "n")["IPAM"]["Config"]
    #expect(
        config.json
            == #"[{"Subnet":"10.1.0.0/24","IPRange":"10.1.0.64/26"},{"Subnet":"10.2.0.0/24","Gateway":"10.2.0.1"}]"#)
    let both = try create(
        "--subnet", "10.1.0.0/24", "--subnet", "FD00:9::/64", "--gateway", "fd00:9::1", "--aux-address", "r=fd00:9::5", "n")
    #expect(
        both["IPAM"]["Config"].json
            == #"[{"Subnet":"10.1.0.0/24"},{"Subnet":"fd00:9::/64","Gateway":"fd00:9::1","AuxiliaryAddresses":{"r":"fd00:9::5"}}]"#)
}

@Test(
    "addresses that fit no subnet are refused",
    arguments: [
        ["--gateway", "10.1.0.1"], ["--subnet", "10.1.0.0/24", "--gateway", "10.2.0.1"],
        ["--subnet", "10.1.0.0/24", "--subnet", "10.1.0.0/16"],
        ["--subnet", "10.1.0.0/24", "--ip-range", "10.1.0.0/16"],
        ["--subnet", "10.1.0.0/24", "--gateway", "10.1.0.1", "--gateway", "10.1.0.2"], ["--subnet", "ten"],
        ["--subnet", "10.1.0.0/24", "--aux-address", "x=10.2.0.1"], ["--subnet", "fd00::/129"],
        ["--subnet", "10.1.0.0/24", "--gateway", "fd00::1"], ["--subnet", "fd00::/64", "--subnet", "fd00::/80"],
        ["--subnet", "10.1.0.0/24", "--aux-address", "=10.1.0.1"],
        ["--label", "=x"],
    ])
func refusedPools(arguments: [String]) throws {
    let command = try #require(try Weft.command(["network", "create"] + arguments + ["n"]) as? NetworkCreate)
    #expect(throws: CommandFailure.self) { try command.body() }
}

@Test("node update changes what was said and keeps the rest of the spec")
func nodeUpdate() throws {
    let spec = try TemplateValue(
        json: #"{"Labels":{"a":"1","b":"2"},"Role":"worker","Availability":"active"}"#.utf8, maps: ["Labels"])
    let command = try #require(
        try Weft.command(["node", "update", "--availability", "drain", "--label-add", "c=3", "--label-rm", "a", "n"])
            as? NodeUpdate)
    #expect(
        try command.changed(spec).json == #"{"Labels":{"b":"2","c":"3"},"Role":"worker","Availability":"drain"}"#)
    let missing = try #require(try Weft.command(["node", "update", "--label-rm", "z", "n"]) as? NodeUpdate)
    #expect(throws: CommandFailure.self) { try missing.changed(spec) }
    let empty = try #require(try Weft.command(["node", "update", "--label-add", "c=3", "n"]) as? NodeUpdate)
    #expect(try empty.changed(["Labels": .null, "Role": "worker"]).json == #"{"Labels":{"c":"3"},"Role":"worker"}"#)
}

@Test("filters as the docker CLI sends them")
func filters() throws {
    #expect(
        try Filters(["driver=overlay", "label=tier=db", "label=x"]).query.map(\.1)
            == [#"{"driver":{"overlay":true},"label":{"tier=db":true,"x":true}}"#])
    #expect(try Filters([]).query.isEmpty)
    #expect(throws: CommandFailure.self) { try Filters(["driver"]) }
    #expect(throws: CommandFailure.self) { try Filters(["colour=red"]).check(["name"]) }
}
