import Testing
import WeftTemplate

@testable import weft

private let node = """
    {"ID":"ilvid9zat14ivlex8yuy7qccv","Version":{"Index":9},"CreatedAt":"2026-11-21T09:47:23.122615443Z","UpdatedAt":"",
     "Spec":{"Labels":{"rack":"r2"},"Role":"manager","Availability":"active"},
     "Description":{"Hostname":"host1","Platform":{"Architecture":"x86_64","OS":"linux"},
       "Resources":{"NanoCPUs":2000000000,"MemoryBytes":25276514304},"Engine":{"EngineVersion":"0.1.0","Plugins":[]}},
     "Status":{"State":"ready","Addr":"172.29.0.1"},
     "ManagerStatus":{"Leader":true,"Reachability":"reachable","Addr":"172.29.0.1:2377"}}
    """
private let worker = """
    {"ID":"aaaaaaaaaaaaaaaaaaaaaaaaa","Spec":{"Labels":{},"Role":"worker","Availability":"drain"},
     "Description":{"Hostname":"host2","Engine":{"EngineVersion":"0.1.0"}},"Status":{"State":"down"}}
    """
private func json(_ text: String) throws -> TemplateValue {
    try TemplateValue(json: text.utf8, maps: ["Labels", "Networks", "Drops", "Options", "AuxiliaryAddresses"])
}

@Test("node ls")
func nodeTable() throws {
    let rows = try [node, worker].map { NodeLs.row(try json($0), own: "ilvid9zat14ivlex8yuy7qccv") }
    #expect(
        try NodeLs.listing.render(rows, format: nil) == """
            ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION
            ilvid9zat14ivlex8yuy7qccv *   host1      Ready     Active         Leader           0.1.0
            aaaaaaaaaaaaaaaaaaaaaaaaa     host2      Down      Drain                           0.1.0

            """)
    #expect(
        try NodeLs.listing.render(rows, format: nil, isQuiet: true)
            == "ilvid9zat14ivlex8yuy7qccv\naaaaaaaaaaaaaaaaaaaaaaaaa\n")
    #expect(try NodeLs.listing.render(rows, format: "{{.Hostname}}: {{.Status}}") == "host1: Ready\nhost2: Down\n")
}

@Test("node inspect --pretty")
func pretty() throws {
    let text = try Template(NodePretty.template).render(NodePretty.value(try json(node)))
    #expect(
        text == """
            ID:\t\t\tilvid9zat14ivlex8yuy7qccv
            Labels:
             - rack=r2
            Hostname:              \thost1
            Joined at:             \t2026-11-21 09:47:23.122615443 +0000 utc
            Status:
             State:\t\t\tReady
             Availability:         \tActive
             Address:\t\t172.29.0.1
            Manager Status:
             Address:\t\t172.29.0.1:2377
             Raft Status:\t\tReachable
             Leader:\t\tYes
            Platform:
             Operating System:\tlinux
             Architecture:\t\tx86_64
            Resources:
             CPUs:\t\t\t2
             Memory:\t\t23.54GiB
            Engine Version:\t\t0.1.0
            """)
}

private let network = """
    {"Name":"my_net","Id":"i4dgis952rg9d3ke5pj2w9tfr","Created":"2026-11-21T09:47:23Z","Scope":"swarm","Driver":"overlay",
     "EnableIPv6":false,"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"10.0.2.0/24","Gateway":"10.0.2.1"}]},
     "Internal":false,"Labels":{"tier":"db","a":"b"},"Containers":null,"Options":{}}
    """

