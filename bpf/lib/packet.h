/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Access to a packet's bytes, and the headers' layouts.
 */
#ifndef WEFT_LIB_PACKET_H
#define WEFT_LIB_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "weft_datapath_abi.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_DONT_FRAGMENT 0x4000
#define IP_FRAGMENT_OFFSET 0x1fff

#define ECN_MASK 3
#define ECN_CONGESTION 3

struct vxlan_header {
    __be32 flags;
    __be32 vni; /* upper 24 bits */
};
#define VXLAN_FLAG_VNI 0x08000000u

/* The first bytes of a TCP and of a UDP header. */
struct ports {
    __be16 source;
    __be16 target;
};

/* clang likes to hoist the offset of `data` into a pointer to the context, which the verifier refuses
 * ("dereference of modified ctx ptr"): these two loads stay as written. */
static __always_inline void *packet_start(const struct __sk_buff *skb)
{
    void *start;

    asm volatile("%0 = *(u32 *)(%1 + %2)"
                 : "=r"(start) : "r"(skb), "i"(offsetof(struct __sk_buff, data)));
    return start;
}

static __always_inline void *packet_end(const struct __sk_buff *skb)
{
    void *end;

    asm volatile("%0 = *(u32 *)(%1 + %2)"
                 : "=r"(end) : "r"(skb), "i"(offsetof(struct __sk_buff, data_end)));
    return end;
}

/* Makes the first `length` bytes readable and writable in place. Pointers into the packet are void afterwards. */
static __always_inline bool pull(struct __sk_buff *skb, __u32 length)
{
    if (packet_start(skb) + length <= packet_end(skb))
        return true;
    return skb->len >= length && bpf_skb_pull_data(skb, length) == 0;
}

static __always_inline bool same_mac(const __u8 *one, const __u8 *other)
{
    return *(const __u32 *)one == *(const __u32 *)other && *(const __u16 *)(one + 4) == *(const __u16 *)(other + 4);
}

static __always_inline void set_mac(__u8 *to, const __u8 *from)
{
    *(__u32 *)to = *(const __u32 *)from;
    *(__u16 *)(to + 4) = *(const __u16 *)(from + 4);
}

static __always_inline void set_gateway_mac(__u8 *to)
{
    to[0] = WEFT_GATEWAY_MAC0;
    to[1] = WEFT_GATEWAY_MAC1;
    to[2] = WEFT_GATEWAY_MAC2;
    to[3] = WEFT_GATEWAY_MAC3;
    to[4] = WEFT_GATEWAY_MAC4;
    to[5] = WEFT_GATEWAY_MAC5;
}

/* 224.0.0.0/4 and 255.255.255.255. */
static __always_inline bool is_group_address(__be32 address)
{
    return (address & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || address == 0xffffffff;
}

static __always_inline bool same_ipv6(const __be32 *one, const __be32 *other)
{
    return !((one[0] ^ other[0]) | (one[1] ^ other[1]) | (one[2] ^ other[2]) | (one[3] ^ other[3]));
}

static __always_inline void set_ipv6(__be32 *to, const __be32 *from)
{
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
}

/* :: */
static __always_inline bool is_unspecified(const __be32 *address)
{
    return !(address[0] | address[1] | address[2] | address[3]);
}

/* fe80::/10 */
static __always_inline bool is_link_local(const __be32 *address)
{
    return (address[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* 127.0.0.0/8 */
static __always_inline bool is_loopback(__be32 address)
{
    return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* ::1 */
static __always_inline bool is_loopback6(const __be32 *address)
{
    return !(address[0] | address[1] | address[2]) && address[3] == bpf_htonl(1);
}

/* ff00::/8 */
static __always_inline bool is_multicast6(const __be32 *address)
{
    return (address[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

static __always_inline __u8 traffic_class(const struct ipv6hdr *ip)
{
    return bpf_ntohs(*(const __be16 *)ip) >> 4;
}

static __always_inline __u16 fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)sum;
}

/* Ones' complement sum of a header without options: 0xffff when its checksum is right, else what ~ makes a checksum of (RFC 1071). */
static __always_inline __u16 header_sum(const struct iphdr *ip)
{
    const __u32 *word = (const __u32 *)ip;

    return fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]);
}

#endif
