/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * What is remembered of connections to services, and how the addresses in their packets are replaced.
 *
 * Both happen at the client's node: its packets leave with a backend's address in the place of the service's, and what the backend
 * answers arrives with the service's. Nobody else knows of it.
 */
#ifndef WEFT_LIB_FLOW_H
#define WEFT_LIB_FLOW_H

#include "choice.h"
#include "maps.h"
#include "packet.h"
#include "transport.h"

#define IPV4_CHECKSUM_OFFSET 10

/* `ports`: the client's first. */
static __always_inline void set_flow_key(
    struct weft_flow_key *key, __u32 vni, const __u32 *client, const __u32 *peer, __u32 ports, __u8 protocol, __u8 direction,
    const int family)
{
    __builtin_memset(key, 0, sizeof(*key));
    key->vni = vni;
    set_address(key->client, client, family);
    set_address(key->peer, peer, family);
    key->ports = ports;
    key->protocol = protocol;
    key->family = family;
    key->direction = direction;
}

/* A flow of the client behind this interface: its address may have been another's before. */
static __always_inline struct weft_flow *flow_of(const struct weft_flow_key *key, __u32 ifindex)
{
    struct weft_flow *flow = bpf_map_lookup_elem(&weft_flow, key);

    return flow && flow->ifindex == ifindex ? flow : NULL;
}

/* Puts `to` in the place of the address `from` at `at` in the IP header, and keeps the checksums right that cover it. */
static __always_inline bool replace_address(
    struct __sk_buff *skb, __u32 at, __be32 *from, __be32 *to, const struct transport *transport, const int family)
{
    const __u32 length = family == 6 ? 16 : 4;
    __u32 checksum = transport->is_first ? checksum_offset(transport->protocol) : 0;
    __s64 difference = bpf_csum_diff(from, length, to, length, 0);
    __u64 flags = BPF_F_PSEUDO_HDR;

    if (difference < 0)
        return false;
    if (transport->protocol == IPPROTO_UDP)
        flags |= BPF_F_MARK_MANGLED_0;
    if (checksum && bpf_l4_csum_replace(skb, transport->offset + checksum, 0, difference, flags))
        return false;
    if (family == 4 && bpf_l3_csum_replace(skb, ETH_HLEN + IPV4_CHECKSUM_OFFSET, 0, difference, 0))
        return false;
    /* A sum over the whole packet that a network card has left in the buffer: of IPv4 the two checksums' changes and the address's
     * cancel to what the helpers reckon with; IPv6 has no header checksum, so that the address's has to be told. */
    return bpf_skb_store_bytes(skb, at, to, length, family == 6 ? BPF_F_RECOMPUTE_CSUM : 0) == 0;
}

static __always_inline bool is_error(__u8 type, const int family)
{
    if (family == 6)
        return type < ICMPV6_ECHO_REQUEST;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12; /* RFC 792 */
}

/* What an ICMP message quotes of a packet. */
struct quoted {
    __u32 offset; /* of its IP header */
    __be32 source[4];
    __be32 target[4];
    __u32 ports;
    __u8 protocol;
};

/* What does not fit the stack, of the packet under way: a CPU has one at a time in these programs. */
struct scratch {
    struct transport transport;
    struct quoted quoted;
    struct passage passage;
    struct weft_flow_key key;
    struct weft_flow flow;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct scratch);
} weft_scratch SEC(".maps");

static __always_inline struct scratch *scratch(void)
{
    struct scratch *scratch;
    __u32 zero = 0;

    scratch = bpf_map_lookup_elem(&weft_scratch, &zero);
    if (scratch) {
        __builtin_memset(&scratch->transport, 0, sizeof(scratch->transport));
        __builtin_memset(&scratch->quoted, 0, sizeof(scratch->quoted));
        __builtin_memset(&scratch->passage, 0, sizeof(scratch->passage));
        __builtin_memset(&scratch->flow, 0, sizeof(scratch->flow));
    }
    return scratch;
}

#define ICMP_HEADER_LENGTH 8

/* False for what is no ICMP error, or quotes too little. */
static __always_inline bool read_quoted(
    struct __sk_buff *skb, const struct transport *transport, struct quoted *quoted, const int family)
{
    __u32 offset = transport->offset + ICMP_HEADER_LENGTH;
    __u8 type;

    if (!transport->is_first || bpf_skb_load_bytes(skb, transport->offset, &type, sizeof(type)) || !is_error(type, family))
        return false;
    quoted->offset = offset;
    if (family == 6) {
        struct ipv6hdr ip;

        if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
            return false;
        quoted->protocol = ip.nexthdr;
        set_ipv6(quoted->source, ip.saddr.in6_u.u6_addr32);
        set_ipv6(quoted->target, ip.daddr.in6_u.u6_addr32);
        offset += sizeof(ip);
    } else {
        struct iphdr ip;

        if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
            return false;
        quoted->protocol = ip.protocol;
        quoted->source[0] = ip.saddr;
        quoted->target[0] = ip.daddr;
        offset += ip.ihl * 4;
    }
    return !has_ports(quoted->protocol) || !bpf_skb_load_bytes(skb, offset, &quoted->ports, sizeof(quoted->ports));
}

