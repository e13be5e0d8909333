/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Published ports: from a client outside, whose address the task sees, to a task here or behind a peer, and back the way it came.
 *
 *   client ---> interface of a host | entry: address and port become the task's ---> task here          (into its namespace)
 *                                                                              \---> its node, by tunnel ---> task
 *   client <--- the interface that it came by | address and port become what was asked <--- task here
 *                                                                              \<--- by tunnel <--- its node <--- task
 *
 * The node where a connection enters translates it. The task's node remembers where it entered, as the client is nobody's of the overlay.
 * A client's connections to several of a service's ports, or by several nodes, may be one and the same to the task: it gets another
 * port of the client's then.
 */
#ifndef WEFT_LIB_INGRESS_H
#define WEFT_LIB_INGRESS_H

#include "ingress_entry.h"
#include "ingress_flow.h"

/* ---- On the way back ---- */

/* Finds what a packet of the task `passage->backend` for `passage->client` becomes. */
static __always_inline bool find_answer(struct scratch *with, struct ingress_scratch *my, const int family)
{
    const struct transport *transport = &with->transport;
    const struct passage *passage = &with->passage;
    struct weft_ingress_flow *known;

    set_ingress_key(
        &my->out, passage->client, passage->backend,
        transport->is_first ? swapped(transport->ports) : transport->identification, 0, transport->protocol,
        transport->is_first ? WEFT_INGRESS_OUT : WEFT_INGRESS_FRAGMENTS_OUT, family);
    known = bpf_map_lookup_elem(&weft_ingress_flow, &my->out);
    if (known)
        my->flow = *known;
    return known;
}

/* The same for what the task, or a router on the way to it, says of a packet of the client's. */
static __always_inline bool find_error(
    struct __sk_buff *skb, struct scratch *with, struct ingress_scratch *my, const int family)
{
    struct quoted *quoted = &with->quoted;
    struct weft_ingress_flow *known;

    if (!read_quoted(skb, &with->transport, quoted, family) ||
        !same_address(quoted->target, with->passage.backend, family))
        return false;
    set_ingress_key(
        &my->out, quoted->source, quoted->target, quoted->ports, 0, quoted->protocol, WEFT_INGRESS_OUT, family);
    known = bpf_map_lookup_elem(&weft_ingress_flow, &my->out);
    if (known)
        my->flow = *known;
    return known;
}

#define FAMILY_IPV6 10 /* AF_INET6 */

/* Sends a task's packet, which is as from what was asked, straight to the client: by the host's routes, of IPv6 by the interface of the data path, as
 * the helper finds no route of that family on a host that does not forward it. */
static __always_inline int send_straight(struct __sk_buff *skb, const struct ingress_scratch *my, const int family)
{
    const struct weft_config *config = configuration();
    struct bpf_redir_neigh hop = {};
    struct bpf_fib_lookup route = { .family = FAMILY_IPV4, .ifindex = skb->ifindex };
    long result;

    if (family == 6)
        return config ? bpf_redirect_neigh(config->underlay_ifindex, NULL, 0, 0) : DROPPED(WEFT_DROP_ENCAP_FAILED);
    route.ipv4_src = my->flow.address[0];
    route.ipv4_dst = my->flow.client[0];
    result = bpf_fib_lookup(skb, &route, sizeof(route), 0);
    if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
        return DROPPED(WEFT_DROP_NO_FLOW);
    hop.nh_family = route.family;
    if (route.family == FAMILY_IPV6)
        __builtin_memcpy(hop.ipv6_nh, route.ipv6_dst, sizeof(hop.ipv6_nh));
    else
        hop.ipv4_nh = route.ipv4_dst;
    return bpf_redirect_neigh(route.ifindex, &hop, sizeof(hop), 0);
}

