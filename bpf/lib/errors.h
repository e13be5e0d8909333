/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * What cannot go on comes back to its sender as the message that says why.
 *
 * What does not fit the tunnel to a peer, as path MTU discovery expects it (RFC 1191, RFC 8201).
 * IPv4 packets without "don't fragment" are answered alike: nothing here cuts packets, and a sender that is told cuts them itself
 * (Linux does for UDP and ping). Who has told its socket not to believe such messages (IP_PMTUDISC_INTERFACE, _OMIT) must keep below
 * the smallest path by itself.
 */
#ifndef WEFT_LIB_ERRORS_H
#define WEFT_LIB_ERRORS_H

#include "gateway.h"
#include "packet.h"
#include "verdict.h"

/* RFC 792 and RFC 1191; RFC 4443, 3.2 */
#define ICMP_DEST_UNREACH 3
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PORT_UNREACH 4
#define ICMPV6_PKT_TOOBIG 2

#define SMALLEST_IPV6_MTU 1280

/* The same layout in both families: of IPv4 the upper half of `mtu` is unused. 0 where the message tells of no MTU. */
struct icmp_message {
    __u8 type;
    __u8 code;
    __be16 checksum;
    __be32 mtu;
};

/* How much of the packet its answer quotes: with all headers, and within what the checksum's helper takes at once (512). */
#define QUOTED_LENGTH 480
#define MESSAGE_LENGTH (sizeof(struct icmp_message) + QUOTED_LENGTH)

#define TCP_DATA_OFFSET 12
/* Without options but timestamps: for TCP that does not follow the IP header at once. */
#define USUAL_TCP_HEADER 32

/* Whether an IP packet, or a segment of it, is larger than `mtu`. `headers_end`: where the transport's header begins. */
static __always_inline bool exceeds_path(struct __sk_buff *skb, __u32 mtu, __u32 headers_end, __u8 protocol)
{
    __u32 headers = headers_end - ETH_HLEN;
    __u8 offset;

    if (!mtu || skb->len - ETH_HLEN <= mtu)
        return false;
    if (!skb->gso_size)
        return true;
    if (protocol == IPPROTO_TCP) {
        if (bpf_skb_load_bytes(skb, headers_end + TCP_DATA_OFFSET, &offset, sizeof(offset)))
            return true;
        headers += (offset >> 4) * 4;
    } else {
        headers += protocol == IPPROTO_UDP ? sizeof(struct udphdr) : USUAL_TCP_HEADER;
    }
    return headers + skb->gso_size > mtu;
}

/* Where the answer's IP header goes, with what is quoted of the packet behind it and the message; NULL if there is no room. */
static __always_inline void *begin_answer(struct __sk_buff *skb, const __u32 header)
{
    const __u32 room = header + sizeof(struct icmp_message);
    void *start;

    /* The first also makes one packet of a GSO packet. */
    if (bpf_skb_change_tail(skb, ETH_HLEN + QUOTED_LENGTH, 0) || bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0) ||
        !pull(skb, ETH_HLEN + room + QUOTED_LENGTH))
        return NULL;
    start = packet_start(skb);
    return start + ETH_HLEN + room + QUOTED_LENGTH > packet_end(skb) ? NULL : start + ETH_HLEN;
}

/* Writes the message, whose checksum covers `pseudo_sum` too. */
static __always_inline void write_message(
    struct icmp_message *message, __u8 type, __u8 code, __u32 mtu, __u64 pseudo_sum)
{
    message->type = type;
    message->code = code;
    message->checksum = 0;
    message->mtu = bpf_htonl(mtu);
    message->checksum = ~fold(pseudo_sum + (__u32)bpf_csum_diff(NULL, 0, (__be32 *)message, MESSAGE_LENGTH, 0));
}

/* Back to the sandbox that the packet came from. `header`: the answer's IP header. */
static __always_inline int answer(struct __sk_buff *skb, const struct weft_endpoint *endpoint, void *header)
{
    struct ethhdr *ethernet = header - sizeof(*ethernet);

    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    return redirect_to_sandbox(skb, skb->ifindex);
}

