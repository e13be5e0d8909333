/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * What tells the packets of one connection from others', whatever the transport.
 */
#ifndef WEFT_LIB_TRANSPORT_H
#define WEFT_LIB_TRANSPORT_H

#include "gateway.h"
#include "packet.h"
#include "verdict.h"

#define TCP_FLAGS_OFFSET 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define TCP_CHECKSUM_OFFSET 16
#define UDP_CHECKSUM_OFFSET 6

struct transport {
    __u32 offset;         /* of the transport's header in the frame */
    __u32 ports;          /* as they stand there, the sender's first; 0 of protocols without, and in later fragments */
    __u32 identification; /* of the packet whose fragment this is */
    __u8 protocol;
    __u8 tcp_flags;
    bool is_fragment;
    bool is_first;        /* of the fragments, or no fragment: the transport's header is in it */
};

/* Their ports are the first two words of the header. */
static __always_inline bool has_ports(__u8 protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE || protocol == IPPROTO_SCTP ||
           protocol == IPPROTO_DCCP;
}

/* Where the checksum is that covers the addresses too; 0: nowhere (SCTP's does not). */
static __always_inline __u32 checksum_offset(__u8 protocol)
{
    switch (protocol) {
    case IPPROTO_TCP: return TCP_CHECKSUM_OFFSET;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_DCCP: return UDP_CHECKSUM_OFFSET;
    case IPPROTO_ICMPV6: return ICMP_CHECKSUM_OFFSET;
    default: return 0;
    }
}

static __always_inline bool read_ports(struct __sk_buff *skb, struct transport *transport)
{
    if (!transport->is_first || !has_ports(transport->protocol))
        return true;
    if (bpf_skb_load_bytes(skb, transport->offset, &transport->ports, sizeof(transport->ports)))
        return false;
    return transport->protocol != IPPROTO_TCP ||
           !bpf_skb_load_bytes(skb, transport->offset + TCP_FLAGS_OFFSET, &transport->tcp_flags, sizeof(transport->tcp_flags));
}

/* False when the packet is shorter than its headers say. */
static __always_inline bool read_transport(struct __sk_buff *skb, const struct iphdr *ip, struct transport *transport)
{
    transport->protocol = ip->protocol;
    transport->offset = ETH_HLEN + ip->ihl * 4;
    transport->identification = ip->id;
    transport->is_fragment = ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET);
    transport->is_first = !(ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET));
    return read_ports(skb, transport);
}

/* Extension headers but the fragment's are taken for the transport: one without ports. */
static __always_inline bool read_transport6(struct __sk_buff *skb, const struct ipv6hdr *ip, struct transport *transport)
{
    struct fragment_header fragment;

    transport->protocol = ip->nexthdr;
    transport->offset = ETH_HLEN + sizeof(*ip);
    transport->is_first = true;
    if (transport->protocol == IPPROTO_FRAGMENT) {
        if (bpf_skb_load_bytes(skb, transport->offset, &fragment, sizeof(fragment)))
            return false;
        transport->protocol = fragment.next;
        transport->offset += sizeof(fragment);
        transport->identification = fragment.identification;
        transport->is_fragment = true;
        transport->is_first = !(fragment.offset & bpf_htons(FRAGMENT_OFFSET6));
    }
    return read_ports(skb, transport);
}

static __always_inline __u32 swapped(__u32 ports)
{
    return ports << 16 | ports >> 16;
}

/* The first packet of a TCP connection. */
static __always_inline bool opens(const struct transport *transport)
{
    return (transport->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

#endif