/* Replaces the address `from` at `at` in the quoted header. Of IPv4 the header's checksum makes up for it in the message's. */
static __always_inline bool replace_quoted(
    struct __sk_buff *skb, const struct transport *transport, const struct quoted *quoted, __u32 at, __be32 *from, __be32 *to,
    const int family)
{
    const __u32 length = family == 6 ? 16 : 4;
    __s64 difference = bpf_csum_diff(from, length, to, length, 0);

    if (difference < 0)
        return false;
    if (family == 4 && bpf_l3_csum_replace(skb, quoted->offset + IPV4_CHECKSUM_OFFSET, 0, difference, 0))
        return false;
    if (family == 6 && bpf_l4_csum_replace(skb, transport->offset + ICMP_CHECKSUM_OFFSET, 0, difference, 0))
        return false;
    return bpf_skb_store_bytes(skb, at, to, length, 0) == 0;
}

#define SOURCE_OFFSET(family) ((family) == 6 ? offsetof(struct ipv6hdr, saddr) : offsetof(struct iphdr, saddr))
#define TARGET_OFFSET(family) ((family) == 6 ? offsetof(struct ipv6hdr, daddr) : offsetof(struct iphdr, daddr))

/* Changes the quoted header's addresses for each other, which no checksum minds. */
static __always_inline bool swap_quoted(struct __sk_buff *skb, struct quoted *quoted, const int family)
{
    const __u32 length = family == 6 ? 16 : 4;

    return bpf_skb_store_bytes(skb, quoted->offset + SOURCE_OFFSET(family), quoted->target, length, 0) == 0 &&
           bpf_skb_store_bytes(skb, quoted->offset + TARGET_OFFSET(family), quoted->source, length, 0) == 0;
}

/* A backend's error about a packet of the client's becomes one of the service's. */
static __always_inline int restore_error(struct __sk_buff *skb, struct scratch *with, const int family)
{
    struct passage *passage = &with->passage;
    struct quoted *quoted = &with->quoted;
    struct weft_flow *flow;

    if (!read_quoted(skb, &with->transport, quoted, family) || !same_address(quoted->target, passage->backend, family))
        return 0;
    set_flow_key(
        &with->key, passage->vni, quoted->source, quoted->target, quoted->ports, quoted->protocol, WEFT_FLOW_FROM_BACKEND,
        family);
    flow = flow_of(&with->key, passage->ifindex);
    if (!flow)
        return 0;
    set_address(passage->service, flow->address, family);
    if (!replace_quoted(
            skb, &with->transport, quoted, quoted->offset + TARGET_OFFSET(family), passage->backend, passage->service, family) ||
        !replace_address(
            skb, ETH_HLEN + SOURCE_OFFSET(family), passage->backend, passage->service, &with->transport, family))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return 0;
}

/* If a backend's packet answers a connection to its service, it comes from the service. */
static __always_inline int restore_source(struct __sk_buff *skb, struct scratch *with, const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    struct weft_flow *flow;

    if (transport->protocol == (family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
        return restore_error(skb, with, family);
    set_flow_key(
        &with->key, passage->vni, passage->client, passage->backend,
        transport->is_first ? swapped(transport->ports) : transport->identification, transport->protocol,
        transport->is_first ? WEFT_FLOW_FROM_BACKEND : WEFT_FLOW_FRAGMENTS_FROM_BACKEND, family);
    flow = flow_of(&with->key, passage->ifindex);
    if (!flow)
        return 0;
    set_address(passage->service, flow->address, family);
    if (transport->is_fragment && transport->is_first) {
        with->flow = *flow;
        with->key.ports = transport->identification;
        with->key.direction = WEFT_FLOW_FRAGMENTS_FROM_BACKEND;
        bpf_map_update_elem(&weft_flow, &with->key, &with->flow, BPF_ANY);
    }
    return replace_address(skb, ETH_HLEN + SOURCE_OFFSET(family), passage->backend, passage->service, transport, family)
               ? 0
               : DROPPED(WEFT_DROP_TRUNCATED);
}

/* Before a packet of a backend's goes to the endpoint behind `ifindex`. The frame is bare: Ethernet, then IP. Pointers into the packet
 * are void afterwards. */
static __noinline int restore_service(struct __sk_buff *skb, __u32 vni, __u32 ifindex)
{
    struct scratch *with = scratch();
    struct iphdr *ip;

    if (!with || !pull(skb, ETH_HLEN + sizeof(*ip)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ip = packet_start(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    with->passage.vni = vni;
    with->passage.ifindex = ifindex;
    with->passage.client[0] = ip->daddr;
    with->passage.backend[0] = ip->saddr;
    if (!read_transport(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return restore_source(skb, with, 4);
}

static __noinline int restore_service6(struct __sk_buff *skb, __u32 vni, __u32 ifindex)
{
    struct scratch *with = scratch();
    struct ipv6hdr *ip;

    if (!with || !pull(skb, ETH_HLEN + sizeof(*ip)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ip = packet_start(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    with->passage.vni = vni;
    with->passage.ifindex = ifindex;
    set_ipv6(with->passage.client, ip->daddr.in6_u.u6_addr32);
    set_ipv6(with->passage.backend, ip->saddr.in6_u.u6_addr32);
    if (!read_transport6(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return restore_source(skb, with, 6);
}

#endif
