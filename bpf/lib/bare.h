/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Interfaces whose frames begin with the IP header, made alike to those with Ethernet's. What goes out by one has the header taken off
 * by the kernel.
 */
#ifndef WEFT_LIB_BARE_H
#define WEFT_LIB_BARE_H

#include "choice.h"
#include "maps.h"
#include "packet.h"

/* Whether a packet is for an address of this host: what it forwards stays as it is. */
static __always_inline bool is_for_host(struct __sk_buff *skb)
{
    struct weft_host_address_key key = {};
    struct ipv6hdr ip6;
    struct iphdr ip;

    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        /* Where something stands before the IP header after all, this is none. */
        if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.version != 4)
            return false;
        key.family = 4;
        key.address[0] = ip.daddr;
    } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        if (bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6)) || ip6.version != 6)
            return false;
        key.family = 6;
        set_ipv6(key.address, ip6.daddr.in6_u.u6_addr32);
    } else {
        return false;
    }
    return bpf_map_lookup_elem(&weft_host_address, &key);
}

/* Puts an Ethernet header before it, which the stack takes for one that it has seen. */
static __always_inline bool make_frame(struct __sk_buff *skb)
{
    struct ethhdr *ethernet;

    if (bpf_skb_change_head(skb, ETH_HLEN, 0))
        return false;
    ethernet = packet_start(skb);
    if ((void *)(ethernet + 1) > packet_end(skb))
        return false;
    ethernet->h_proto = skb->protocol;
    return true;
}

#endif
