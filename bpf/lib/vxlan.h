/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * VXLAN (RFC 7348) over IPv4, put on and taken off in the program: no vxlan device on the way.
 *
 *   | Ethernet 14 | IPv4 20 | UDP 8 | VXLAN 8 | Ethernet 14 | IPv4 or IPv6 ...        on the wire
 *   | Ethernet 14 |                                           IPv4 or IPv6 ...        at the endpoint
 */
#ifndef WEFT_LIB_VXLAN_H
#define WEFT_LIB_VXLAN_H

#include "packet.h"
#include "verdict.h"

/* What stands between the outer Ethernet header and the inner IP header. */
struct tunnel_headers {
    struct iphdr ip;
    struct udphdr udp;
    struct vxlan_header vxlan;
    struct ethhdr inner;
};
_Static_assert(offsetof(struct tunnel_headers, inner) == 36, "no padding before the inner header");
#define TUNNEL_LENGTH 50

/* The room includes the inner Ethernet header, so ENCAP_L2 is 14: with all of VXLAN in it (22) every GSO packet is lost in validate_xmit_skb.
 * FIXED_GSO: the endpoint's MTU already leaves room for the outer headers. */
#define ENCAP_FLAGS                                                                                                \
    (BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |              \
     BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_FIXED_GSO)

/* BPF_F_ADJ_ROOM_DECAP_L3_IPV6, Linux 6.3, which older headers lack: what comes to light is IPv6. */
#define WEFT_F_ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

/* Lengths past 16 bits exist only on GSO packets, where 0 stands for "see the buffer" and segmentation writes the real ones. */
static __always_inline __be16 length_field(__u32 length)
{
    return length > 0xffff ? 0 : bpf_htons((__u16)length);
}

/* Wraps the packet for the node that holds `to` and hands it to the underlay, where the neighbour table gives the MAC address.
 * `protocol` and `tos` are the inner packet's. */
static __always_inline int send_to_peer(
    struct __sk_buff *skb, const struct weft_endpoint *from, const struct weft_forward *to, __u16 protocol, __u8 tos)
{
    const struct weft_config *config = configuration();
    __u32 hash = bpf_get_hash_recalc(skb);
    struct tunnel_headers *outer;
    __u32 length;

    if (!config || bpf_skb_adjust_room(skb, TUNNEL_LENGTH, BPF_ADJ_ROOM_MAC, ENCAP_FLAGS))
        return DROPPED(WEFT_DROP_ENCAP_FAILED);
    outer = packet_start(skb) + ETH_HLEN;
    if ((void *)outer + TUNNEL_LENGTH > packet_end(skb))
        return DROPPED(WEFT_DROP_ENCAP_FAILED);
    length = skb->len - ETH_HLEN;

    /* Don't fragment, and so no identification (RFC 6864, 4.1). */
    *(__be16 *)&outer->ip = bpf_htons(0x4500 | tos);
    outer->ip.tot_len = length_field(length);
    outer->ip.id = 0;
    outer->ip.frag_off = bpf_htons(IP_DONT_FRAGMENT);
    outer->ip.ttl = 64;
    outer->ip.protocol = IPPROTO_UDP;
    outer->ip.check = 0;
    outer->ip.saddr = config->vtep_ipv4;
    outer->ip.daddr = to->vtep_ipv4;
    outer->ip.check = ~header_sum(&outer->ip);

    /* The flow's hash in the source port spreads flows over paths and queues; the checksum is 0 (RFC 7348, section 5). */
    outer->udp.source = bpf_htons(0xc000 | ((hash ^ hash >> 16) & 0x3fff));
    outer->udp.dest = bpf_htons(config->vxlan_port);
    outer->udp.len = length_field(length - sizeof(struct iphdr));
    outer->udp.check = 0;

    outer->vxlan.flags = bpf_htonl(VXLAN_FLAG_VNI);
    outer->vxlan.vni = bpf_htonl(from->vni << 8);

    set_mac(outer->inner.h_dest, to->mac);
    set_mac(outer->inner.h_source, from->mac);
    outer->inner.h_proto = bpf_htons(protocol);

    return bpf_redirect_neigh(config->underlay_ifindex, NULL, 0, 0);
}