@Test("network ls")
func networkTable() throws {
    let rows = [NetworkLs.row(try json(network), whole: false)]
    #expect(
        try NetworkLs.listing.render(rows, format: nil) == """
            NETWORK ID     NAME      DRIVER    SCOPE     ENCRYPTED
            i4dgis952rg9   my_net    overlay   swarm     false

            """)
    #expect(try NetworkLs.listing.render(rows, format: #"{{.Label "tier"}} {{.Labels}}"#) == "db a=b,tier=db\n")
    #expect(
        try NetworkLs.listing.render(rows, format: "json")
            == #"{"CreatedAt":"2026-11-21 09:47:23 +0000 UTC","Driver":"overlay","Encrypted":"false","ID":"i4dgis952rg9","IPv4":"true","IPv6":"false","#
            + #""Internal":"false","Labels":"a=b,tier=db","Name":"my_net","Scope":"swarm"}"# + "\n")
    #expect(
        try NetworkLs.listing.render(rows, format: #"table {{.Name}}\t{{.Label "tier"}}"#)
            == "NAME      tier\nmy_net    db\n")
    let whole = [NetworkLs.row(try json(network), whole: true)]
    #expect(try NetworkLs.listing.render(whole, format: nil, isQuiet: true) == "i4dgis952rg9d3ke5pj2w9tfr\n")
    #expect(throws: CommandFailure.self) { try NetworkLs.listing.render(rows, format: "{{.Nothing}}") }
}

@Test("inspect: an indented array, one line, or a template for each")
func inspection() throws {
    let value = try json(network)
    let text = try Inspection.render([value], format: nil)
    #expect(
        text.hasPrefix("[\n    {\n        \"Name\": \"my_net\",\n        \"Id\": ") && text.hasSuffix("    }\n]\n"))
    #expect(try Inspection.render([value], format: "json").hasPrefix(#"[{"Name":"my_net","Id":"#))
    #expect(
        try Inspection.render([value, value], format: "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}")
            == "10.0.2.0/24 10.0.2.1\n10.0.2.0/24 10.0.2.1\n")
    #expect(try Inspection.render([], format: nil) == "[]\n")
    #expect(throws: CommandFailure.self) { try Inspection.render([value], format: "{{.Nothing}}") }
}

private let sandbox = """
    {"Id":"0123456789abcdef","Name":"a1","Command":["sleep","infinity","and","more"],"CreatedAt":"2026-11-21T09:00:00Z",
     "State":"running","ExitCode":0,"Pid":77,"Networks":{"my_net":{"IPAddress":"10.0.2.3","NetworkID":"i4dg"},
     "b_net":{"IPAddress":"10.0.3.3","NetworkID":"zzzz"}},
     "Hostname":"a1","StartedAt":"2026-11-21T09:00:01Z","FinishedAt":"0001-01-01T00:00:00Z"}
    """

@Test("ps")
func sandboxTable() throws {
    let now = try #require(HumanTime.seconds("2026-11-21T09:05:30Z"))
    let row = PsCommand.row(try json(sandbox), now: now, whole: false)
    #expect(
        try PsCommand.listing.render([row], format: nil) == """
            SANDBOX ID     COMMAND                  CREATED         STATUS         ADDRESSES           NETWORKS       NAMES
            0123456789ab   "sleep infinity and …"   5 minutes ago   Up 5 minutes   10.0.3.3,10.0.2.3   b_net,my_net   a1

            """)
    #expect(try PsCommand.listing.render([row], format: nil, isQuiet: true) == "0123456789ab\n")
    let whole = PsCommand.row(try json(sandbox), now: now, whole: true)
    #expect(PsCommand.row(["Command": ["a\n\"b\""]], now: now, whole: false)["Command"] == #""a\n\"b\"""#)
    #expect(whole["Command"] == "\"sleep infinity and more\"" && whole["ID"] == "0123456789abcdef")
}

@Test("how a sandbox does")
func status() throws {
    let now = try #require(HumanTime.seconds("2026-11-21T12:00:00Z"))
    #expect(
        PsCommand.status(["State": "exited", "ExitCode": 3, "FinishedAt": "2026-11-21T11:59:20Z"], now: now)
            == "Exited (3) 40 seconds ago")
    #expect(
        PsCommand.status(["State": "exited", "ExitCode": 0, "FinishedAt": "0001-01-01T00:00:00Z"], now: now)
            == "Exited (0)")
    #expect(PsCommand.status(["State": "created"], now: now) == "Created")
}

