/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * From a client to a service: which of its backends gets the connection, and what becomes of it when there is none.
 *
 * A connection of TCP keeps its backend as long as it lives, though no new ones go there any more; what has no connections - UDP -
 * goes elsewhere as soon as its backend is none. Of a fragmented packet only the first fragment tells whose it is: the others follow
 * it by the packet's identification, and are lost if they come before it.
 */
#ifndef WEFT_LIB_SERVICE_H
#define WEFT_LIB_SERVICE_H

#include "choice.h"
#include "errors.h"
#include "flow.h"
#include "maps.h"
#include "reset.h"
#include "transport.h"

/* Makes the entries by which the connection's packets are known. The first one's key is there. */
static __always_inline void remember(struct scratch *with, __u32 generation, const int family)
{
    const struct passage *passage = &with->passage;
    struct weft_flow_key *key = &with->key;
    struct weft_flow *flow = &with->flow;

    flow->ifindex = passage->ifindex;
    flow->generation = generation;
    set_address(flow->address, passage->backend, family);
    bpf_map_update_elem(&weft_flow, key, flow, BPF_ANY);
    if (same_address(passage->backend, passage->client, family)) {
        /* To itself: its answers go to the service's address too. */
        key->ports = swapped(key->ports);
    } else {
        set_address(key->peer, passage->backend, family);
        key->direction = WEFT_FLOW_FROM_BACKEND;
        set_address(flow->address, passage->service, family);
    }
    bpf_map_update_elem(&weft_flow, key, flow, BPF_ANY);
}

static __always_inline void remember_fragments(struct scratch *with, const int family)
{
    const struct passage *passage = &with->passage;

    set_flow_key(
        &with->key, passage->vni, passage->client, passage->service, with->transport.identification,
        with->transport.protocol, WEFT_FLOW_FRAGMENTS_TO_SERVICE, family);
    with->flow.ifindex = passage->ifindex;
    set_address(with->flow.address, passage->backend, family);
    bpf_map_update_elem(&weft_flow, &with->key, &with->flow, BPF_ANY);
}

/* Whether the packet goes where those before it went. */
static __always_inline bool keeps_backend(
    const struct passage *passage, const struct transport *transport, const struct weft_flow *flow, const int family)
{
    const struct weft_service *service;

    if (!transport->is_first)
        return true;
    if (transport->protocol == IPPROTO_TCP)
        return !opens(transport);
    service = service_at(passage, family);
    return service && service->generation == flow->generation;
}

/* Finds the packet's backend; false if it has none. */
static __always_inline bool find_backend(struct scratch *with, const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    struct weft_flow *flow;
    __u32 generation;

    set_flow_key(
        &with->key, passage->vni, passage->client, passage->service,
        transport->is_first ? transport->ports : transport->identification, transport->protocol,
        transport->is_first ? WEFT_FLOW_TO_SERVICE : WEFT_FLOW_FRAGMENTS_TO_SERVICE, family);
    flow = flow_of(&with->key, passage->ifindex);
    if (flow && keeps_backend(passage, transport, flow, family)) {
        set_address(passage->backend, flow->address, family);
        return true;
    }
    if (!transport->is_first || !choose_backend(passage, transport->ports, transport->protocol, &generation, family))
        return false;
    remember(with, generation, family);
    return true;
}

/* Says at once that nobody is there. */
static __always_inline int refuse(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct transport *transport, const int family)
{
    if (transport->protocol == (family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
        __u8 type;

        /* No error answers an error. */
        if (!transport->is_first || bpf_skb_load_bytes(skb, transport->offset, &type, sizeof(type)) || is_error(type, family))
            return DROPPED(WEFT_DROP_NO_BACKEND);
    }
    if (transport->protocol == IPPROTO_TCP && transport->is_first) {
        if (transport->tcp_flags & TCP_RST)
            return DROPPED(WEFT_DROP_NO_BACKEND);
        /* Without options or extension headers: no TCP sends any. */
        if (!transport->is_fragment && transport->offset == ETH_HLEN + (family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)))
            return answered(family == 6 ? send_reset6(skb, endpoint) : send_reset(skb, endpoint), WEFT_DROP_NO_BACKEND);
    }
    if (!transport->is_first)
        return DROPPED(WEFT_DROP_NO_BACKEND);
    return family == 6 ? answer_unreachable6(skb, endpoint, WEFT_DROP_NO_BACKEND)
                       : answer_unreachable(skb, endpoint, WEFT_DROP_NO_BACKEND);
}

