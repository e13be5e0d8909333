/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * IPv6 neighbour discovery (RFC 4861) is answered at once, always with the gateway's MAC, and it and multicast listener discovery
 * (RFC 3810) end here: there is neither a router nor a multicast group to be found.
 */
#ifndef WEFT_LIB_NEIGHBOUR_H
#define WEFT_LIB_NEIGHBOUR_H

#include "packet.h"
#include "verdict.h"

#define MLD_QUERY 130
#define MLD_REPORT 131
#define MLD_DONE 132
#define ND_ROUTER_SOLICITATION 133
#define ND_NEIGHBOUR_SOLICITATION 135
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define MLD2_REPORT 143

#define ND_SOLICITED 0x40000000u
#define ND_OVERRIDE 0x20000000u
#define ND_OPTION_TARGET_MAC 2

/* Of a solicitation and an advertisement, without options. */
struct neighbour_message {
    __u8 type;
    __u8 code;
    __be16 checksum;
    __be32 flags;
    __be32 target[4];
};

struct neighbour_option {
    __u8 type;
    __u8 length; /* in units of 8 bytes */
    __u8 mac[6];
};

struct advertisement {
    struct neighbour_message message;
    struct neighbour_option option;
};

/* The ICMPv6 type of neighbour discovery and of multicast listener discovery; 0 for everything else. */
static __always_inline __u8 link_message_type(struct __sk_buff *skb, const struct ipv6hdr *ip)
{
    const __u32 offset = ETH_HLEN + sizeof(*ip);
    __u8 option[8], type;

    /* What a router once forwarded has less than 255, and no receiver takes it for neighbour discovery. */
    if (ip->nexthdr == IPPROTO_ICMPV6 && ip->hop_limit == 255) {
        if (bpf_skb_load_bytes(skb, offset, &type, sizeof(type)))
            return 0;
        return type >= ND_ROUTER_SOLICITATION && type <= ND_REDIRECT ? type : 0;
    }
    /* MLD has a hop-by-hop header of 8 bytes for the router alert before it (RFC 3810, 5). */
    if (ip->nexthdr == IPPROTO_HOPOPTS && is_multicast6(ip->daddr.in6_u.u6_addr32)) {
        if (bpf_skb_load_bytes(skb, offset, option, sizeof(option)) || option[0] != IPPROTO_ICMPV6 || option[1] ||
            bpf_skb_load_bytes(skb, offset + sizeof(option), &type, sizeof(type)))
            return 0;
        return (type >= MLD_QUERY && type <= MLD_DONE) || type == MLD2_REPORT ? type : 0;
    }
    return 0;
}

static __always_inline bool is_in_subnet6(const struct weft_endpoint *endpoint, const __be32 *address)
{
    const __u32 *own = endpoint->ipv6, *mask = endpoint->subnet_mask6;

    return !(((address[0] ^ own[0]) & mask[0]) | ((address[1] ^ own[1]) & mask[1]) |
             ((address[2] ^ own[2]) & mask[2]) | ((address[3] ^ own[3]) & mask[3]));
}

/* Checksum of an advertisement (RFC 4443, 2.3): the addresses stand right before it, so that they are one run of words. */
static __always_inline __u16 advertisement_checksum(const struct ipv6hdr *ip)
{
    const __u32 *word = (const __u32 *)&ip->saddr;
    __u64 sum = (__u64)bpf_htonl(sizeof(struct advertisement)) + bpf_htonl(IPPROTO_ICMPV6);

#pragma unroll
    for (int index = 0; index < (int)(2 * sizeof(struct in6_addr) + sizeof(struct advertisement)) / 4; index++)
        sum += word[index];
    return ~fold(sum);
}

