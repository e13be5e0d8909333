// What crosses port 2377, and who may cross it; the only target that imports gRPC.
//
// Wire/       messages of weft.proto ↔ values of WeftModel; refuses what a peer cannot mean, by the field's path
// Session/    the bounded queue and the message streams that both ends of a session have
// Server/     a manager's port: `ManagerServer` in front of a `ManagerService`
// Client/     a node's side: `JoinClient` once, `DispatcherClient` from then on
// Generated/  from proto/weft.proto by scripts/generate-proto
//
// It decides nothing about the swarm: membership, ids and roles are the service's, assignments the manager's.
// Nobody sends a secret before he knows by the token's digest, or by the roots he keeps, whom he talks to.