/* Tells the sender why its packet goes no further, by a message that is a `code` of "unreachable"; negative if there is no telling. */
static __noinline int send_unreachable(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u8 code, __u32 mtu)
{
    struct iphdr *ip = begin_answer(skb, sizeof(*ip)), *quoted;
    struct icmp_message *message;

    if (!ip)
        return UNANSWERABLE;
    message = (void *)(ip + 1);
    quoted = (void *)(message + 1);
    /* A later fragment tells no sender whose it is (RFC 1122, 3.2.2). */
    if (quoted->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
        return UNANSWERABLE;

    *(__be16 *)ip = bpf_htons(0x4500);
    ip->tot_len = bpf_htons(sizeof(*ip) + MESSAGE_LENGTH);
    ip->id = 0;
    ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
    ip->ttl = 64;
    ip->protocol = IPPROTO_ICMP;
    ip->check = 0;
    ip->saddr = endpoint->gateway_ipv4 ?: quoted->daddr;
    ip->daddr = endpoint->ipv4;
    ip->check = ~header_sum(ip);
    write_message(message, ICMP_DEST_UNREACH, code, mtu, 0);
    return answer(skb, endpoint, ip);
}

static __noinline int send_message6(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u8 type, __u8 code, __u32 mtu)
{
    struct icmp_message *message;
    struct ipv6hdr *ip, *quoted;
    __u64 sum;

    ip = begin_answer(skb, sizeof(*ip));
    if (!ip)
        return UNANSWERABLE;
    message = (void *)(ip + 1);
    quoted = (void *)(message + 1);

    *(__be32 *)ip = bpf_htonl(0x60000000);
    ip->payload_len = bpf_htons(MESSAGE_LENGTH);
    ip->nexthdr = IPPROTO_ICMPV6;
    ip->hop_limit = 64;
    if (is_unspecified(endpoint->gateway_ipv6))
        set_ipv6(ip->saddr.in6_u.u6_addr32, quoted->daddr.in6_u.u6_addr32);
    else
        set_ipv6(ip->saddr.in6_u.u6_addr32, endpoint->gateway_ipv6);
    set_ipv6(ip->daddr.in6_u.u6_addr32, endpoint->ipv6);
    /* Over the addresses, length and protocol as well (RFC 4443, 2.3). */
    sum = (__u32)bpf_csum_diff(NULL, 0, (__be32 *)&ip->saddr, 2 * sizeof(struct in6_addr), 0);
    sum += (__u64)bpf_htonl(MESSAGE_LENGTH) + bpf_htonl(IPPROTO_ICMPV6);
    write_message(message, type, code, mtu, sum);
    return answer(skb, endpoint, ip);
}

static __always_inline int answer_too_big(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 mtu)
{
    return answered(send_unreachable(skb, endpoint, ICMP_FRAG_NEEDED, mtu), WEFT_DROP_TOO_BIG);
}

static __always_inline int answer_too_big6(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 mtu)
{
    /* No sender goes below that (RFC 8201, 4). */
    if (mtu < SMALLEST_IPV6_MTU)
        return DROPPED(WEFT_DROP_TOO_BIG);
    return answered(send_message6(skb, endpoint, ICMPV6_PKT_TOOBIG, 0, mtu), WEFT_DROP_TOO_BIG);
}

/* Nobody listens there: what makes a sender give up at once. */
static __always_inline int answer_unreachable(struct __sk_buff *skb, const struct weft_endpoint *endpoint, int reason)
{
    return answered(send_unreachable(skb, endpoint, ICMP_PORT_UNREACH, 0), reason);
}

static __always_inline int answer_unreachable6(struct __sk_buff *skb, const struct weft_endpoint *endpoint, int reason)
{
    return answered(send_message6(skb, endpoint, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0), reason);
}

#endif
