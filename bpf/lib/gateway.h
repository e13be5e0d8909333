/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Addresses without a host that answer ping: a network's gateway, which answers nothing else, and those of services.
 */
#ifndef WEFT_LIB_GATEWAY_H
#define WEFT_LIB_GATEWAY_H

#include "packet.h"
#include "verdict.h"

/* RFC 792; <linux/icmp.h> pulls in the C library's headers. */
#define ICMP_ECHOREPLY 0
#define ICMP_ECHO 8
#define ICMP_CHECKSUM_OFFSET 2

/* RFC 4443, 4 */
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

/* Turns an echo request round, whoever's the address is. Fragments are turned round one by one: only the first holds the type and the checksum. */
static __always_inline int answer_echo(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct ethhdr *ethernet = packet_start(skb);
    struct iphdr *ip = (void *)(ethernet + 1);
    __be32 target;
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

    target = ip->daddr;
    ip->daddr = ip->saddr;
    ip->saddr = target; /* exchanged, so the header's checksum stays right */
    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    if (first) {
        __u8 reply = ICMP_ECHOREPLY;

        if (bpf_l4_csum_replace(skb, offset + ICMP_CHECKSUM_OFFSET, bpf_htons(ICMP_ECHO << 8), 0, 2) ||
            bpf_skb_store_bytes(skb, offset, &reply, sizeof(reply), 0))
            return DROPPED(WEFT_DROP_TRUNCATED);
    }
    return redirect_to_sandbox(skb, skb->ifindex);
}

/* The header that a fragment has after its IPv6 header (RFC 8200, 4.5). */
struct fragment_header {
    __u8 next;
    __u8 reserved;
    __be16 offset; /* in its upper 13 bits */
    __be32 identification;
};
#define FRAGMENT_OFFSET6 0xfff8

/* The same for ICMPv6, whose checksum covers the addresses: their exchange leaves the sum as it is. */
static __always_inline int answer_echo6(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct ethhdr *ethernet = packet_start(skb);
    struct ipv6hdr *ip = (void *)(ethernet + 1);
    __u32 offset = sizeof(*ethernet) + sizeof(*ip);
    struct fragment_header fragment;
    __be32 target[4];
    bool first = true;
    __u8 protocol;

    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    protocol = ip->nexthdr;
    if (protocol == IPPROTO_FRAGMENT) {
        if (bpf_skb_load_bytes(skb, offset, &fragment, sizeof(fragment)))
            return DROPPED(WEFT_DROP_TRUNCATED);
        protocol = fragment.next;
        first = !(fragment.offset & bpf_htons(FRAGMENT_OFFSET6));
        offset += sizeof(fragment);
    }
    if (protocol != IPPROTO_ICMPV6)
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    if (first) {
        __u8 type;

        if (bpf_skb_load_bytes(skb, offset, &type, sizeof(type)))
            return DROPPED(WEFT_DROP_TRUNCATED);
        if (type != ICMPV6_ECHO_REQUEST)
            return DROPPED(WEFT_DROP_NO_ENDPOINT);
    }

    set_ipv6(target, ip->daddr.in6_u.u6_addr32);
    set_ipv6(ip->daddr.in6_u.u6_addr32, ip->saddr.in6_u.u6_addr32);
    set_ipv6(ip->saddr.in6_u.u6_addr32, target);
    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    if (first) {
        __u8 reply = ICMPV6_ECHO_REPLY;

        if (bpf_l4_csum_replace(
                skb, offset + ICMP_CHECKSUM_OFFSET, bpf_htons(ICMPV6_ECHO_REQUEST << 8),
                bpf_htons(ICMPV6_ECHO_REPLY << 8), 2) ||
            bpf_skb_store_bytes(skb, offset, &reply, sizeof(reply), 0))
            return DROPPED(WEFT_DROP_TRUNCATED);
    }
    return redirect_to_sandbox(skb, skb->ifindex);
}

#endif
