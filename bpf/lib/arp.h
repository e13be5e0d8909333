/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * ARP (RFC 826) is answered at once, always with the gateway's MAC; no request leaves the host.
 */
#ifndef WEFT_LIB_ARP_H
#define WEFT_LIB_ARP_H

#include "packet.h"
#include "verdict.h"

/* From <linux/if_arp.h>, which pulls in the C library's headers. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

struct arp_ipv4 {
    __be16 hardware;
    __be16 protocol;
    __u8 hardware_length;
    __u8 protocol_length;
    __be16 operation;
    __u8 sender_mac[6];
    __be32 sender;
    __u8 target_mac[6];
    __be32 target;
} __attribute__((packed));

static __always_inline int answer_arp(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct ethhdr *ethernet;
    struct arp_ipv4 *arp;
    __be32 sender, target;

    if (!pull(skb, sizeof(*ethernet) + sizeof(*arp)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ethernet = packet_start(skb);
    arp = (void *)(ethernet + 1);
    if ((void *)(arp + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (arp->hardware != bpf_htons(ARPHRD_ETHER) || arp->protocol != bpf_htons(ETH_P_IP) ||
        arp->hardware_length != 6 || arp->protocol_length != 4)
        return DROPPED(WEFT_DROP_ARP_UNANSWERED);

    sender = arp->sender;
    target = arp->target;
    if (__builtin_memcmp(arp->sender_mac, endpoint->mac, 6))
        return DROPPED(WEFT_DROP_SPOOFED_MAC);
    /* 0.0.0.0 asks whether an address is taken (RFC 5227, 2.1.1). */
    if (sender != endpoint->ipv4 && !(sender == 0 && arp->operation == bpf_htons(ARPOP_REQUEST)))
        return DROPPED(WEFT_DROP_SPOOFED_ADDRESS);
    /* A probe for, or an announcement of, the asker's own address: an answer would look like a conflict. */
    if (target == endpoint->ipv4)
        return SWALLOWED;
    if (arp->operation != bpf_htons(ARPOP_REQUEST))
        return DROPPED(WEFT_DROP_ARP_UNANSWERED);

    /* An address of the subnet that nobody has yet is answered for as well: an asker left without an answer asks again only after a
     * second, and would reach an endpoint that comes meanwhile that much later. Until then its packets are dropped as NO_ENDPOINT. */
    if (target != bpf_htonl(WEFT_RESOLVER_IPV4) && !(target && target == endpoint->gateway_ipv4) &&
        !(sender && (target & endpoint->subnet_mask) == endpoint->subnet_ipv4) && !forward_entry(endpoint->vni, target))
        return DROPPED(WEFT_DROP_ARP_UNANSWERED);
    /* The program routes by address and sets the MAC itself, so the host end's own does for all: who looks at a host's interfaces
     * (`tcpdump -i any`) sees what comes in there from the endpoint, and no other host's frames. */
    set_gateway_mac(arp->sender_mac);
    arp->operation = bpf_htons(ARPOP_REPLY);
    arp->sender = target;
    arp->target = sender;
    __builtin_memcpy(arp->target_mac, endpoint->mac, 6);
    __builtin_memcpy(ethernet->h_source, arp->sender_mac, 6);
    __builtin_memcpy(ethernet->h_dest, endpoint->mac, 6);
    return redirect_to_sandbox(skb, skb->ifindex);
}

#endif
