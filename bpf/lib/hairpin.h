/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Published ports for endpoints of this host, which ask an address of it by their own interface.
 *
 *   endpoint | asks host:port ---> weft_from_container | client: the node on the ingress network, target: the task ---> task
 *   endpoint <--- what was asked, to who asked <--- weft_from_container, or the tunnel's end <--- task, to the node
 *
 * The task sees the node: the endpoint's own address may be of a network that it has no way to, or has another by. IPv4 alone, as an
 * endpoint has no way to anything outside by IPv6.
 */
#ifndef WEFT_LIB_HAIRPIN_H
#define WEFT_LIB_HAIRPIN_H

#include "ingress.h"

/* Sends an endpoint's packet for a published port of this host to its task; WEFT_TCX_NEXT if it is for none. */
static __noinline int enter_from_endpoint(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 packets)
{
    const struct weft_ingress *ingress = ingress_here();
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    struct iphdr *ip = packet_start(skb) + ETH_HLEN;
    const struct weft_forward *to;
    struct passage *passage;
    __be32 own;

    if (!ingress || !ingress->vni || !with || !my || (void *)(ip + 1) > packet_end(skb))
        return WEFT_TCX_NEXT;
    passage = &with->passage;
    passage->vni = ingress->vni;
    passage->client[0] = ip->saddr;
    passage->service[0] = ip->daddr;
    own = ingress->ipv4;
    if (!read_transport(skb, ip, &with->transport) || !has_ports(with->transport.protocol))
        return WEFT_TCX_NEXT;
    switch (find_entry(skb, with, my, &own, skb->ifindex, 4)) {
    case ENTRY_NONE: return WEFT_TCX_NEXT;
    case ENTRY_REFUSED: return refuse(skb, endpoint, &with->transport, 4);
    case ENTRY_DENIED: return DROPPED(WEFT_DROP_NOT_ALLOWED);
    case ENTRY_FOUND: break;
    }
    to = forward_entry(passage->vni, passage->backend[0]);
    if (!to || !(to->flags & WEFT_FORWARD_BACKEND))
        return refuse(skb, endpoint, &with->transport, 4);
    if (!to->ifindex) {
        if (exceeds_path(skb, to->mtu, with->transport.offset, with->transport.protocol))
            return answer_too_big(skb, endpoint, to->mtu);
        narrow_segments(skb, &with->transport, to->mtu, 4);
    }
    if (!replace_address(skb, ETH_HLEN + TARGET_OFFSET(4), my->in.address, passage->backend, &with->transport, 4) ||
        !replace_address(skb, ETH_HLEN + SOURCE_OFFSET(4), passage->client, &own, &with->transport, 4) ||
        !replace_ports(skb, &with->transport, my->flow.ports))
        return DROPPED(WEFT_DROP_TRUNCATED);
    remember_ingress_fragments(my, &my->in, &with->transport, WEFT_INGRESS_FRAGMENTS_IN);
    return send_to_task(skb, to, my, passage->vni, packets, 4);
}

/* What a task sends to this node goes on to the endpoint that asked, as from what it asked for; 0 if no endpoint did. The frame is bare. */
static __noinline int return_to_endpoint(struct __sk_buff *skb, __u32 packets)
{
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    struct weft_endpoint_key key = {};
    const struct weft_endpoint *endpoint;
    struct ethhdr *ethernet;
    struct iphdr *ip;
    bool is_error;

    if (!with || !my || !pull(skb, ETH_HLEN + sizeof(*ip)))
        return 0;
    ip = packet_start(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > packet_end(skb) || !read_transport(skb, ip, &with->transport))
        return 0;
    with->passage.client[0] = ip->daddr;
    with->passage.backend[0] = ip->saddr;
    is_error = is_control(&with->transport, 4);
    if (!(is_error ? find_error(skb, with, my, 4) : find_answer(with, my, 4)) || my->flow.peer)
        return 0;
    key.ifindex = my->flow.ifindex;
    endpoint = bpf_map_lookup_elem(&weft_endpoint, &key);
    /* The interface's index may have become another's. */
    if (!endpoint || endpoint->ipv4 != my->flow.client[0])
        return DROPPED(WEFT_DROP_NO_FLOW);
    if (is_error) {
        if (!replace_quoted_ports(skb, &with->transport, &with->quoted, my->flow.ports, 4) ||
            !replace_quoted(
                skb, &with->transport, &with->quoted, with->quoted.offset + TARGET_OFFSET(4), with->passage.backend,
                my->flow.address, 4) ||
            !replace_quoted(
                skb, &with->transport, &with->quoted, with->quoted.offset + SOURCE_OFFSET(4), with->passage.client,
                my->flow.client, 4))
            return DROPPED(WEFT_DROP_TRUNCATED);
    } else {
        if (!replace_ports(skb, &with->transport, swapped(my->flow.ports)))
            return DROPPED(WEFT_DROP_TRUNCATED);
        remember_ingress_fragments(my, &my->out, &with->transport, WEFT_INGRESS_FRAGMENTS_OUT);
    }
    if (!replace_address(
            skb, ETH_HLEN + SOURCE_OFFSET(4), with->passage.backend, my->flow.address, &with->transport, 4) ||
        !replace_address(skb, ETH_HLEN + TARGET_OFFSET(4), with->passage.client, my->flow.client, &with->transport, 4))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ethernet = packet_start(skb);
    if ((void *)(ethernet + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    count_received(key.ifindex, packets, skb->len);
    return redirect_to_sandbox(skb, key.ifindex);
}

#endif