/* Sends a task's packet on to the node where its connection entered. */
static __always_inline int send_to_entry(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct weft_vtep *member, struct ingress_scratch *my,
    const int family)
{
    const __u32 header = family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
    struct ethhdr *ethernet = packet_start(skb);
    void *ip = ethernet + 1;
    __u8 tos;

    if (ip + header > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    my->way.vtep_ipv4 = my->flow.peer;
    my->way.tunnel = member->tunnel;
    set_gateway_mac(my->way.mac);
    tos = family == 6 ? traffic_class(ip) : ((struct iphdr *)ip)->tos;
    if (family == 6)
        ethernet->h_proto = bpf_htons(ETH_P_IP);
    return send_to_peer(skb, endpoint, &my->way, family == 6 ? ETH_P_IPV6 : ETH_P_IP, tos);
}

/* Sends a task's packet the way that its connection came; 0 if it is of none. `endpoint`: the task's, NULL where it came by a tunnel. */
static __always_inline int leave(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, struct scratch *with, struct ingress_scratch *my,
    const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    const bool is_error = is_control(transport, family);
    const struct weft_vtep *member = NULL;

    if (!(is_error ? find_error(skb, with, my, family) : find_answer(with, my, family)))
        return 0;
    if (my->flow.peer) {
        struct weft_vtep_key key = { .vtep_ipv4 = my->flow.peer };

        if (!endpoint)
            return DROPPED(WEFT_DROP_NO_FLOW);
        key.vni = endpoint->vni;
        member = bpf_map_lookup_elem(&weft_vtep, &key);
        if (!member)
            return DROPPED(WEFT_DROP_UNKNOWN_VTEP);
        if (!(my->flow.flags & WEFT_INGRESS_DIRECT) &&
            exceeds_path(skb, member->mtu, transport->offset, transport->protocol))
            return family == 6 ? answer_too_big6(skb, endpoint, member->mtu) : answer_too_big(skb, endpoint, member->mtu);
        narrow_segments(skb, transport, member->mtu, family);
    }
    if (is_error ? !replace_quoted_ports(skb, transport, &with->quoted, my->flow.ports, family)
                 : !replace_ports(skb, transport, swapped(my->flow.ports)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!is_error)
        remember_ingress_fragments(my, &my->out, transport, WEFT_INGRESS_FRAGMENTS_OUT);
    if (member && !(my->flow.flags & WEFT_INGRESS_DIRECT))
        return send_to_entry(skb, endpoint, member, my, family);
    if (is_error && !replace_quoted(
                        skb, transport, &with->quoted, with->quoted.offset + TARGET_OFFSET(family), passage->backend,
                        my->flow.address, family))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!replace_address(
            skb, ETH_HLEN + SOURCE_OFFSET(family), passage->backend, my->flow.address, transport, family))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return member ? send_straight(skb, my, family) : bpf_redirect_neigh(my->flow.ifindex, NULL, 0, 0);
}

/* From a task to an address outside: what answers a client goes back to it. 0: it is no answer. */
static __noinline int answer_client(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    struct iphdr *ip = packet_start(skb) + ETH_HLEN;

    if (!with || !my || (void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    with->passage.client[0] = ip->daddr;
    with->passage.backend[0] = ip->saddr;
    return read_transport(skb, ip, &with->transport) ? leave(skb, endpoint, with, my, 4) : DROPPED(WEFT_DROP_TRUNCATED);
}

static __noinline int answer_client6(struct __sk_buff *skb, const struct weft_endpoint *endpoint)
{
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    struct ipv6hdr *ip = packet_start(skb) + ETH_HLEN;

    if (!with || !my || (void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    set_ipv6(with->passage.client, ip->daddr.in6_u.u6_addr32);
    set_ipv6(with->passage.backend, ip->saddr.in6_u.u6_addr32);
    return read_transport6(skb, ip, &with->transport) ? leave(skb, endpoint, with, my, 6) : DROPPED(WEFT_DROP_TRUNCATED);
}

/* ---- Out of a tunnel ---- */

/* A client's packet for a task here, from the node where it entered. */
static __always_inline int take_request(
    struct __sk_buff *skb, const struct arrival *arrival, const struct weft_forward *to, struct scratch *with,
    struct ingress_scratch *my, __u32 packets, const int family)
{
    const struct transport *transport = &with->transport;
    const struct passage *passage = &with->passage;
    struct weft_ingress_flow *known;
    __u8 type;

    if (is_control(transport, family)) {
        if (!transport->is_first || bpf_skb_load_bytes(skb, transport->offset, &type, sizeof(type)) || !is_error(type, family))
            return DROPPED(WEFT_DROP_NO_FLOW);
    } else if (transport->is_first) {
        if (!has_ports(transport->protocol))
            return DROPPED(WEFT_DROP_NO_FLOW);
        set_ingress_key(
            &my->in, passage->client, passage->backend, transport->ports, arrival->peer, transport->protocol,
            WEFT_INGRESS_IN, family);
        known = bpf_map_lookup_elem(&weft_ingress_flow, &my->in);
        if (known && !(transport->protocol == IPPROTO_TCP && opens(transport))) {
            my->flow = *known;
        } else {
            set_address(my->flow.client, passage->client, family);
            set_address(my->flow.address, passage->backend, family);
            my->flow.ports = transport->ports;
            my->flow.peer = arrival->peer;
            set_ingress_key(
                &my->out, passage->client, passage->backend, transport->ports, 0, transport->protocol, WEFT_INGRESS_OUT,
                family);
            remember_ingress(my, passage, 0, family);
        }
        if (!replace_ports(skb, transport, my->flow.ports))
            return DROPPED(WEFT_DROP_TRUNCATED);
    }
    return send_to_task(skb, to, my, arrival->vni, packets, family);
}

/* Whether this can be a client's address, to the endpoint that its packet is for. */
static __always_inline bool is_stranger(const struct weft_forward *to, const __be32 *address, const int family)
{
    struct weft_endpoint_key key = { .ifindex = to->ifindex };
    const struct weft_endpoint *endpoint = bpf_map_lookup_elem(&weft_endpoint, &key);

    if (!endpoint)
        return false;
    if (family == 6)
        return !is_in_subnet6(endpoint, address) && !is_link_local(address) && !is_multicast6(address) &&
               !is_unspecified(address);
    return (address[0] & endpoint->subnet_mask) != endpoint->subnet_ipv4 && !is_loopback(address[0]) &&
           !is_group_address(address[0]) && address[0];
}

/* A client's packet for a task here as it was asked at the node where it entered: the frame is addressed to the task, in whose MAC address its
 * IPv4 address stands. `passage` has the client and what was asked. */
static __always_inline int take_direct(
    struct __sk_buff *skb, const struct arrival *arrival, struct scratch *with, struct ingress_scratch *my, __u32 packets,
    int verdict, const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    const struct weft_published *port;
    const struct weft_forward *to;
    struct weft_ingress_flow *known;
    struct weft_published_key key;
    __be32 address;

    if (arrival->tunnel != WEFT_TUNNEL_VXLAN)
        return verdict;
    __builtin_memcpy(&address, my->addressed + 2, sizeof(address));
    to = forward_entry(arrival->vni, address);
    if (!to || !to->ifindex || !(to->flags & WEFT_FORWARD_BACKEND) || !same_mac(to->mac, my->addressed) ||
        !is_stranger(to, passage->client, family))
        return verdict;
    passage->backend[0] = address;
    if (family == 6) {
        struct weft_endpoint_key own = { .ifindex = to->ifindex };
        const struct weft_endpoint *endpoint = bpf_map_lookup_elem(&weft_endpoint, &own);

        if (!endpoint || is_unspecified(endpoint->ipv6))
            return verdict;
        set_ipv6(passage->backend, endpoint->ipv6);
    }
    if (is_control(transport, family)) {
        int told = enter_error(skb, with, my, arrival->peer, packets, family);

        return told == WEFT_TCX_NEXT ? verdict : told;
    }
    set_ingress_key(
        &my->in, passage->client, passage->service, transport->is_first ? transport->ports : transport->identification,
        arrival->peer, transport->protocol, transport->is_first ? WEFT_INGRESS_IN : WEFT_INGRESS_FRAGMENTS_IN, family);
    known = bpf_map_lookup_elem(&weft_ingress_flow, &my->in);
    if (known && same_address(known->address, passage->backend, family) &&
        !(transport->is_first && transport->protocol == IPPROTO_TCP && opens(transport))) {
        my->flow = *known;
    } else {
        if (!transport->is_first || !has_ports(transport->protocol))
            return DROPPED(WEFT_DROP_NO_FLOW);
        port = published_at(
            &key, passage->service, ((const struct ports *)&transport->ports)->target, transport->protocol, family);
        if (!port || port->vni != arrival->vni || !(port->flags & WEFT_PUBLISHED_DIRECT))
            return verdict;
        set_address(my->flow.client, passage->client, family);
        set_address(my->flow.address, passage->service, family);
        my->flow.ports = transport->ports;
        my->flow.peer = arrival->peer;
        my->flow.flags = WEFT_INGRESS_DIRECT;
        set_ingress_key(
            &my->out, passage->client, passage->backend, transport->ports, 0, transport->protocol, WEFT_INGRESS_OUT, family);
        ((struct ports *)&my->out.ports)->target = port->target;
        remember_ingress(my, passage, 0, family);
    }
    if (!replace_address(
            skb, ETH_HLEN + TARGET_OFFSET(family), passage->service, passage->backend, transport, family) ||
        !replace_ports(skb, transport, my->flow.ports))
        return DROPPED(WEFT_DROP_TRUNCATED);
    remember_ingress_fragments(my, &my->in, transport, WEFT_INGRESS_FRAGMENTS_IN);
    return send_to_task(skb, to, my, arrival->vni, packets, family);
}

/* What has come by the ingress network, from a member, and is neither from nor for one of its endpoints: `verdict` is what else would
 * become of it. The frame is bare; `source` and `target` are its addresses. */
static __always_inline int take_ingress(
    struct __sk_buff *skb, const struct arrival *arrival, const __be32 *source, const __be32 *target, struct scratch *with,
    struct ingress_scratch *my, __u32 packets, int verdict, const int family)
{
    const struct weft_forward *from = way_to(arrival->vni, source, family), *to = way_to(arrival->vni, target, family);
    struct passage *passage = &with->passage;

    passage->vni = arrival->vni;
    if (!from) {
        set_address(passage->client, source, family);
        /* clang would ask both pointers at once, which the verifier refuses. */
        asm volatile("" : "+r"(to));
        if (!to) {
            set_address(passage->service, target, family);
            return take_direct(skb, arrival, with, my, packets, verdict, family);
        }
        if (!to->ifindex || !(to->flags & WEFT_FORWARD_BACKEND))
            return verdict;
        set_address(passage->backend, target, family);
        return is_stranger(to, passage->client, family) ? take_request(skb, arrival, to, with, my, packets, family) : verdict;
    }
    if (!to && is_behind(from, arrival->peer) && from->flags & WEFT_FORWARD_BACKEND) {
        set_address(passage->client, target, family);
        set_address(passage->backend, source, family);
        return leave(skb, NULL, with, my, family) ?: DROPPED(WEFT_DROP_NO_FLOW);
    }
    return verdict;
}

static __noinline int take_ingress4(
    struct __sk_buff *skb, const struct arrival *arrival, __u32 outer, __u32 packets, int verdict)
{
    const struct weft_ingress *ingress = ingress_here();
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    __be32 source, target;
    struct iphdr *ip;

    if (!ingress || ingress->vni != arrival->vni || !with || !my)
        return verdict;
    /* The tunnel's headers end with the frame's own, where there are any. */
    if (bpf_skb_load_bytes(skb, outer, my->addressed, ETH_ALEN) || (outer && !unwrap(skb, outer)) || !pull(skb, ETH_HLEN + sizeof(*ip)))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    ip = packet_start(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > packet_end(skb) || !read_transport(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    source = ip->saddr;
    target = ip->daddr;
    return take_ingress(skb, arrival, &source, &target, with, my, packets, verdict, 4);
}

static __noinline int take_ingress6(
    struct __sk_buff *skb, const struct arrival *arrival, __u32 outer, __u32 packets, int verdict)
{
    const struct weft_ingress *ingress = ingress_here();
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    __be32 source[4], target[4];
    struct ethhdr *ethernet;
    struct ipv6hdr *ip;

    if (!ingress || ingress->vni != arrival->vni || !with || !my)
        return verdict;
    /* The tunnel's headers end with the frame's own, where there are any. */
    if (bpf_skb_load_bytes(skb, outer, my->addressed, ETH_ALEN) || (outer && !unwrap6(skb, outer)) || !pull(skb, ETH_HLEN + sizeof(*ip)))
        return DROPPED(WEFT_DROP_DECAP_FAILED);
    ethernet = packet_start(skb);
    ip = (void *)(ethernet + 1);
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ethernet->h_proto = bpf_htons(ETH_P_IPV6);
    set_ipv6(source, ip->saddr.in6_u.u6_addr32);
    set_ipv6(target, ip->daddr.in6_u.u6_addr32);
    if (!read_transport6(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return take_ingress(skb, arrival, source, target, with, my, packets, verdict, 6);
}

#endif
