/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * What the eBPF programs and weftd agree on: map keys, map values, drop reasons, fixed addresses.
 * One header for both compilers: `clang -target bpf` and Swift's importer. No functions, no other includes than <linux/types.h>.
 *
 * Addresses are in network byte order, identifiers and indexes in host byte order.
 * Every byte is named: the kernel compares map keys whole, and padding is undefined.
 */
#ifndef WEFT_DATAPATH_ABI_H
#define WEFT_DATAPATH_ABI_H

#include <linux/types.h>

/* Raised whenever a struct here changes; the pinned maps of another version are not adopted. */
#define WEFT_ABI_VERSION 8u

/* MAC address of every endpoint's gateway and of the host end of every endpoint's veth. */
#define WEFT_GATEWAY_MAC0 0x0au
#define WEFT_GATEWAY_MAC1 0x77u
#define WEFT_GATEWAY_MAC2 0x65u
#define WEFT_GATEWAY_MAC3 0x66u
#define WEFT_GATEWAY_MAC4 0x74u
#define WEFT_GATEWAY_MAC5 0x01u

/* 169.254.77.53, the resolver's address in every sandbox, in host byte order. */
#define WEFT_RESOLVER_IPV4 0xa9fe4d35u

/* Map sizes: entries are allocated on demand (BPF_F_NO_PREALLOC). */
#define WEFT_MAX_LOCAL_ENDPOINTS 16384u
#define WEFT_MAX_FORWARD_ENTRIES 1048576u
#define WEFT_MAX_FORWARD6_ENTRIES 262144u
#define WEFT_MAX_VTEP_ENTRIES 262144u
#define WEFT_MAX_SUBNETS 65536u
#define WEFT_MAX_SERVICES 65536u
#define WEFT_MAX_SERVICE_PAGES 1048576u
#define WEFT_MAX_BACKENDS 1048576u
#define WEFT_MAX_PUBLISHED 65536u
#define WEFT_MAX_SOURCES 65536u
#define WEFT_MAX_HOST_ADDRESSES 16384u
/* Those that are allocated at once, as maps are that forget what was used least. */
#define WEFT_MAX_FLOWS 65536u
#define WEFT_MAX_INGRESS_FLOWS 65536u
#define WEFT_MAX_FORMER_BACKENDS 16384u
#define WEFT_MAX_ANSWERS 16384u

/* Map weft_config, an array of one. */
struct weft_config {
    __u32 abi_version;
    __u32 underlay_ifindex;
    __u32 vtep_ipv4;       /* this node's data-path address, network order */
    __u32 vxlan_port;      /* UDP port, host order */
    __u32 tunnel_ifindex;  /* the device of what encrypts (WEFT_TUNNEL_ESP), 0 = there is none */
};

/* Map weft_endpoint: host end's interface index -> the endpoint behind it. */
struct weft_endpoint_key {
    __u32 ifindex;
};

enum weft_endpoint_flag {
    WEFT_ENDPOINT_INTERNAL = 1u << 0,   /* its network has no way out */
    WEFT_ENDPOINT_NO_EXIT = 1u << 1,    /* its container has another interface for the way out: this one leads to the network and the resolver */
    WEFT_ENDPOINT_BACKEND = 1u << 2,    /* it is a task of a service: what comes from it may answer a connection to the service's address */
    WEFT_ENDPOINT_INGRESS = 1u << 3,    /* it is on the ingress network: what it sends outside may answer a client of a published port */
};

struct weft_endpoint {
    __u32 vni;
    __u32 ipv4;            /* network order */
    __u32 gateway_ipv4;    /* network order, 0 = none */
    __u32 subnet_ipv4;     /* network order */
    __u32 subnet_mask;     /* network order */
    __u32 flags;           /* enum weft_endpoint_flag */
    __u8 mac[6];
    __u8 reserved[2];
    __u32 ipv6[4];         /* network order as all IPv6 addresses, 0 = its network has IPv4 alone */
    __u32 gateway_ipv6[4]; /* 0 = none */
    __u32 subnet_mask6[4];
};