@Test("ps: filters")
func sandboxFilters() throws {
    let value = try json(sandbox)
    for (filter, fits) in [
        ("name=a", true), ("name=b", false), ("id=0123", true), ("id=9", false), ("status=running", true),
        ("status=exited", false), ("network=my_net", true), ("network=i4dg", true), ("network=other", false),
    ] {
        #expect(PsCommand.fits(value, try Filters([filter])) == fits, "\(filter)")
    }
    #expect(PsCommand.fits(value, try Filters(["name=x", "name=a1"])))
    #expect(!PsCommand.fits(value, try Filters(["name=a1", "status=exited"])))
}

@Test(
    "times as docker words them",
    arguments: [
        (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"), (3599, "About an hour"), (3540, "59 minutes"), (5400, "2 hours"), (172_800, "2 days"),
        (1_209_600, "2 weeks"), (5_184_000, "2 months"), (63_072_000, "2 years"),
    ] as [(Int64, String)])
func durations(seconds: Int64, text: String) {
    // 59 minutes and 59 seconds are 59 minutes to docker: minutes are cut, hours rounded.
    #expect(HumanTime.duration(seconds) == (seconds == 3599 ? "59 minutes" : text))
}

@Test(
    "RFC 3339",
    arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-21T09:47:23.122615443Z", 1_795_254_443),
        ("2000-02-29T12:00:00+01:00", 951_822_000),
        ("0001-01-01T00:00:00Z", nil), ("yesterday", nil), ("2026-13-01T00:00:00Z", nil), ("", nil),
    ] as [(String, Int64?)])
func times(text: String, seconds: Int64?) {
    #expect(HumanTime.seconds(text) == seconds)
}

@Test("sizes as docker prints them")
func sizes() {
    #expect(HumanSize.binary(25_276_514_304) == "23.54GiB")
    #expect(HumanSize.binary(512) == "512B")
    #expect(HumanSize.decimal(1_500) == "1.5kB")
    #expect(HumanSize.decimal(123_456_789) == "123.5MB")
}

@Test("status")
func statusText() throws {
    let text = try StatusCommand.text(
        try json(
            """
            {"NodeID":"n1","Session":{"Connected":true,"Manager":"172.30.0.1:2377","AppliedRevision":42},
             "Endpoints":[{"EndpointID":"e1","Name":"a1","Network":"my_net","IPAddress":"10.0.2.3","Interface":"wv01234567",
               "SentPackets":12,"SentBytes":1500,"ReceivedPackets":3,"ReceivedBytes":99,"Drops":{"NO_ENDPOINT":2,"INTERNAL":0}}],
             "Underlay":{"Interface":"eth0","Address":"172.30.0.1","MTU":1500,"Port":4789,"Attachment":"tcx",
               "Translation":"socket","TranslationProblem":"",
               "PortProblems":["port 80/tcp of this host is in use by nginx (process 7), and is not published here"],"Drops":{}},
             "Encryption":{"Needed":true,"Engine":"user space","Process":812,"Epoch":3,"StatedEpoch":3,"Problem":"",
               "Counts":{"sent":12,"received":10,"noKey":4,"forged":0},
               "Pairs":[{"NodeID":"n2","Epoch":0,"Heard":false,"Problem":"nothing can be sent to it encrypted: it has said nothing of its keys"},
                 {"NodeID":"n3","Epoch":3,"Heard":true,"Ready":true,"RoundTripMicroseconds":310,"Problem":""}]},
             "Peers":[{"NodeID":"n2","Hostname":"host2","State":"ready","Address":"172.30.0.2"}]}
            """))
    #expect(
        text == """
            Node:      n1
            Session:   connected to 172.30.0.1:2377, applied revision 42
            Underlay:  eth0 172.30.0.1, MTU 1500, UDP port 4789, programs by tcx, dropped: none
            Services:  TCP translated where sockets connect, all else at the interface
            Problem:   port 80/tcp of this host is in use by nginx (process 7), and is not published here
            Encrypted: in user space by weft-tunnel (process 812), epoch 3, 1 of 2 nodes ready, dropped: 4 noKey
            Problem:   host2: nothing can be sent to it encrypted: it has said nothing of its keys

            PEER      HOSTNAME   STATE     ADDRESS
            n2        host2      ready     172.30.0.2

            ENDPOINT   NETWORK   ADDRESS    INTERFACE    SENT         RECEIVED   DROPPED
            a1         my_net    10.0.2.3   wv01234567   12 (1.5kB)   3 (99B)    2 NO_ENDPOINT

            """)
    #expect(try StatusCommand.text(["NodeID": "", "Session": .null]).contains("not part of a swarm"))
}

