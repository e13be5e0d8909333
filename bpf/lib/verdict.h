/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * What becomes of a packet, and the counters that say so.
 * A function that judges a packet returns an action of tcx, or DROPPED(reason), or SWALLOWED; only the programs themselves count and translate.
 */
#ifndef WEFT_LIB_VERDICT_H
#define WEFT_LIB_VERDICT_H

#include <linux/if_packet.h>

#include "maps.h"

/* Actions of tcx (enum tcx_action_base, Linux 6.6), which older headers lack; clsact takes the same values. */
#define WEFT_TCX_NEXT (-1)
#define WEFT_TCX_PASS 0
#define WEFT_TCX_DROP 2

#define DROPPED_BIT 0x100
#define DROPPED(reason) (DROPPED_BIT | (reason))
/* Dealt with: accepted, and nothing goes on. */
#define SWALLOWED 0x200
/* The packet is dropped, and goes back as the message that says so: with the action that sends it. */
#define ANSWERED_BIT 0x400
#define ANSWERED_REASON_SHIFT 16
#define ANSWERED(reason) (ANSWERED_BIT | (reason) << ANSWERED_REASON_SHIFT)
#define ANSWERED_ACTION 0xff
/* In the place of an action: there is no way to tell the sender. */
#define UNANSWERABLE (-1)

/* The other end of the node's own veth on the ingress network is in the host's namespace, like this one. */
static __always_inline bool is_hosts_own(__u32 ifindex)
{
    const struct weft_ingress *ingress;
    __u32 zero = 0;

    ingress = bpf_map_lookup_elem(&weft_ingress, &zero);
    return ingress && ingress->ifindex == ifindex;
}

/* Sends what a sandbox has sent into the namespace behind a host end. To the host end it may have been somebody else's packet,
 * by its MAC address, which kernels that do not scrub it on the way (before Linux 6.14) would hold against it. */
static __always_inline int redirect_to_sandbox(struct __sk_buff *skb, __u32 ifindex)
{
    if (skb->pkt_type != PACKET_HOST)
        bpf_skb_change_type(skb, PACKET_HOST);
    /* What leads past a veth leads into another namespace only. */
    if (is_hosts_own(ifindex))
        return bpf_redirect(ifindex, 0);
    return bpf_redirect_peer(ifindex, 0);
}

/* The verdict on a packet that is dropped for `reason`, after its sender was told by `action`. */
static __always_inline int answered(int action, int reason)
{
    return action < 0 ? DROPPED(reason) : ANSWERED(reason) | (action & ANSWERED_ACTION);
}

/* Before adjust_room, which clears gso_segs. */
static __always_inline __u32 packets_in(const struct __sk_buff *skb)
{
    return skb->gso_segs ?: 1;
}

static __always_inline struct weft_counter *counter_of(__u32 ifindex)
{
    struct weft_counter_key key = { .ifindex = ifindex };

    return bpf_map_lookup_elem(&weft_counter, &key);
}

static __always_inline void count_received(__u32 ifindex, __u32 packets, __u32 bytes)
{
    struct weft_counter *counter = counter_of(ifindex);

    if (!counter)
        return;
    counter->received_packets += packets;
    counter->received_bytes += bytes;
}

static __always_inline void count_drop(struct weft_counter *counter, int verdict, __u32 packets)
{
    if (counter)
        counter->dropped[verdict & (WEFT_DROP_SLOTS - 1)] += packets;
}

/* Verdict on a packet that came from the wire: drops go to the counter of interface 0. */
static __always_inline int conclude(int verdict, __u32 packets)
{
    if (verdict > 0 && verdict & ANSWERED_BIT) {
        count_drop(counter_of(0), verdict >> ANSWERED_REASON_SHIFT, packets);
        return verdict & ANSWERED_ACTION;
    }
    if (!(verdict > 0 && verdict & DROPPED_BIT))
        return verdict;
    count_drop(counter_of(0), verdict, packets);
    return WEFT_TCX_DROP;
}

#endif