/* Whether `peer` may send this to an endpoint of ours; if so, fills in both ends. */
static __always_inline int admit(
    __u32 vni, __be32 peer, const struct iphdr *inner, const struct weft_forward **from, const struct weft_forward **to)
{
    struct weft_vtep_key member = { .vni = vni, .vtep_ipv4 = peer };

    if (inner->version != 4 || inner->ihl < 5)
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!bpf_map_lookup_elem(&weft_vtep, &member))
        return DROPPED(WEFT_DROP_UNKNOWN_VTEP);
    *from = forward_entry(vni, inner->saddr);
    /* A local entry has vtep 0, which is no peer's address. */
    if (!*from || (*from)->vtep_ipv4 != peer)
        return DROPPED(WEFT_DROP_FORGED_SOURCE);
    if (is_group_address(inner->daddr))
        return DROPPED(WEFT_DROP_MULTICAST);
    *to = forward_entry(vni, inner->daddr);
    if (!*to || !(*to)->ifindex)
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    return 0;
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

/* Sends a bare frame into the endpoint's namespace. */
static __always_inline int deliver(
    struct __sk_buff *skb, const struct weft_forward *from, const struct weft_forward *to, __u32 packets)
{
    struct ethhdr *ethernet = packet_start(skb);

    if ((void *)(ethernet + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    set_mac(ethernet->h_dest, to->mac);
    set_mac(ethernet->h_source, from->mac);
    count_received(to->ifindex, packets, skb->len);
    return bpf_redirect_peer(to->ifindex, 0);
}

/* The same for IPv6. */
static __always_inline int admit6(
    __u32 vni, __be32 peer, const struct ipv6hdr *inner, const struct weft_forward **from, const struct weft_forward **to)
{
    struct weft_vtep_key member = { .vni = vni, .vtep_ipv4 = peer };
    const __be32 *source = inner->saddr.in6_u.u6_addr32, *target = inner->daddr.in6_u.u6_addr32;

    if (inner->version != 6)
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!bpf_map_lookup_elem(&weft_vtep, &member))
        return DROPPED(WEFT_DROP_UNKNOWN_VTEP);
    *from = forward6_entry(vni, source);
    if (!*from || (*from)->vtep_ipv4 != peer)
        return DROPPED(WEFT_DROP_FORGED_SOURCE);
    if (is_multicast6(target))
        return DROPPED(WEFT_DROP_MULTICAST);
    *to = forward6_entry(vni, target);
    if (!*to || !(*to)->ifindex)
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    return 0;
}

/* As keep_congestion_mark, of the IPv6 header at `offset`. No checksum covers it, but one over the whole packet that the
 * network card has left in the buffer: the helper keeps that right. */
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

/* Takes the outer headers off IPv6, and has the buffer know what comes to light. */
static __always_inline bool unwrap6(struct __sk_buff *skb)
{
    if (bpf_skb_adjust_room(
            skb, -TUNNEL_LENGTH, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO | WEFT_F_ADJ_ROOM_DECAP_L3_IPV6) == 0)
        return true;
    /* Linux before 6.3 does not know the flag. The change of protocol makes room for the longer header, which goes with the rest. */
    return bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0) == 0 &&
           bpf_skb_adjust_room(
               skb, -(int)(TUNNEL_LENGTH + sizeof(struct ipv6hdr) - sizeof(struct iphdr)), BPF_ADJ_ROOM_MAC,
               BPF_F_ADJ_ROOM_FIXED_GSO) == 0;
}

/* Sends a bare IPv6 frame into the endpoint's namespace. */
static __always_inline int deliver6(
    struct __sk_buff *skb, const struct weft_forward *from, const struct weft_forward *to, __u32 packets)
{
    struct ethhdr *ethernet = packet_start(skb);