/* How packets go to a peer and come from it. */
enum weft_tunnel {
    WEFT_TUNNEL_VXLAN = 0,             /* VXLAN in the clear */
    WEFT_TUNNEL_ESP = 1,               /* VXLAN in ESP in UDP, by a process that encrypts */
};

/* A frame from the programs to that process, on its device (WeftESP/TunnelFrame). The Ethernet addresses say what the packet belongs to. */
struct weft_tunnel_frame {
    __u8 to[2];            /* WEFT_TUNNEL_FRAME_MARK, the VNI's upper 8 bits */
    __u16 vni;             /* the others, network order */
    __u16 reserved_to;
    __u16 from;            /* network order: the mark, then 0 */
    __u16 peer[2];         /* data-path address of the node that it is for, network order */
    __u16 type;            /* network order: 0x0800 or 0x86dd, and the IP packet follows */
};

/* A frame from that process, as a program sees it: its 802.1Q tag is in the buffer's vlan_tci. The target is the device's own address, so that
 * whoever looks at the device sees what comes in there, and not what is somebody else's. */
struct weft_tunnel_arrival {
    __u8 to[6];            /* WEFT_GATEWAY_MAC */
    __u8 from[2];          /* WEFT_TUNNEL_FRAME_MARK, the VNI's upper 8 bits */
    __u16 vni;             /* the others, network order */
    __u16 peer;            /* the lower half of the data-path address of the node that it is from, network order; the upper is the tag */
    __u16 type;            /* as above */
};

/* A local, unicast address. */
#define WEFT_TUNNEL_FRAME_MARK 0x02u

/* Map weft_forward: where an address of a network lives. */
struct weft_forward_key {
    __u32 vni;
    __u32 ipv4;            /* network order */
};

/* Map weft_forward6, the same for IPv6: a table of its own, so that IPv4's stays small and quick. */
struct weft_forward6_key {
    __u32 vni;
    __u32 ipv6[4];
};

enum weft_forward_flag {
    WEFT_FORWARD_SERVICE = 1u << 0,     /* nobody's: a service's own address, its backends are in weft_service */
    WEFT_FORWARD_BACKEND = 1u << 1,     /* of an endpoint with WEFT_ENDPOINT_BACKEND */
    WEFT_FORWARD_HOST = 1u << 2,        /* this node's own: the other end of its veth is in the host's own namespace */
};

struct weft_forward {
    __u32 ifindex;         /* local endpoint: host end of its veth; remote: 0 */
    __u32 vtep_ipv4;       /* remote endpoint: its node's data-path address, network order; local: 0 */
    __u8 mac[6];
    __u16 mtu;             /* remote endpoint: the largest IP packet that fits the tunnel to its node, host order; 0 = not known, not limited */
    __u8 tunnel;           /* remote endpoint: enum weft_tunnel */
    __u8 flags;            /* enum weft_forward_flag */
    __u8 reserved[2];
};

/* Map weft_vtep: which peers may send for which network. Presence is membership. */
struct weft_vtep_key {
    __u32 vni;
    __u32 vtep_ipv4;       /* network order */
};

struct weft_vtep {
    __u32 tunnel;          /* enum weft_tunnel: what comes from the peer by another kind is dropped */
    __u16 mtu;             /* the largest IP packet that fits the tunnel to it, host order; 0 = not known, not limited */
    __u16 reserved;
};

/* Map weft_subnet, an LPM trie: every overlay subnet of the swarm -> its VNI. IPv4 overlay addresses never leave by the host's routes. */
struct weft_subnet_key {
    __u32 prefix_length;   /* 0...32: the LPM trie's own field */
    __u32 ipv4;            /* network order */
};

/* Map weft_subnet6, the same for IPv6, which has no way out at all: it tells a network of the swarm from anything else. */
struct weft_subnet6_key {
    __u32 prefix_length;   /* 0...128 */
    __u32 ipv6[4];
};

struct weft_subnet {
    __u32 vni;
};

