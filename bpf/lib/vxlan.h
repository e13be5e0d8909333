/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * VXLAN (RFC 7348) over IPv4, put on and taken off in the program: no vxlan device on the way.
 *
 *   | Ethernet 14 | IPv4 20 | UDP 8 | VXLAN 8 | Ethernet 14 | IPv4 or IPv6 ...        on the wire
 *   | Ethernet 14 |                                           IPv4 or IPv6 ...        at the endpoint
 */
#ifndef WEFT_LIB_VXLAN_H
#define WEFT_LIB_VXLAN_H

#include "decap.h"
#include "next_hop.h"
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

/* Lengths past 16 bits exist only on GSO packets, where 0 stands for "see the buffer" and segmentation writes the real ones. */
static __always_inline __be16 length_field(__u32 length)
{
    return length > 0xffff ? 0 : bpf_htons((__u16)length);
}

/* Wraps the packet for the node that holds `to`, and hands it to the underlay, where the neighbour table gives the MAC address.
 * `protocol` and `tos` are the inner packet's. */
static __always_inline int send_by_vxlan(
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

    return redirect_to_hop(skb, config->underlay_ifindex, config->vtep_ipv4, to->vtep_ipv4, tos);
}

/* IPv6 apart from IPv4, which is to stay as short as it is. */
static __noinline int take_ipv6_from_underlay(struct __sk_buff *skb, const struct arrival *arrival, __u32 packets)
{
    return take_ipv6(skb, arrival, TUNNEL_LENGTH, packets);
}

static __noinline int take_ipv6_from_device(struct __sk_buff *skb, const struct arrival *arrival, __u32 packets)
{
    return take_ipv6(skb, arrival, 0, packets);
}

/* A packet on the underlay interface: ours if it is plain VXLAN for our address, else the stack's. */
static __always_inline int receive_from_underlay(struct __sk_buff *skb, __u32 packets)
{
    struct arrival arrival = { .tunnel = WEFT_TUNNEL_VXLAN };
    const struct weft_config *config;
    struct tunnel_headers *outer;
    struct iphdr *inner;

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
    arrival.peer = outer->ip.saddr;
    arrival.vni = bpf_ntohl(outer->vxlan.vni) >> 8;
    arrival.tos = outer->ip.tos;
    if (outer->inner.h_proto == bpf_htons(ETH_P_IP))
        return take_ipv4(skb, &arrival, inner, TUNNEL_LENGTH, packets);
    if (outer->inner.h_proto == bpf_htons(ETH_P_IPV6)) {
        /* A copy for the call, so that IPv4 has its own in registers. */
        struct arrival copy = arrival;

        return take_ipv6_from_underlay(skb, &copy, packets);
    }
    return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
}

/* A frame that the stack's vxlan device has unwrapped; the sender is in the tunnel key. Nothing goes up the stack from here. */
static __always_inline int receive_from_vxlan(struct __sk_buff *skb, __u32 packets)
{
    struct arrival arrival = { .tunnel = WEFT_TUNNEL_VXLAN };
    struct bpf_tunnel_key key = {};
    struct iphdr *inner;

    if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0))
        return DROPPED(WEFT_DROP_UNKNOWN_VTEP);
    arrival.vni = key.tunnel_id;
    arrival.peer = bpf_htonl(key.remote_ipv4);
    if (skb->protocol == bpf_htons(ETH_P_IPV6) && !skb->vlan_present)
        return take_ipv6_from_device(skb, &arrival, packets);
    if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
        return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
    if (!pull(skb, ETH_HLEN + sizeof(*inner)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    inner = packet_start(skb) + ETH_HLEN;
    if ((void *)(inner + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return take_ipv4(skb, &arrival, inner, 0, packets);
}

#endif
