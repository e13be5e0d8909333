// Who a node is, and how it shows that: the swarm's authority, join tokens, node certificates and what verifies them, the data
// key that a manager's secrets are sealed with, and the files that all of this is kept in.
//
// CertificateAuthority   makes or takes up a root, and signs what nodes request
// JoinToken              the digest of a root and a secret, in one text
// NodeIdentity           key, certificate and roots of one node: node.pem
// NodeCredentials        the same in use, for handshakes, replaced while connections are open
// SignedText             what a member says to others by way of the managers, who cannot change it
// DataKey, SealFile      what a manager's secrets are sealed with, and where it lies: seal.json
//
// It opens no connection, so that whoever needs a key links no gRPC. It decides nothing about the swarm: which role a
// secret gives and who is a member are the manager's affair (WeftManager/JoinService).