/* An address of a service. Addresses of IPv4 are the first word, the others 0. */
struct weft_service_key {
    __u32 vni;
    __u32 family;          /* 4 or 6 */
    __u32 address[4];
};

enum weft_service_flag {
    WEFT_SERVICE_BY_SOURCE = 1u << 0,   /* a client's address alone decides which backend it gets */
};

/* Map weft_service. Its backends stand in two tables under the same number and generation. New tables are written beside the old ones
 * and come into force with this entry, the old ones go afterwards: who finds nothing under its generation looks here again. */
struct weft_service {
    __u32 ipv4;            /* names the service in its tables: its address of IPv4, network order, for both families */
    __u32 generation;
    __u32 backends;        /* 0: none, connections are refused */
    __u32 mask;            /* one less than the number of places, a power of two of at least WEFT_SERVICE_PAGE_PLACES */
    __u32 flags;           /* enum weft_service_flag */
    __u32 ipv6[4];         /* its address of IPv6, which has an entry like this of its own; 0 = none */
};

/* Map weft_service_page: places of a service, each with the backend whose it is. A connection's hash chooses the place; which backend
 * has which places follows from the backends' addresses, so that all nodes choose alike, and choose most alike when one comes or goes. */
#define WEFT_SERVICE_PAGE_PLACES 128u

struct weft_service_page_key {
    __u32 vni;
    __u32 ipv4;
    __u32 generation;
    __u32 page;
};

struct weft_service_page {
    __u16 backend[WEFT_SERVICE_PAGE_PLACES];
};

/* Map weft_backend. */
struct weft_backend_key {
    __u32 vni;
    __u32 ipv4;
    __u32 generation;
    __u32 index;
};

struct weft_backend {
    __u32 ipv4;            /* network order */
    __u32 ipv6[4];         /* 0 = none */
};

/* Map weft_flow: what was translated, at the client's node. Each connection has an entry for either direction: to the service's address
 * with the backend that it was given, from the backend with the service's address. */
enum weft_flow_direction {
    WEFT_FLOW_TO_SERVICE = 0,
    WEFT_FLOW_FROM_BACKEND = 1,
    WEFT_FLOW_FRAGMENTS_TO_SERVICE = 2,   /* of one packet, whose identification is in the ports' place: later fragments have none */
    WEFT_FLOW_FRAGMENTS_FROM_BACKEND = 3,
};

struct weft_flow_key {
    __u32 vni;
    __u32 client[4];
    __u32 peer[4];         /* the service's address, or the backend's */
    __u32 ports;           /* the client's port, then the peer's, in network order; 0 of protocols without */
    __u8 protocol;
    __u8 family;           /* 4 or 6 */
    __u8 direction;        /* enum weft_flow_direction */
    __u8 reserved;
};

struct weft_flow {
    __u32 address[4];      /* what the peer's is to be replaced by */
    __u32 ifindex;         /* the client's host end: an address may have become another's */
    __u32 generation;      /* of the service, when the backend was chosen */
};

/* Map weft_former: addresses that were backends' and are nobody's. What was connected there is told so: it does not come by the service's
 * address, where it would be noticed. Looked up for addresses alone that weft_forward does not have. */
struct weft_former_key {
    __u32 vni;
    __u32 family;          /* 4 or 6 */
    __u32 address[4];      /* IPv4: the first word, the others 0 */
};

struct weft_former {
    __u32 reserved;
};

/* Map weft_namespace: a network namespace and a network -> the host end of the endpoint that it has there. Cookies are not given out
 * again: what is left of a namespace that is gone means nobody. */
struct weft_namespace_key {
    __u64 cookie;
    __u32 vni;
    __u32 reserved;
};

struct weft_namespace {
    __u32 ifindex;
};

/* Map weft_asked, in the sockets themselves: what a socket was asked to connect to, if it is connected to something else. */
struct weft_asked {
    __u32 address[4];
    __u32 port;            /* network order */
    __u32 family;          /* 4 or 6; of the address, not of the socket */
};