/* Turns the solicitation into an advertisement of `target` with the gateway's MAC, as ARP does and for the same reason. */
static __always_inline int advertise(struct __sk_buff *skb, const struct weft_endpoint *endpoint, const __be32 *target)
{
    const __u32 length = ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct advertisement);
    struct advertisement *answer;
    struct ethhdr *ethernet;
    struct ipv6hdr *ip;
    bool is_probe;

    if (bpf_skb_change_tail(skb, length, 0) || !pull(skb, length))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ethernet = packet_start(skb);
    ip = (void *)(ethernet + 1);
    answer = (void *)(ip + 1);
    if ((void *)(answer + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);

    set_gateway_mac(answer->option.mac);
    answer->option.type = ND_OPTION_TARGET_MAC;
    answer->option.length = sizeof(answer->option) / 8;
    /* To who asks from :: the answer goes to all, and is not one to a solicitation (RFC 4861, 7.2.4). */
    is_probe = is_unspecified(ip->saddr.in6_u.u6_addr32);
    answer->message.type = ND_NEIGHBOUR_ADVERTISEMENT;
    answer->message.code = 0;
    answer->message.checksum = 0;
    answer->message.flags = bpf_htonl(is_probe ? ND_OVERRIDE : ND_SOLICITED | ND_OVERRIDE);
    set_ipv6(answer->message.target, target);

    ip->payload_len = bpf_htons(sizeof(*answer));
    if (is_probe) {
        const __be32 all_nodes[4] = { bpf_htonl(0xff020000), 0, 0, bpf_htonl(1) };

        set_ipv6(ip->daddr.in6_u.u6_addr32, all_nodes);
    } else {
        set_ipv6(ip->daddr.in6_u.u6_addr32, ip->saddr.in6_u.u6_addr32);
    }
    set_ipv6(ip->saddr.in6_u.u6_addr32, target);
    answer->message.checksum = advertisement_checksum(ip);

    set_mac(ethernet->h_source, answer->option.mac);
    set_mac(ethernet->h_dest, endpoint->mac);
    return redirect_to_sandbox(skb, skb->ifindex);
}

/* A solicitation or advertisement: the first is answered, the second is heard by nobody. */
static __always_inline int take_neighbour_message(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    const __u32 length = ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct neighbour_message);
    struct neighbour_message *message;
    struct ipv6hdr *ip;
    __be32 target[4];
    bool is_probe;

    if (!pull(skb, length))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ip = packet_start(skb) + ETH_HLEN;
    message = (void *)(ip + 1);
    if ((void *)(message + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    set_ipv6(target, message->target);
    is_probe = is_unspecified(ip->saddr.in6_u.u6_addr32);

    /* A probe for, or an announcement of, the asker's own address: an answer would look like a conflict (RFC 4862, 5.4.3). */
    if (same_ipv6(target, endpoint->ipv6))
        return SWALLOWED;
    /* A link-local address is made by its own kernel and means nothing to anybody else. */
    if (is_link_local(target))
        return is_probe || message->type == ND_NEIGHBOUR_ADVERTISEMENT ? SWALLOWED : DROPPED(WEFT_DROP_LINK_LOCAL);
    if (message->type != ND_NEIGHBOUR_SOLICITATION || message->code)
        return DROPPED(WEFT_DROP_NEIGHBOUR_UNANSWERED);

    if (!is_unspecified(target) && same_ipv6(target, endpoint->gateway_ipv6))
        return advertise(skb, endpoint, target);
    /* An address of the subnet that nobody has yet is answered for as with ARP: who asks waits less. */
    if ((is_probe || !is_in_subnet6(endpoint, target)) && !forward6_entry(endpoint->vni, target))
        return DROPPED(WEFT_DROP_NEIGHBOUR_UNANSWERED);
    return advertise(skb, endpoint, target);
}

/* Neighbour discovery or MLD of the type that link_message_type found. */
static __always_inline int take_link_message(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u8 type)
{
    switch (type) {
    case ND_NEIGHBOUR_SOLICITATION:
    case ND_NEIGHBOUR_ADVERTISEMENT:
        return take_neighbour_message(skb, endpoint);
    /* Every sandbox looks for a router and reports its groups when its interface comes up. */
    case ND_ROUTER_SOLICITATION:
    case MLD_REPORT:
    case MLD_DONE:
    case MLD2_REPORT:
        return SWALLOWED;
    default:
        return DROPPED(WEFT_DROP_NEIGHBOUR_UNANSWERED);
    }
}

#endif