    if ((void *)(ethernet + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    ethernet->h_proto = bpf_htons(ETH_P_IPV6);
    set_mac(ethernet->h_dest, to->mac);
    set_mac(ethernet->h_source, from->mac);
    count_received(to->ifindex, packets, skb->len);
    return bpf_redirect_peer(to->ifindex, 0);
}

/* Plain VXLAN for our address with IPv6 in it. Apart from IPv4, which is to stay as short as it is. */
static __noinline int receive6_from_underlay(
    struct __sk_buff *skb, __u32 vni, __be32 peer, __u8 outer_tos, __u32 packets)
{
    const struct weft_forward *from, *to;
    struct ipv6hdr *inner;
    int verdict;

    if (!pull(skb, ETH_HLEN + TUNNEL_LENGTH + sizeof(*inner)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    inner = packet_start(skb) + ETH_HLEN + TUNNEL_LENGTH;
    if ((void *)(inner + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    verdict = admit6(vni, peer, inner, &from, &to);
    if (verdict)
        return verdict;
    if (!keep_congestion_mark6(skb, inner, ETH_HLEN + TUNNEL_LENGTH, outer_tos) || !unwrap6(skb))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    return deliver6(skb, from, to, packets);
}

static __noinline int receive6_from_vxlan(struct __sk_buff *skb, __u32 vni, __be32 peer, __u32 packets)
{
    const struct weft_forward *from, *to;
    struct ipv6hdr *inner;
    int verdict;

    if (!pull(skb, ETH_HLEN + sizeof(*inner)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    inner = packet_start(skb) + ETH_HLEN;
    if ((void *)(inner + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    verdict = admit6(vni, peer, inner, &from, &to);
    return verdict ?: deliver6(skb, from, to, packets);
}

/* A packet on the underlay interface: ours if it is plain VXLAN for our address, else the stack's. */
static __always_inline int receive_from_underlay(struct __sk_buff *skb, __u32 packets)
{
    const struct weft_config *config;
    const struct weft_forward *from, *to;
    struct tunnel_headers *outer;
    struct iphdr *inner;
    __be32 peer;
    __u32 vni;
    int verdict;

    if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present || skb->pkt_type != PACKET_HOST)
        return WEFT_TCX_NEXT;
    if (!pull(skb, ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr)))
        return WEFT_TCX_NEXT;
    config = configuration();
    outer = packet_start(skb) + ETH_HLEN;
    if (!config || (void *)&outer->vxlan > packet_end(skb))
        return WEFT_TCX_NEXT;
    if (outer->ip.protocol != IPPROTO_UDP || *(__u8 *)&outer->ip != 0x45 || outer->ip.daddr != config->vtep_ipv4 ||
        outer->udp.dest != bpf_htons(config->vxlan_port))
        return WEFT_TCX_NEXT;
    /* Rare and legitimate: fragments, and a checksum to verify. The stack does both and hands it to the vxlan device. */
    if (outer->ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET) || outer->udp.check)
        return WEFT_TCX_NEXT;
    if (header_sum(&outer->ip) != 0xffff)
        return WEFT_TCX_NEXT;

    if (!pull(skb, ETH_HLEN + TUNNEL_LENGTH + sizeof(*inner)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    outer = packet_start(skb) + ETH_HLEN;
    inner = (void *)outer + TUNNEL_LENGTH;
    if ((void *)(inner + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!(outer->vxlan.flags & bpf_htonl(VXLAN_FLAG_VNI)))
        return DROPPED(WEFT_DROP_BAD_VXLAN);
    peer = outer->ip.saddr;
    vni = bpf_ntohl(outer->vxlan.vni) >> 8;
    if (outer->inner.h_proto != bpf_htons(ETH_P_IP)) {
        if (outer->inner.h_proto == bpf_htons(ETH_P_IPV6))
            return receive6_from_underlay(skb, vni, peer, outer->ip.tos, packets);
        return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
    }
    verdict = admit(vni, peer, inner, &from, &to);
    if (verdict)
        return verdict;
    if (!keep_congestion_mark(inner, outer->ip.tos))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    if (bpf_skb_adjust_room(skb, -TUNNEL_LENGTH, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    return deliver(skb, from, to, packets);
}

/* A frame that the stack's vxlan device has unwrapped; the sender is in the tunnel key. Nothing goes up the stack from here. */
static __always_inline int receive_from_vxlan(struct __sk_buff *skb, __u32 packets)
{
    const struct weft_forward *from, *to;
    struct bpf_tunnel_key key = {};
    struct ethhdr *ethernet;
    struct iphdr *inner;
    int verdict;

    if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0))
        return DROPPED(WEFT_DROP_UNKNOWN_VTEP);
    if (skb->protocol == bpf_htons(ETH_P_IPV6) && !skb->vlan_present)
        return receive6_from_vxlan(skb, key.tunnel_id, bpf_htonl(key.remote_ipv4), packets);
    if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
        return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
    if (!pull(skb, ETH_HLEN + sizeof(*inner)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ethernet = packet_start(skb);
    inner = (void *)(ethernet + 1);
    if ((void *)(inner + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    verdict = admit(key.tunnel_id, bpf_htonl(key.remote_ipv4), inner, &from, &to);
    if (verdict)
        return verdict;
    return deliver(skb, from, to, packets);
}

#endif
