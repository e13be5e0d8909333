/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The way to weftd's resolver, which all endpoints of the host share: each has its part of what may wait there.
 */
#ifndef WEFT_LIB_RESOLVER_H
#define WEFT_LIB_RESOLVER_H

#include "packet.h"
#include "verdict.h"

/* RFC 9293, 3.1: the flags are the 14th octet. */
#define TCP_FLAGS_OFFSET 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* Takes `count` places of the endpoint's share, if it has them. Programs on several CPUs may begin a round at once, and a count or two
 * is lost then; the share is not meant to the packet. */
static __noinline bool take_share(struct __sk_buff *skb, __u32 transport, __u32 count, __u32 most)
{
    struct weft_resolver_share_key key = { .ifindex = skb->ifindex, .transport = transport };
    const __u32 *round = bpf_map_lookup_elem(&weft_resolver_round, &transport);
    struct weft_resolver_share *share = bpf_map_lookup_elem(&weft_resolver_share, &key);
    __u64 now = bpf_ktime_get_ns();

    if (!round || count > most)
        return false;
    if (!share) {
        struct weft_resolver_share first = { .since = now, .round = *round, .count = count };

        bpf_map_update_elem(&weft_resolver_share, &key, &first, BPF_NOEXIST);
        return true;
    }
    if (share->round != *round || now - share->since > WEFT_RESOLVER_ROUND_MAX) {
        share->round = *round;
        share->since = now;
        share->count = 0;
    }
    if (share->count > most - count)
        return false;
    __sync_fetch_and_add(&share->count, count);
    return true;
}

/* To port 53 of the resolver. Nobody sends it fragments: queries are short. */
static __always_inline int admit_query(struct __sk_buff *skb, const struct iphdr *ip)
{
    __u32 header = ip->ihl * 4;
    __u8 flags;

    if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    if (ip->protocol == IPPROTO_UDP) {
        /* Datagrams that travel as one, which the socket takes apart. The sender's own count of them is not to be relied upon. */
        __u32 datagrams = skb->gso_size ? skb->len / skb->gso_size + 1 : 1;

        return take_share(skb, WEFT_RESOLVER_UDP, datagrams, WEFT_RESOLVER_SHARE_UDP) ? WEFT_TCX_PASS
                                                                                     : DROPPED(WEFT_DROP_RESOLVER_SHARE);
    }
    if (bpf_skb_load_bytes(skb, ETH_HLEN + header + TCP_FLAGS_OFFSET, &flags, sizeof(flags)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !take_share(skb, WEFT_RESOLVER_TCP, 1, WEFT_RESOLVER_SHARE_TCP))
        return DROPPED(WEFT_DROP_RESOLVER_SHARE);
    return WEFT_TCX_PASS;
}

#endif
