/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The end of a TCP connection whose far end is gone: its next segment comes back as a reset (RFC 9293, 3.10.7.1).
 */
#ifndef WEFT_LIB_RESET_H
#define WEFT_LIB_RESET_H

#include "packet.h"
#include "transport.h"
#include "verdict.h"

struct tcp_header {
    __be16 source;
    __be16 target;
    __be32 sequence;
    __be32 acknowledged;
    __u8 length; /* in words, in its upper half */
    __u8 flags;
    __be16 window;
    __be16 checksum;
    __be16 urgent;
};

/* What answers a segment at `offset`. */
static __always_inline bool read_reset(struct __sk_buff *skb, __u32 offset, struct tcp_header *reset)
{
    struct tcp_header segment;
    __u32 length;

    if (bpf_skb_load_bytes(skb, offset, &segment, sizeof(segment)))
        return false;
    length = skb->len - offset - (segment.length >> 4) * 4 + !!(segment.flags & TCP_SYN) + !!(segment.flags & TCP_FIN);
    reset->source = segment.target;
    reset->target = segment.source;
    reset->length = sizeof(*reset) / 4 << 4;
    if (segment.flags & TCP_ACK) {
        reset->sequence = segment.acknowledged;
        reset->flags = TCP_RST;
    } else {
        reset->acknowledged = bpf_htonl(bpf_ntohl(segment.sequence) + length);
        reset->flags = TCP_RST | TCP_ACK;
    }
    return true;
}

/* `sum`: of the addresses. */
static __always_inline void write_reset(struct tcp_header *place, const struct tcp_header *reset, __u64 sum)
{
    *place = *reset;
    sum += bpf_htonl(IPPROTO_TCP << 16 | sizeof(*place));
    place->checksum = ~fold(sum + (__u32)bpf_csum_diff(NULL, 0, (__be32 *)place, sizeof(*place), 0));
}

/* The packet's head alone, in place; NULL if there is no room. Makes one packet of a GSO packet. */
static __always_inline void *cut(struct __sk_buff *skb, const __u32 length)
{
    void *start;

    if (bpf_skb_change_tail(skb, length, 0) || !pull(skb, length))
        return NULL;
    start = packet_start(skb);
    return start + length > packet_end(skb) ? NULL : start;
}

/* Back to the sandbox that the segment came from, from where it was to go. Negative if there is no telling. */
static __noinline int send_reset(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct tcp_header reset = {};
    struct ethhdr *ethernet;
    struct iphdr *ip;
    __be32 target;

    if (!read_reset(skb, ETH_HLEN + sizeof(*ip), &reset))
        return UNANSWERABLE;
    ethernet = cut(skb, ETH_HLEN + sizeof(*ip) + sizeof(reset));
    if (!ethernet)
        return UNANSWERABLE;
    ip = (void *)(ethernet + 1);
    target = ip->daddr;
    *(__be16 *)ip = bpf_htons(0x4500);
    ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(reset));
    ip->id = 0;
    ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
    ip->ttl = 64;
    ip->check = 0;
    ip->daddr = ip->saddr;
    ip->saddr = target;
    ip->check = ~header_sum(ip);
    write_reset((void *)(ip + 1), &reset, (__u64)ip->saddr + ip->daddr);
    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    return redirect_to_sandbox(skb, skb->ifindex);
}

static __noinline int send_reset6(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct tcp_header reset = {};
    struct ethhdr *ethernet;
    struct ipv6hdr *ip;
    __be32 target[4];

    if (!read_reset(skb, ETH_HLEN + sizeof(*ip), &reset))
        return UNANSWERABLE;
    ethernet = cut(skb, ETH_HLEN + sizeof(*ip) + sizeof(reset));
    if (!ethernet)
        return UNANSWERABLE;
    ip = (void *)(ethernet + 1);
    set_ipv6(target, ip->daddr.in6_u.u6_addr32);
    *(__be32 *)ip = bpf_htonl(0x60000000);
    ip->payload_len = bpf_htons(sizeof(reset));
    ip->hop_limit = 64;
    set_ipv6(ip->daddr.in6_u.u6_addr32, ip->saddr.in6_u.u6_addr32);
    set_ipv6(ip->saddr.in6_u.u6_addr32, target);
    write_reset(
        (void *)(ip + 1), &reset, (__u32)bpf_csum_diff(NULL, 0, (__be32 *)&ip->saddr, 2 * sizeof(struct in6_addr), 0));
    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    return redirect_to_sandbox(skb, skb->ifindex);
}

#endif