/* Map weft_ingress, an array of one: this node on the ingress network, by whose tasks published ports are served. The host has a device
 * with this address, weft_ingress, and a route to the network by it, whose other end is an endpoint as any: what the host's own processes
 * send to a service's address on that network is translated there. */
struct weft_ingress {
    __u32 vni;             /* 0: no port is published at this node */
    __u32 ipv4;            /* network order */
    __u32 ipv6[4];         /* 0 = the network has IPv4 alone */
    __u32 ifindex;         /* host end of that device */
    __u8 mac[6];
    __u8 reserved[2];
};

/* Map weft_published: a port of this host that is published for a service. */
struct weft_published_key {
    __u32 address[4];      /* the host's address that it is published at; 0 = all of them, of both families */
    __u16 port;            /* network order */
    __u8 protocol;
    __u8 family;           /* 4 or 6 with an address; else 0 */
};

enum weft_published_flag {
    WEFT_PUBLISHED_FOR_SOURCES = 1u << 0,   /* for clients in weft_source alone */
    WEFT_PUBLISHED_DIRECT = 1u << 1,        /* tasks on other nodes answer by their own node */
};

struct weft_published {
    __u32 vni;             /* of the ingress network */
    __u32 ipv4;            /* the service's address there, by which its backends are found: network order */
    __u32 ipv6[4];         /* 0 = none: what asks over IPv6 is not served */
    __u16 target;          /* the tasks' port, network order */
    __u16 flags;           /* enum weft_published_flag */
};

/* Map weft_source, an LPM trie: a published port and a network of clients that may ask for it. Presence is all. */
struct weft_source_key {
    __u32 prefix_length;   /* WEFT_SOURCE_PREFIX and the network's own */
    struct weft_published_key published;
    __u32 family;          /* 4 or 6: the client's */
    __u32 client[4];
};

#define WEFT_SOURCE_PREFIX 192u /* bits of what comes before the client's address */

/* Map weft_host_address: the host's own addresses, of all its interfaces. Presence is all. */
struct weft_host_address_key {
    __u32 family;          /* 4 or 6 */
    __u32 address[4];
};

/* Map weft_ingress_flow: connections to published ports, where they enter and where their task is. Each has an entry for either
 * direction, whose key is what a packet says, and whose value is what it is to say instead. */
enum weft_ingress_direction {
    WEFT_INGRESS_IN = 0,              /* from the client */
    WEFT_INGRESS_OUT = 1,             /* from the task */
    WEFT_INGRESS_FRAGMENTS_IN = 2,    /* of one packet, whose identification is in the ports' place: later fragments have none */
    WEFT_INGRESS_FRAGMENTS_OUT = 3,
};

struct weft_ingress_flow_key {
    __u32 client[4];       /* as the packet has it; the node's own address in answers to an endpoint of this host */
    __u32 address[4];      /* in: what was asked, the host's address, or the task's where it came by a tunnel; out: the task's */
    __u32 ports;           /* the client's, then the other's, in network order */
    __u32 via;             /* in: data-path address of the node where it entered, 0 = here; or the interface of an endpoint here */
    __u8 protocol;
    __u8 family;           /* 4 or 6 */
    __u8 direction;        /* enum weft_ingress_direction */
    __u8 reserved;
};

enum weft_ingress_flag {
    WEFT_INGRESS_DIRECT = 1u << 0,    /* in, where it enters: goes to the task's node as it was asked; out, there: goes straight to the client */
};

struct weft_ingress_flow {
    __u32 client[4];
    __u32 address[4];      /* in: the task's; out: what was asked */
    __u32 ports;           /* the client's, then the other's. The task sees another port of the client's where two would be the same */
    __u32 peer;            /* out: data-path address of the node where it entered; 0 = here */
    __u32 ifindex;         /* out: the interface that it entered by */
    __u32 generation;      /* in: of the service, when the task was chosen */
    __u32 flags;           /* enum weft_ingress_flag */
};

/* Map weft_answer: the source of a datagram to a socket of the host's -> what it is told of as coming from, a struct weft_asked. */
struct weft_answer_key {
    __u64 socket;          /* its cookie */
    __u32 address[4];
    __u32 port;            /* network order */
    __u32 family;          /* 4 or 6 */
};

