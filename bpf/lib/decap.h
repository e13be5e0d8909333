/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The entry from a peer, by whichever kind of tunnel a packet came: who may send it, what is taken off it, where it goes.
 *
 * A kind of tunnel tells in a struct arrival whom it has found to be the sender, and calls take_from_peer. The rules are here, once
 * for each family of addresses.
 */
#ifndef WEFT_LIB_DECAP_H
#define WEFT_LIB_DECAP_H

#include "flow.h"
#include "packet.h"
#include "verdict.h"

/* What a tunnel says of a packet that came out of it. */
struct arrival {
    __u32 vni;
    __be32 peer;   /* data-path address of the node that sent it */
    __u32 tunnel;  /* enum weft_tunnel */
    __u32 tos;     /* of the outer header, where there is one to be taken off */
};

/* BPF_F_ADJ_ROOM_DECAP_L3_IPV6, Linux 6.3, which older headers lack: what comes to light is IPv6. */
#define WEFT_F_ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

/* Whether the peer may send for the network, and by this kind of tunnel: one that protects lets nothing in beside it. */
static __always_inline int admit_peer(const struct arrival *arrival)
{
    struct weft_vtep_key key = { .vni = arrival->vni, .vtep_ipv4 = arrival->peer };
    const struct weft_vtep *member = bpf_map_lookup_elem(&weft_vtep, &key);

    if (!member)
        return DROPPED(WEFT_DROP_UNKNOWN_VTEP);
    return member->tunnel == arrival->tunnel ? 0 : DROPPED(WEFT_DROP_WRONG_TUNNEL);
}

/* Whether the entry of an inner source address leads back to the peer. A local entry has vtep 0, which is no peer's address. */
static __always_inline bool is_behind(const struct weft_forward *from, __be32 peer)
{
    return from && from->vtep_ipv4 == peer;
}

/* Whether this may go to an endpoint of ours; if so, fills in both ends. */
static __always_inline int admit(
    const struct arrival *arrival, const struct iphdr *inner, const struct weft_forward **from,
    const struct weft_forward **to)
{
    int verdict;

    if (inner->version != 4 || inner->ihl < 5)
        return DROPPED(WEFT_DROP_TRUNCATED);
    verdict = admit_peer(arrival);
    if (verdict)
        return verdict;
    *from = forward_entry(arrival->vni, inner->saddr);
    if (!is_behind(*from, arrival->peer))
        return DROPPED(WEFT_DROP_FORGED_SOURCE);
    if (is_group_address(inner->daddr))
        return DROPPED(WEFT_DROP_MULTICAST);
    *to = forward_entry(arrival->vni, inner->daddr);
    return *to && (*to)->ifindex ? 0 : DROPPED(WEFT_DROP_NO_ENDPOINT);
}

static __always_inline int admit6(
    const struct arrival *arrival, const struct ipv6hdr *inner, const struct weft_forward **from,
    const struct weft_forward **to)
{
    const __be32 *source = inner->saddr.in6_u.u6_addr32, *target = inner->daddr.in6_u.u6_addr32;
    int verdict;

    if (inner->version != 6)
        return DROPPED(WEFT_DROP_TRUNCATED);
    verdict = admit_peer(arrival);
    if (verdict)
        return verdict;
    *from = forward6_entry(arrival->vni, source);
    if (!is_behind(*from, arrival->peer))
        return DROPPED(WEFT_DROP_FORGED_SOURCE);
    if (is_multicast6(target))
        return DROPPED(WEFT_DROP_MULTICAST);
    *to = forward6_entry(arrival->vni, target);
    return *to && (*to)->ifindex ? 0 : DROPPED(WEFT_DROP_NO_ENDPOINT);
}

/* bpf/lib/ingress.h: what is from or for a client outside. `verdict`: what becomes of it if it is nothing of the kind. */
static __noinline int take_ingress4(
    struct __sk_buff *skb, const struct arrival *arrival, __u32 outer, __u32 packets, int verdict);
static __noinline int take_ingress6(
    struct __sk_buff *skb, const struct arrival *arrival, __u32 outer, __u32 packets, int verdict);

/* bpf/lib/hairpin.h: what is for an endpoint that asked for a published port by this node's address on the ingress network; else 0. */
static __noinline int return_to_endpoint(struct __sk_buff *skb, __u32 packets);

static __always_inline bool may_be_ingress(int verdict)
{
    return verdict == DROPPED(WEFT_DROP_FORGED_SOURCE) || verdict == DROPPED(WEFT_DROP_NO_ENDPOINT);
}

/* Carries a congestion mark from the outer header to the inner one; false when the inner flow cannot take it (RFC 6040, 4.2). */
static __always_inline bool keep_congestion_mark(struct iphdr *inner, __u8 outer_tos)
{
    __u16 before, after;

    if ((outer_tos & ECN_MASK) != ECN_CONGESTION)
        return true;
    if (!(inner->tos & ECN_MASK))
        return false;
    before = *(__be16 *)inner;
    inner->tos |= ECN_CONGESTION;
    after = *(__be16 *)inner;
    inner->check = ~fold((__u16)~inner->check + (__u32)(__u16)~before + after); /* RFC 1624, equation 3 */
    return true;
}