@Test("info")
func infoText() throws {
    let text = InfoCommand.text(
        try json(
            """
            {"ServerVersion":"0.1.0","Name":"host1","NCPU":2,"Swarm":{"NodeID":"n1","NodeAddr":"172.29.0.1","LocalNodeState":"active",
             "ControlAvailable":true,"RemoteManagers":[{"NodeID":"n1","Addr":"172.29.0.1:2377"}],"Nodes":3,"Managers":1,
             "Cluster":{"ID":"c1","DefaultAddrPool":["10.0.0.0/8"],"SubnetSize":24,"DataPathPort":4789}}}
            """))
    #expect(
        text.contains(
            """
             Swarm: active
              NodeID: n1
              Is Manager: true
              ClusterID: c1
              Managers: 1
              Nodes: 3
              Default Address Pool: 10.0.0.0/8
              SubnetSize: 24
              Data Path Port: 4789
              Node Address: 172.29.0.1
              Manager Addresses:
               172.29.0.1:2377

            """))
}

@Test(
    "network ls tells what is encrypted, as Docker's users say it", arguments: [("", true), ("true", true), ("False", false), ("0", false)])
func encryptedRow(value: String, isEncrypted: Bool) throws {
    let row = NetworkLs.row(try json(#"{"Name":"n","Id":"i","Driver":"overlay","Options":{"encrypted":"\#(value)"}}"#), whole: false)
    #expect(row["Encrypted"].string == (isEncrypted ? "true" : "false"))
}

@Test("swarm keys: the epoch, and which nodes are behind")
func swarmKeys() throws {
    func keys(networks: Int, nodes: String) throws -> String {
        SwarmKeys.text(
            try json(
                #"{"Epoch":3,"Since":"2026-11-21T09:47:23Z","RotationSeconds":43200,"RotationPending":true,"EncryptedNetworks":\#(networks),"#
                    + #""Nodes":[\#(nodes)]}"#))
    }
    let ready = #"{"ID":"a","Hostname":"h1","State":"ready","StatedEpoch":3,"ReadyEpoch":3}"#
    #expect(
        try keys(networks: 1, nodes: ready) == """
            Epoch:               3
            Since:               2026-11-21 09:47:23 +0000 UTC
            Rotation:            every 12 h, another epoch is about to begin
            Encrypted networks:  1
            Nodes behind:        none

            """)
    #expect(try !keys(networks: 0, nodes: ready).contains("behind"))
    let behind = try keys(
        networks: 1,
        nodes: ready + #",{"ID":"b","Hostname":"","State":"down","StatedEpoch":0,"ReadyEpoch":0}"#
            + #",{"ID":"c","Hostname":"h3","State":"ready","StatedEpoch":3,"ReadyEpoch":2}"#
            + #",{"ID":"d","Hostname":"h4","State":"ready","StatedEpoch":2,"ReadyEpoch":2}"#
            + #",{"ID":"e","Hostname":"h5","State":"ready","StatedEpoch":0,"ReadyEpoch":0}"#)
    #expect(behind.contains("  b: the node is down\n  h3: has its keys, and is not ready for those of all others\n  h4: is at epoch 2\n"))
    #expect(behind.contains("  h5: has stated no keys") && !behind.contains("h1"))
}