/* How much of the resolver an endpoint may have waiting: queries over UDP in its socket, connections that it has not accepted.
 * Beyond it the endpoint's own are dropped, so that they never fill what all endpoints share. It is no rate: weftd begins a new round
 * whenever it has taken all that waited, thousands of times a second. */
#define WEFT_RESOLVER_SHARE_UDP 1024u
#define WEFT_RESOLVER_SHARE_TCP 64u
/* A round lasts no longer than this, in nanoseconds: what was counted may never have arrived at weftd. */
#define WEFT_RESOLVER_ROUND_MAX 1000000000ull

/* The index in map weft_resolver_round, an array of the rounds' numbers. */
enum weft_resolver_transport {
    WEFT_RESOLVER_UDP = 0,
    WEFT_RESOLVER_TCP = 1,
    WEFT_RESOLVER_TRANSPORT_COUNT
};

/* Map weft_resolver_share: what an endpoint has sent in a round. Made by the program, removed with the endpoint. */
struct weft_resolver_share_key {
    __u32 ifindex;
    __u32 transport;       /* enum weft_resolver_transport */
};

struct weft_resolver_share {
    __u64 since;           /* when the round began for this endpoint, by the monotonic clock */
    __u32 round;
    __u32 count;
};

/* Why a packet was dropped. Append only: the numbers are in metrics and on dashboards. */
enum weft_drop_reason {
    WEFT_DROP_NONE = 0,
    WEFT_DROP_TRUNCATED = 1,            /* shorter than its headers say */
    WEFT_DROP_UNKNOWN_ENDPOINT = 2,     /* interface without an entry in weft_endpoint */
    WEFT_DROP_SPOOFED_MAC = 3,          /* source MAC is not the endpoint's */
    WEFT_DROP_SPOOFED_ADDRESS = 4,      /* source address, or ARP sender, is not the endpoint's */
    WEFT_DROP_UNSUPPORTED_PROTOCOL = 5, /* neither IPv4 nor ARP, nor IPv6 of an endpoint that has an address */
    WEFT_DROP_MULTICAST = 6,            /* broadcast or multicast destination */
    WEFT_DROP_NO_ENDPOINT = 7,          /* an address of this network that no endpoint has */
    WEFT_DROP_OTHER_NETWORK = 8,        /* an address of another overlay network, or VXLAN to the outside */
    WEFT_DROP_INTERNAL = 9,             /* outside destination, internal network */
    WEFT_DROP_ENCAP_FAILED = 10,        /* no room for the outer headers */
    WEFT_DROP_UNKNOWN_VTEP = 11,        /* VXLAN from a peer that is no member of that VNI */
    WEFT_DROP_DECAP_FAILED = 12,        /* outer headers could not be removed */
    WEFT_DROP_BAD_VXLAN = 13,           /* I flag missing or reserved bits unusable (RFC 7348, section 5) */
    WEFT_DROP_FORGED_SOURCE = 14,       /* inner source address is not behind that peer */
    WEFT_DROP_ARP_UNANSWERED = 15,      /* ARP for an address nobody has, or not a request */
    WEFT_DROP_NEIGHBOUR_UNANSWERED = 16, /* neighbour discovery for an address nobody has, or not a solicitation */
    WEFT_DROP_LINK_LOCAL = 17,          /* from or to a link-local IPv6 address: these serve neighbour discovery alone */
    WEFT_DROP_NO_IPV6_EXIT = 18,        /* IPv6 to an address outside the overlay: there is no way out */
    WEFT_DROP_RESOLVER_SHARE = 19,      /* more queries than the endpoint may have waiting for the resolver */
    WEFT_DROP_NO_EXIT = 20,             /* outside destination, by an interface that is not its container's way out */
    WEFT_DROP_TOO_BIG = 21,             /* larger than the tunnel to the peer carries; the sender was told */
    WEFT_DROP_CONTROL_MESSAGE = 22,     /* ICMP to the host or the outside that is not an echo */
    WEFT_DROP_WRONG_TUNNEL = 23,        /* to or from a peer by another kind of tunnel than the network's */
    WEFT_DROP_NO_BACKEND = 24,          /* to a service of which no task serves, or over a connection whose task is gone; the sender was told */
    WEFT_DROP_NO_FLOW = 25,             /* from a task to a client that has no connection to it */
    WEFT_DROP_NOT_ALLOWED = 26,         /* to a published port, from a client that is in none of the networks it is published for */
    WEFT_DROP_NO_TUNNEL = 27,           /* to a peer of an encrypted network, while nothing encrypts */
    WEFT_DROP_TUNNEL_UNREAD = 28,       /* to what encrypts, which was not there to take it, or not fast enough: counted by the kernel, at the device */
    WEFT_DROP_REASON_COUNT
};

