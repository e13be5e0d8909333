/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The gateway is an address without a host: it answers ping and nothing else.
 */
#ifndef WEFT_LIB_GATEWAY_H
#define WEFT_LIB_GATEWAY_H

#include "packet.h"
#include "verdict.h"

/* RFC 792; <linux/icmp.h> pulls in the C library's headers. */
#define ICMP_ECHOREPLY 0
#define ICMP_ECHO 8
#define ICMP_CHECKSUM_OFFSET 2

/* Turns an echo request round. Fragments are turned round one by one: only the first holds the type and the checksum. */
static __always_inline int answer_as_gateway(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct ethhdr *ethernet = packet_start(skb);
    struct iphdr *ip = (void *)(ethernet + 1);
    __u32 offset;
    bool first;

    if ((void *)(ip + 1) > packet_end(skb) || ip->protocol != IPPROTO_ICMP)
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    first = !(ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET));
    offset = sizeof(*ethernet) + ip->ihl * 4;
    if (first) {
        __u8 type;

        if (bpf_skb_load_bytes(skb, offset, &type, sizeof(type)))
            return DROPPED(WEFT_DROP_TRUNCATED);
        if (type != ICMP_ECHO)
            return DROPPED(WEFT_DROP_NO_ENDPOINT);
    }

    ip->daddr = ip->saddr;
    ip->saddr = endpoint->gateway_ipv4; /* exchanged, so the header's checksum stays right */
    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    if (first) {
        __u8 reply = ICMP_ECHOREPLY;

        if (bpf_l4_csum_replace(skb, offset + ICMP_CHECKSUM_OFFSET, bpf_htons(ICMP_ECHO << 8), 0, 2) ||
            bpf_skb_store_bytes(skb, offset, &reply, sizeof(reply), 0))
            return DROPPED(WEFT_DROP_TRUNCATED);
    }
    return bpf_redirect_peer(skb->ifindex, 0);
}

#endif
