/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * To and from the process that encrypts (weft-tunnel), by its TAP device: packets go there bare, whole and unsegmented, with their network and
 * their peer in the Ethernet addresses, and come from it with both in the source's and in a tag. VXLAN, ESP, the segments and the sockets are
 * its own.
 *
 * Nothing here ever reaches the host's stack. Without the device, or with nobody at it, nothing goes on.
 */
#ifndef WEFT_LIB_ESP_H
#define WEFT_LIB_ESP_H

#include "decap.h"
#include "maps.h"
#include "packet.h"
#include "verdict.h"

/* `protocol` is the packet's own. */
static __always_inline int send_by_esp(
    struct __sk_buff *skb, const struct weft_endpoint *from, const struct weft_forward *to, __u16 protocol)
{
    const struct weft_config *config = configuration();
    struct weft_tunnel_frame *frame = packet_start(skb);

    if (!config || !config->tunnel_ifindex)
        return DROPPED(WEFT_DROP_NO_TUNNEL);
    if ((void *)(frame + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    frame->to[0] = WEFT_TUNNEL_FRAME_MARK;
    frame->to[1] = from->vni >> 16;
    frame->vni = bpf_htons((__u16)from->vni);
    frame->reserved_to = 0;
    frame->from = bpf_htons(WEFT_TUNNEL_FRAME_MARK << 8);
    __builtin_memcpy(frame->peer, &to->vtep_ipv4, sizeof(frame->peer));
    frame->type = bpf_htons(protocol);
    return bpf_redirect(config->tunnel_ifindex, 0);
}

/* How many packets have come as one: the device does not tell. The headers are TCP's as they usually are. */
static __always_inline __u32 packets_merged(const struct __sk_buff *skb)
{
    const __u32 headers = ETH_HLEN + (skb->protocol == bpf_htons(ETH_P_IPV6) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + 32;
    __u32 size = skb->gso_size;

    return size && skb->len > headers ? (skb->len - headers + size - 1) / size : 1;
}

static __noinline int take_ipv6_from_tunnel(struct __sk_buff *skb, const struct arrival *arrival, __u32 packets)
{
    return take_ipv6(skb, arrival, 0, packets);
}

/* What comes out of it is authentic: the peer that the frame names has sent it, for the network that it names. */
static __always_inline int receive_from_tunnel(struct __sk_buff *skb, __u32 packets)
{
    struct arrival arrival = { .tunnel = WEFT_TUNNEL_ESP };
    struct weft_tunnel_arrival *frame;
    __u32 peer = skb->vlan_tci;
    struct iphdr *inner;

    if (!skb->vlan_present)
        return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
    /* No endpoint is to see it. It is beside the packet's bytes already. */
    if (bpf_skb_vlan_pop(skb) || !pull(skb, ETH_HLEN + sizeof(*inner)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    frame = packet_start(skb);
    inner = (void *)(frame + 1);
    if ((void *)(inner + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (frame->from[0] != WEFT_TUNNEL_FRAME_MARK)
        return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
    arrival.vni = (__u32)frame->from[1] << 16 | bpf_ntohs(frame->vni);
    arrival.peer = bpf_htonl(peer << 16 | bpf_ntohs(frame->peer));
    /* Whoever gave the device another address: to an endpoint's stack it would be somebody else's packet. */
    if (skb->pkt_type != PACKET_HOST)
        bpf_skb_change_type(skb, PACKET_HOST);
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return take_ipv4(skb, &arrival, inner, 0, packets);
    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        /* A copy for the call, so that IPv4 has its own in registers. */
        struct arrival copy = arrival;

        return take_ipv6_from_tunnel(skb, &copy, packets);
    }
    return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
}

#endif