/* A power of two: the programs mask the reason with it. */
#define WEFT_DROP_SLOTS 32

/* Map weft_counter, per CPU: host end's interface index (0 = the underlay, no endpoint known) -> what passed and what did not. */
struct weft_counter_key {
    __u32 ifindex;
};

struct weft_counter {
    __u64 sent_packets;        /* from the endpoint, accepted */
    __u64 sent_bytes;
    __u64 received_packets;    /* to the endpoint, delivered */
    __u64 received_bytes;
    __u64 dropped[WEFT_DROP_SLOTS]; /* by enum weft_drop_reason */
};

_Static_assert(sizeof(struct weft_config) == 20, "ABI");
_Static_assert(sizeof(struct weft_tunnel_frame) == 14, "ABI");
_Static_assert(sizeof(struct weft_tunnel_arrival) == 14, "ABI");
_Static_assert(sizeof(struct weft_endpoint) == 80, "ABI");
_Static_assert(sizeof(struct weft_forward_key) == 8, "ABI");
_Static_assert(sizeof(struct weft_forward6_key) == 20, "ABI");
_Static_assert(sizeof(struct weft_forward) == 20, "ABI");
_Static_assert(sizeof(struct weft_vtep) == 8, "ABI");
_Static_assert(sizeof(struct weft_subnet6_key) == 20, "ABI");
_Static_assert(sizeof(struct weft_service_key) == 24, "ABI");
_Static_assert(sizeof(struct weft_service) == 36, "ABI");
_Static_assert(sizeof(struct weft_service_page_key) == 16, "ABI");
_Static_assert(sizeof(struct weft_service_page) == 256, "ABI");
_Static_assert(sizeof(struct weft_backend_key) == 16, "ABI");
_Static_assert(sizeof(struct weft_backend) == 20, "ABI");
_Static_assert(sizeof(struct weft_flow_key) == 44, "ABI");
_Static_assert(sizeof(struct weft_flow) == 24, "ABI");
_Static_assert(sizeof(struct weft_former_key) == 24, "ABI");
_Static_assert(sizeof(struct weft_namespace_key) == 16, "ABI");
_Static_assert(sizeof(struct weft_asked) == 24, "ABI");
_Static_assert(sizeof(struct weft_answer_key) == 32, "ABI");
_Static_assert(sizeof(struct weft_ingress) == 36, "ABI");
_Static_assert(sizeof(struct weft_published_key) == 20, "ABI");
_Static_assert(sizeof(struct weft_published) == 28, "ABI");
_Static_assert(sizeof(struct weft_source_key) == 44, "ABI");
_Static_assert(sizeof(struct weft_host_address_key) == 20, "ABI");
_Static_assert(sizeof(struct weft_ingress_flow_key) == 44, "ABI");
_Static_assert(sizeof(struct weft_ingress_flow) == 52, "ABI");
_Static_assert(sizeof(struct weft_resolver_share_key) == 8, "ABI");
_Static_assert(sizeof(struct weft_resolver_share) == 16, "ABI");
_Static_assert(sizeof(struct weft_counter) == 288, "ABI");
_Static_assert(WEFT_DROP_REASON_COUNT <= WEFT_DROP_SLOTS, "ABI");

#endif