/* Whether nobody has the address that a backend had. */
static __always_inline bool was_backend(__u32 vni, const __be32 *address, const int family)
{
    struct weft_former_key key = { .vni = vni, .family = family };

    set_address(key.address, address, family);
    return bpf_map_lookup_elem(&weft_former, &key);
}

/* To a backend that is gone, from who was connected to it where the socket connects. */
static __noinline int refuse_former(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct iphdr *ip = packet_start(skb) + ETH_HLEN;
    struct scratch *with = scratch();

    if (!with || (void *)(ip + 1) > packet_end(skb) || !read_transport(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return refuse(skb, endpoint, &with->transport, 4);
}

static __noinline int refuse_former6(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct ipv6hdr *ip = packet_start(skb) + ETH_HLEN;
    struct scratch *with = scratch();

    if (!with || (void *)(ip + 1) > packet_end(skb) || !read_transport6(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return refuse(skb, endpoint, &with->transport, 6);
}

/* A client's error about a packet of the service's becomes one about the backend's. False for what is none. */
static __always_inline bool translate_error(struct __sk_buff *skb, struct scratch *with, const int family)
{
    struct passage *passage = &with->passage;
    struct quoted *quoted = &with->quoted;
    struct weft_flow *flow;

    if (!read_quoted(skb, &with->transport, quoted, family) || !same_address(quoted->source, passage->service, family))
        return false;
    set_flow_key(
        &with->key, passage->vni, quoted->target, quoted->source, swapped(quoted->ports), quoted->protocol,
        WEFT_FLOW_TO_SERVICE, family);
    flow = flow_of(&with->key, passage->ifindex);
    if (!flow)
        return false;
    set_address(passage->backend, flow->address, family);
    /* To itself: both pairs of addresses change places, this one here. */
    if (same_address(passage->backend, passage->client, family))
        return swap_quoted(skb, quoted, family);
    return replace_quoted(
               skb, &with->transport, quoted, quoted->offset + SOURCE_OFFSET(family), passage->service, passage->backend,
               family) &&
           replace_address(
               skb, ETH_HLEN + TARGET_OFFSET(family), passage->service, passage->backend, &with->transport, family);
}

/* What a sandbox sends to a backend itself ends what was remembered of a connection with the same ports through the service: what the
 * backend answers is its own. */
static __always_inline void forget_flow(struct scratch *with, const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    struct weft_flow *flow;

    if (!transport->is_first || (transport->protocol == IPPROTO_TCP && !opens(transport)))
        return;
    set_flow_key(
        &with->key, passage->vni, passage->client, passage->backend, transport->ports, transport->protocol,
        WEFT_FLOW_FROM_BACKEND, family);
    flow = bpf_map_lookup_elem(&weft_flow, &with->key);
    if (!flow)
        return;
    set_address(passage->service, flow->address, family);
    bpf_map_delete_elem(&weft_flow, &with->key);
    set_address(with->key.peer, passage->service, family);
    with->key.direction = WEFT_FLOW_TO_SERVICE;
    bpf_map_delete_elem(&weft_flow, &with->key);
}

static __noinline int forget_connection(struct __sk_buff *skb, __u32 vni)
{
    struct iphdr *ip = packet_start(skb) + ETH_HLEN;
    struct scratch *with = scratch();

    if (!with || (void *)(ip + 1) > packet_end(skb))
        return 0;
    with->passage.vni = vni;
    with->passage.client[0] = ip->saddr;
    with->passage.backend[0] = ip->daddr;
    if (read_transport(skb, ip, &with->transport))
        forget_flow(with, 4);
    return 0;
}

static __noinline int forget_connection6(struct __sk_buff *skb, __u32 vni)
{
    struct ipv6hdr *ip = packet_start(skb) + ETH_HLEN;
    struct scratch *with = scratch();

    if (!with || (void *)(ip + 1) > packet_end(skb))
        return 0;
    with->passage.vni = vni;
    set_ipv6(with->passage.client, ip->saddr.in6_u.u6_addr32);
    set_ipv6(with->passage.backend, ip->daddr.in6_u.u6_addr32);
    if (read_transport6(skb, ip, &with->transport))
        forget_flow(with, 6);
    return 0;
}

#endif
