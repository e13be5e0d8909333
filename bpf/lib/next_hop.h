/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The next hop to a peer, looked up once in a tick of the kernel's clock (1 to 10 ms) instead of once a packet.
 *
 * Nobody has to tell the programs of changed routes: they are followed within a tick, whether weftd runs or not. The neighbour table is
 * asked for every packet all the same, so that a gateway with a new MAC address is followed at once.
 */
#ifndef WEFT_LIB_NEXT_HOP_H
#define WEFT_LIB_NEXT_HOP_H

#include "packet.h"

#define FAMILY_IPV4 2 /* AF_INET; <sys/socket.h> is the C library's */

/* Peer's address -> the tick of the look-up in the upper half, the next hop in the lower one: 0 = the kernel is to find it. One word, as
 * several CPUs write it. With more peers than entries those that are sent to most seldom are looked up more often. Not pinned. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __be32);
    __type(value, __u64);
} weft_next_hop SEC(".maps");

/* By the same keys as bpf_redirect_neigh's own look-up. 0: no next hop, or one that is not plain IPv4 by this interface. */
static __noinline __be32 look_up_next_hop(struct __sk_buff *skb, __u32 interface, __be32 source, __be32 target)
{
    struct bpf_fib_lookup route = {
        .family = FAMILY_IPV4,
        .l4_protocol = IPPROTO_UDP,
        .ifindex = interface,
        .ipv4_src = source,
        .ipv4_dst = target,
    };
    long result = bpf_fib_lookup(skb, &route, sizeof(route), BPF_FIB_LOOKUP_OUTPUT);

    /* A neighbour that is not known yet is asked for by the packet. */
    if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
        return 0;
    return route.family == FAMILY_IPV4 && route.ifindex == interface ? route.ipv4_dst : 0;
}

static __always_inline __be32 next_hop(struct __sk_buff *skb, __u32 interface, __be32 source, __be32 target)
{
    __u64 tick = bpf_jiffies64() << 32, found;
    __u64 *known = bpf_map_lookup_elem(&weft_next_hop, &target);

    if (known) {
        found = *(volatile __u64 *)known;
        if ((found ^ tick) >> 32 == 0)
            return (__be32)found;
    }
    found = tick | look_up_next_hop(skb, interface, source, target);
    if (known)
        *(volatile __u64 *)known = found;
    else
        bpf_map_update_elem(&weft_next_hop, &target, &found, BPF_ANY);
    return (__be32)found;
}

/* Sends the packet, whose outer header has these addresses, by the interface to whichever neighbour leads to the target. */
static __always_inline int redirect_to_hop(
    struct __sk_buff *skb, __u32 interface, __be32 source, __be32 target, __u8 tos)
{
    struct bpf_redir_neigh hop = { .nh_family = FAMILY_IPV4 };

    /* What rules for marks and classes of service may treat otherwise is not kept. */
    if (!skb->mark && !(tos & ~ECN_MASK))
        hop.ipv4_nh = next_hop(skb, interface, source, target);
    return hop.ipv4_nh ? bpf_redirect_neigh(interface, &hop, sizeof(hop), 0)
                       : bpf_redirect_neigh(interface, NULL, 0, 0);
}

#endif