/* The same for the IPv6 header at `offset`. No checksum covers it, but one over the whole packet that the network card has left
 * in the buffer: the helper keeps that right. */
static __always_inline bool keep_congestion_mark6(
    struct __sk_buff *skb, const struct ipv6hdr *inner, __u32 offset, __u8 outer_tos)
{
    __be16 marked = *(const __be16 *)inner | bpf_htons(ECN_CONGESTION << 4);

    if ((outer_tos & ECN_MASK) != ECN_CONGESTION)
        return true;
    if (!(traffic_class(inner) & ECN_MASK))
        return false;
    return bpf_skb_store_bytes(skb, offset, &marked, sizeof(marked), BPF_F_RECOMPUTE_CSUM) == 0;
}

/* Takes `outer` bytes of headers off from between the Ethernet header and the inner IP header. */
static __always_inline bool unwrap(struct __sk_buff *skb, __s32 outer)
{
    return bpf_skb_adjust_room(skb, -outer, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO) == 0;
}

/* The same where IPv6 comes to light in IPv4, which the buffer has to know. */
static __always_inline bool unwrap6(struct __sk_buff *skb, __s32 outer)
{
    const __s32 longer = sizeof(struct ipv6hdr) - sizeof(struct iphdr);

    if (bpf_skb_adjust_room(
            skb, -outer, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | WEFT_F_ADJ_ROOM_DECAP_L3_IPV6) == 0)
        return true;
    /* Linux before 6.3 does not know the flag. The change of protocol makes room for the longer header, which goes with the rest. */
    return bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0) == 0 && unwrap(skb, outer + longer);
}

/* Sends a bare frame into the endpoint's namespace. */
static __always_inline int deliver(
    struct __sk_buff *skb, struct ethhdr *ethernet, const struct weft_forward *from, const struct weft_forward *to,
    __u32 packets)
{
    set_mac(ethernet->h_dest, to->mac);
    set_mac(ethernet->h_source, from->mac);
    count_received(to->ifindex, packets, skb->len);
    /* The node's own end is in the namespace where this runs: a packet gets there by the host end's other side alone. */
    return to->flags & WEFT_FORWARD_HOST ? bpf_redirect(to->ifindex, 0) : bpf_redirect_peer(to->ifindex, 0);
}

/* `inner` is the IPv4 header behind `outer` bytes of the tunnel's headers: 0 where the tunnel's device has taken them off. */
static __always_inline int take_ipv4(
    struct __sk_buff *skb, const struct arrival *arrival, struct iphdr *inner, const __u32 outer, __u32 packets)
{
    const struct weft_forward *from, *to;
    struct ethhdr *ethernet;
    int verdict = admit(arrival, inner, &from, &to);

    if (verdict) {
        /* A copy for the call, so that what is usual has its own in registers. */
        struct arrival copy = *arrival;

        if (!may_be_ingress(verdict))
            return verdict;
        if (outer && !keep_congestion_mark(inner, arrival->tos))
            return DROPPED(WEFT_DROP_DECAP_FAILED);
        return take_ingress4(skb, &copy, outer, packets, verdict);
    }
    if (outer && (!keep_congestion_mark(inner, arrival->tos) || !unwrap(skb, outer)))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    if (from->flags & WEFT_FORWARD_BACKEND) {
        verdict = to->flags & WEFT_FORWARD_HOST ? return_to_endpoint(skb, packets) : 0;
        if (!verdict)
            verdict = restore_service(skb, arrival->vni, to->ifindex);
        if (verdict)
            return verdict;
    }
    ethernet = packet_start(skb);
    if ((void *)(ethernet + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    return deliver(skb, ethernet, from, to, packets);
}

static __always_inline int take_ipv6(
    struct __sk_buff *skb, const struct arrival *arrival, const __u32 outer, __u32 packets)
{
    const __u32 offset = ETH_HLEN + outer;
    const struct weft_forward *from, *to;
    struct ethhdr *ethernet;
    struct ipv6hdr *inner;
    int verdict;

    if (!pull(skb, offset + sizeof(*inner)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    inner = packet_start(skb) + offset;
    if ((void *)(inner + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    verdict = admit6(arrival, inner, &from, &to);
    if (verdict) {
        if (!may_be_ingress(verdict))
            return verdict;
        if (outer && !keep_congestion_mark6(skb, inner, offset, arrival->tos))
            return DROPPED(WEFT_DROP_DECAP_FAILED);
        return take_ingress6(skb, arrival, outer, packets, verdict);
    }
    if (outer && (!keep_congestion_mark6(skb, inner, offset, arrival->tos) || !unwrap6(skb, outer)))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    ethernet = packet_start(skb);
    if ((void *)(ethernet + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    ethernet->h_proto = bpf_htons(ETH_P_IPV6);
    if (from->flags & WEFT_FORWARD_BACKEND) {
        verdict = restore_service6(skb, arrival->vni, to->ifindex);
        if (verdict)
            return verdict;
        ethernet = packet_start(skb);
        if ((void *)(ethernet + 1) > packet_end(skb))
            return DROPPED(WEFT_DROP_DECAP_FAILED);
    }
    return deliver(skb, ethernet, from, to, packets);
}

#endif
