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

#include "encap.h"
#include "errors.h"
#include "flow.h"
#include "neighbour.h"
#include "service.h"

/* What does not fit the stack, of the packet under way. */
struct ingress_scratch {
    struct weft_ingress_flow_key in;
    struct weft_ingress_flow_key out;
    struct weft_ingress_flow flow;
    struct weft_endpoint stranger; /* a client outside, where an endpoint is asked for */
    struct weft_forward way;       /* to the node where a connection entered */
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct ingress_scratch);
} weft_ingress_scratch SEC(".maps");

static __always_inline struct ingress_scratch *ingress_scratch(void)
{
    struct ingress_scratch *found;
    __u32 zero = 0;

    found = bpf_map_lookup_elem(&weft_ingress_scratch, &zero);
    if (found)
        __builtin_memset(found, 0, sizeof(*found));
    return found;
}

static __always_inline const struct weft_ingress *ingress_here(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&weft_ingress, &zero);
}

static __always_inline void set_ingress_key(
    struct weft_ingress_flow_key *key, const __u32 *client, const __u32 *address, __u32 ports, __u32 via, __u8 protocol,
    __u8 direction, const int family)
{
    set_address(key->client, client, family);
    set_address(key->address, address, family);
    key->ports = ports;
    key->via = via;
    key->protocol = protocol;
    key->family = family;
    key->direction = direction;
}

/* Puts other ports in the place of those of the packet, and keeps the checksum right. SCTP's covers the ports alone, by a sum that cannot be
 * brought up to date: its ports stay. */
static __always_inline bool replace_ports(struct __sk_buff *skb, const struct transport *transport, __u32 ports)
{
    __u32 checksum = checksum_offset(transport->protocol);
    __u64 flags = sizeof(ports);

    if (!transport->is_first || transport->ports == ports)
        return true;
    if (!checksum)
        return false;
    if (transport->protocol == IPPROTO_UDP)
        flags |= BPF_F_MARK_MANGLED_0;
    return bpf_l4_csum_replace(skb, transport->offset + checksum, transport->ports, ports, flags) == 0 &&
           bpf_skb_store_bytes(skb, transport->offset, &ports, sizeof(ports), 0) == 0;
}

/* ---- Flows ---- */

/* Ports of the client's that a task sees in the place of its own: below those that a host gives its own connections. */
#define OTHER_PORTS 16384
#define PORT_ATTEMPTS 8

static __always_inline void draw_port(struct weft_ingress_flow_key *out)
{
    ((struct ports *)&out->ports)->source = bpf_htons(OTHER_PORTS | (bpf_get_prandom_u32() & (OTHER_PORTS - 1)));
}

/* Whether what the task sees is another connection's already. */
static __always_inline bool is_taken(const struct ingress_scratch *my, const int family)
{
    const struct weft_ingress_flow *other = bpf_map_lookup_elem(&weft_ingress_flow, &my->out);

    return other && !(other->peer == my->flow.peer && other->ports == my->flow.ports &&
                      same_address(other->client, my->flow.client, family) &&
                      same_address(other->address, my->flow.address, family));
}

/* Makes the connection's entries: `in` and `out` are their keys, `flow` is what its answers are to become. Afterwards `flow` is what
 * its packets become. */
static __always_inline void remember_ingress(
    struct ingress_scratch *my, const struct passage *passage, __u32 generation, const int family)
{
    if (my->in.protocol != IPPROTO_SCTP) {
        for (int attempt = 0; attempt < PORT_ATTEMPTS && is_taken(my, family); attempt++)
            draw_port(&my->out);
    }
    bpf_map_update_elem(&weft_ingress_flow, &my->out, &my->flow, BPF_ANY);
    my->flow.ports = my->out.ports;
    my->flow.generation = generation;
    set_address(my->flow.client, my->out.client, family);
    set_address(my->flow.address, passage->backend, family);
    bpf_map_update_elem(&weft_ingress_flow, &my->in, &my->flow, BPF_ANY);
}

/* The later fragments of this packet go the same way: by the key that is there, with the packet's identification in the ports' place. */
static __always_inline void remember_ingress_fragments(
    struct ingress_scratch *my, struct weft_ingress_flow_key *key, const struct transport *transport, __u8 direction)
{
    if (!transport->is_fragment || !transport->is_first)
        return;
    key->ports = transport->identification;
    key->direction = direction;
    bpf_map_update_elem(&weft_ingress_flow, key, &my->flow, BPF_ANY);
}

/* ---- On the way in ---- */

/* The published port that a packet is for; NULL if it is for none, or for none of this host's addresses. */
static __always_inline const struct weft_published *published_port(
    const struct transport *transport, const __u32 *address, const int family)
{
    struct weft_published_key key = { .port = ((const struct ports *)&transport->ports)->target, .protocol = transport->protocol };
    struct weft_host_address_key own = { .family = family };
    const struct weft_published *port = bpf_map_lookup_elem(&weft_published, &key);

    if (!port)
        return NULL;
    set_address(own.address, address, family);
    return bpf_map_lookup_elem(&weft_host_address, &own) ? port : NULL;
}

enum entry {
    ENTRY_NONE,     /* nothing of Weft's */
    ENTRY_REFUSED,  /* no task serves */
    ENTRY_FOUND,    /* `flow` says what the packet becomes */
};

/* Where a packet goes that asks for `passage->service`, an address of this host. `seen`: the client as the task is to see it. */
static __always_inline enum entry find_entry(
    struct __sk_buff *skb, struct scratch *with, struct ingress_scratch *my, const __u32 *seen, __u32 via, const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    const struct weft_published *port;
    struct weft_ingress_flow *known;
    __u32 asked[4] = {}, generation = 0;

    set_address(asked, passage->service, family);
    set_ingress_key(
        &my->in, passage->client, asked, transport->is_first ? transport->ports : transport->identification, via,
        transport->protocol, transport->is_first ? WEFT_INGRESS_IN : WEFT_INGRESS_FRAGMENTS_IN, family);
    if (!transport->is_first) {
        known = bpf_map_lookup_elem(&weft_ingress_flow, &my->in);
        if (!known)
            return ENTRY_NONE;
        my->flow = *known;
        set_address(passage->backend, known->address, family);
        return ENTRY_FOUND;
    }
    port = published_port(transport, asked, family);
    if (!port)
        return ENTRY_NONE;
    if (family == 6)
        set_ipv6(passage->service, port->ipv6);
    else
        passage->service[0] = port->ipv4;
    known = bpf_map_lookup_elem(&weft_ingress_flow, &my->in);
    if (known) {
        const struct weft_service *service;

        my->flow = *known;
        set_address(passage->backend, known->address, family);
        if (transport->protocol == IPPROTO_TCP ? !opens(transport) : true) {
            if (transport->protocol == IPPROTO_TCP)
                return ENTRY_FOUND;
            service = service_at(passage, family);
            if (service && service->generation == known->generation)
                return ENTRY_FOUND;
        }
    } else if (transport->protocol == IPPROTO_TCP && !opens(transport)) {
        /* The answer to something that the host sent, or of a connection that nobody knows: the host's stack tells them apart. */
        return ENTRY_NONE;
    }
    if ((family == 6 && is_unspecified(port->ipv6)) ||
        !choose_backend(passage, transport->ports, transport->protocol, &generation, family))
        return ENTRY_REFUSED;
    __builtin_memset(&my->flow, 0, sizeof(my->flow));
    set_address(my->flow.client, passage->client, family);
    set_address(my->flow.address, asked, family);
    my->flow.ports = transport->ports;
    my->flow.ifindex = skb->ifindex;
    set_ingress_key(&my->out, seen, passage->backend, transport->ports, 0, transport->protocol, WEFT_INGRESS_OUT, family);
    ((struct ports *)&my->out.ports)->target = port->target;
    if (via)
        draw_port(&my->out);
    remember_ingress(my, passage, generation, family);
    return ENTRY_FOUND;
}

/* Of a quoted packet, whose IP header is there. */
static __always_inline bool replace_quoted_ports(
    struct __sk_buff *skb, const struct transport *transport, const struct quoted *quoted, __u32 ports, const int family)
{
    __u32 at = quoted->offset + sizeof(struct ipv6hdr), from = quoted->ports;
    __u8 first;

    if (!has_ports(quoted->protocol) || from == ports)
        return true;
    if (family == 4) {
        if (bpf_skb_load_bytes(skb, quoted->offset, &first, sizeof(first)))
            return false;
        at = quoted->offset + (first & 0xf) * 4;
    }
    return bpf_l4_csum_replace(skb, transport->offset + ICMP_CHECKSUM_OFFSET, from, ports, sizeof(ports)) == 0 &&
           bpf_skb_store_bytes(skb, at, &ports, sizeof(ports), 0) == 0;
}

static __always_inline bool is_control(const struct transport *transport, const int family)
{
    return transport->protocol == (family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* The answer that a refusal has made goes back by the interface that the packet came by, to whom it came from. */
static __always_inline int turn_back(struct __sk_buff *skb, const __u8 *own_mac, int verdict)
{
    struct ethhdr *ethernet = packet_start(skb);

    if (!(verdict & ANSWERED_BIT))
        return verdict;
    if ((void *)(ethernet + 1) > packet_end(skb))
        return DROPPED(verdict >> ANSWERED_REASON_SHIFT);
    set_mac(ethernet->h_source, own_mac);
    return ANSWERED(verdict >> ANSWERED_REASON_SHIFT) | (bpf_redirect(skb->ifindex, 0) & ANSWERED_ACTION);
}

/* Refuses a client's packet that has not changed yet: with `mtu` because it is too big for the tunnel, else because no task serves. */
static __always_inline int refuse_stranger(
    struct __sk_buff *skb, struct scratch *with, struct ingress_scratch *my, __u32 mtu, const int family)
{
    struct ethhdr *ethernet = packet_start(skb);
    __u8 own_mac[ETH_ALEN + 2];
    int verdict;

    if ((void *)(ethernet + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    set_mac(own_mac, ethernet->h_dest);
    set_mac(my->stranger.mac, ethernet->h_source);
    set_address(family == 6 ? my->stranger.ipv6 : &my->stranger.ipv4, with->passage.client, family);
    if (mtu)
        verdict = family == 6 ? answer_too_big6(skb, &my->stranger, mtu) : answer_too_big(skb, &my->stranger, mtu);
    else
        verdict = refuse(skb, &my->stranger, &with->transport, family);
    return turn_back(skb, own_mac, verdict);
}

#define TCP_OPTIONS_OFFSET 20
#define TCP_MSS_OPTION 0x0204 /* kind 2, of 4 bytes */

/* Whoever opens a connection by a narrow tunnel is to send no larger segments than that carries. The option is the first in what all stacks
 * in use send; with others, messages of what is too big do the same. */
static __always_inline void narrow_segments(
    struct __sk_buff *skb, const struct transport *transport, __u32 mtu, const int family)
{
    __u32 most = mtu - (family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) - TCP_OPTIONS_OFFSET;
    struct {
        __be16 head;
        __be16 size;
    } option;
    __be16 narrow = bpf_htons(most);

    if (!mtu || transport->protocol != IPPROTO_TCP || !transport->is_first || !opens(transport))
        return;
    if (bpf_skb_load_bytes(skb, transport->offset + TCP_OPTIONS_OFFSET, &option, sizeof(option)))
        return;
    if (option.head != bpf_htons(TCP_MSS_OPTION) || bpf_ntohs(option.size) <= most)
        return;
    bpf_l4_csum_replace(skb, transport->offset + TCP_CHECKSUM_OFFSET, option.size, narrow, sizeof(narrow));
    bpf_skb_store_bytes(skb, transport->offset + TCP_OPTIONS_OFFSET + 2, &narrow, sizeof(narrow), 0);
}

/* Sends a packet on to its task, as which it is addressed. */
static __always_inline int send_to_task(
    struct __sk_buff *skb, const struct weft_forward *to, struct ingress_scratch *my, __u32 vni, __u32 packets, const int family)
{
    const __u32 header = family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
    struct ethhdr *ethernet = packet_start(skb);
    void *ip = ethernet + 1;
    __u8 tos;

    if (ip + header > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    set_mac(ethernet->h_dest, to->mac);
    set_gateway_mac(ethernet->h_source);
    if (to->ifindex) {
        count_received(to->ifindex, packets, skb->len);
        return redirect_to_sandbox(skb, to->ifindex);
    }
    tos = family == 6 ? traffic_class(ip) : ((struct iphdr *)ip)->tos;
    if (family == 6)
        ethernet->h_proto = bpf_htons(ETH_P_IP);
    my->stranger.vni = vni;
    set_gateway_mac(my->stranger.mac);
    return send_to_peer(skb, &my->stranger, to, family == 6 ? ETH_P_IPV6 : ETH_P_IP, tos);
}

static __always_inline const struct weft_forward *way_to(__u32 vni, const __be32 *address, const int family)
{
    return family == 6 ? forward6_entry(vni, address) : forward_entry(vni, address[0]);
}

/* What a router or the client says of a packet of the task's. */
static __always_inline int enter_error(
    struct __sk_buff *skb, struct scratch *with, struct ingress_scratch *my, __u32 packets, const int family)
{
    struct passage *passage = &with->passage;
    struct quoted *quoted = &with->quoted;
    const struct weft_forward *to;
    struct weft_ingress_flow *known;

    if (!read_quoted(skb, &with->transport, quoted, family) || !same_address(quoted->source, passage->service, family))
        return WEFT_TCX_NEXT;
    set_ingress_key(
        &my->in, quoted->target, quoted->source, swapped(quoted->ports), 0, quoted->protocol, WEFT_INGRESS_IN, family);
    known = bpf_map_lookup_elem(&weft_ingress_flow, &my->in);
    if (!known)
        return WEFT_TCX_NEXT;
    my->flow = *known;
    set_address(passage->backend, known->address, family);
    to = way_to(passage->vni, passage->backend, family);
    if (!to || !(to->flags & WEFT_FORWARD_BACKEND))
        return DROPPED(WEFT_DROP_NO_BACKEND);
    if (!replace_quoted(
            skb, &with->transport, quoted, quoted->offset + SOURCE_OFFSET(family), passage->service, passage->backend,
            family) ||
        !replace_quoted_ports(skb, &with->transport, quoted, swapped(my->flow.ports), family) ||
        !replace_address(
            skb, ETH_HLEN + TARGET_OFFSET(family), passage->service, passage->backend, &with->transport, family))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return send_to_task(skb, to, my, passage->vni, packets, family);
}

/* A packet whose addresses are in `passage`. */
static __always_inline int enter(
    struct __sk_buff *skb, struct scratch *with, struct ingress_scratch *my, __u32 packets, const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    const struct weft_forward *to;

    if (is_control(transport, family))
        return enter_error(skb, with, my, packets, family);
    if (!has_ports(transport->protocol))
        return WEFT_TCX_NEXT;
    switch (find_entry(skb, with, my, passage->client, 0, family)) {
    case ENTRY_NONE: return WEFT_TCX_NEXT;
    case ENTRY_REFUSED: return refuse_stranger(skb, with, my, 0, family);
    case ENTRY_FOUND: break;
    }
    to = way_to(passage->vni, passage->backend, family);
    if (!to || !(to->flags & WEFT_FORWARD_BACKEND))
        return refuse_stranger(skb, with, my, 0, family);
    if (!to->ifindex) {
        if (exceeds_path(skb, to->mtu, transport->offset, transport->protocol))
            return refuse_stranger(skb, with, my, to->mtu, family);
        narrow_segments(skb, transport, to->mtu, family);
    }
    if (!replace_address(skb, ETH_HLEN + TARGET_OFFSET(family), my->in.address, passage->backend, transport, family) ||
        !replace_ports(skb, transport, my->flow.ports))
        return DROPPED(WEFT_DROP_TRUNCATED);
    remember_ingress_fragments(my, &my->in, transport, WEFT_INGRESS_FRAGMENTS_IN);
    return send_to_task(skb, to, my, passage->vni, packets, family);
}

static __noinline int enter4(struct __sk_buff *skb, __u32 vni, __u32 packets)
{
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    struct iphdr *ip;

    if (!with || !my || !pull(skb, ETH_HLEN + sizeof(*ip)))
        return WEFT_TCX_NEXT;
    ip = packet_start(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > packet_end(skb) || ip->version != 4 || ip->ihl < 5)
        return WEFT_TCX_NEXT;
    with->passage.vni = vni;
    with->passage.client[0] = ip->saddr;
    with->passage.service[0] = ip->daddr;
    return read_transport(skb, ip, &with->transport) ? enter(skb, with, my, packets, 4) : WEFT_TCX_NEXT;
}

static __noinline int enter6(struct __sk_buff *skb, __u32 vni, __u32 packets)
{
    struct scratch *with = scratch();
    struct ingress_scratch *my = ingress_scratch();
    struct ipv6hdr *ip;

    if (!with || !my || !pull(skb, ETH_HLEN + sizeof(*ip)))
        return WEFT_TCX_NEXT;
    ip = packet_start(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > packet_end(skb) || ip->version != 6)
        return WEFT_TCX_NEXT;
    /* A link's own addresses lead nowhere beyond it. */
    if (is_link_local(ip->saddr.in6_u.u6_addr32) || is_multicast6(ip->daddr.in6_u.u6_addr32))
        return WEFT_TCX_NEXT;
    with->passage.vni = vni;
    set_ipv6(with->passage.client, ip->saddr.in6_u.u6_addr32);
    set_ipv6(with->passage.service, ip->daddr.in6_u.u6_addr32);
    return read_transport6(skb, ip, &with->transport) ? enter(skb, with, my, packets, 6) : WEFT_TCX_NEXT;
}

/* A packet at an interface of the host that is nothing of the tunnels': the stack's, unless it is for a published port. */
static __always_inline int receive_from_outside(struct __sk_buff *skb, __u32 packets)
{
    const struct weft_ingress *ingress = ingress_here();

    if (!ingress || !ingress->vni || skb->vlan_present || skb->pkt_type != PACKET_HOST)
        return WEFT_TCX_NEXT;
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return enter4(skb, ingress->vni, packets);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return enter6(skb, ingress->vni, packets);
    return WEFT_TCX_NEXT;
}

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

/* Sends a task's packet on to the node where its connection entered. */
static __always_inline int send_to_entry(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, struct ingress_scratch *my, const int family)
{
    const __u32 header = family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
    struct weft_vtep_key key = { .vni = endpoint->vni, .vtep_ipv4 = my->flow.peer };
    const struct weft_vtep *member = bpf_map_lookup_elem(&weft_vtep, &key);
    struct ethhdr *ethernet = packet_start(skb);
    void *ip = ethernet + 1;
    __u8 tos;

    if (!member)
        return DROPPED(WEFT_DROP_UNKNOWN_VTEP);
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

    if (!(is_error ? find_error(skb, with, my, family) : find_answer(with, my, family)))
        return 0;
    if (my->flow.peer && !endpoint)
        return DROPPED(WEFT_DROP_NO_FLOW);
    if (is_error ? !replace_quoted_ports(skb, transport, &with->quoted, my->flow.ports, family)
                 : !replace_ports(skb, transport, swapped(my->flow.ports)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!is_error)
        remember_ingress_fragments(my, &my->out, transport, WEFT_INGRESS_FRAGMENTS_OUT);
    if (my->flow.peer)
        return send_to_entry(skb, endpoint, my, family);
    if (is_error && !replace_quoted(
                        skb, transport, &with->quoted, with->quoted.offset + TARGET_OFFSET(family), passage->backend,
                        my->flow.address, family))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!replace_address(
            skb, ETH_HLEN + SOURCE_OFFSET(family), passage->backend, my->flow.address, transport, family))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return bpf_redirect_neigh(my->flow.ifindex, NULL, 0, 0);
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

/* What has come by the ingress network, from a member, and is neither from nor for one of its endpoints: `verdict` is what else would
 * become of it. The frame is bare; `source` and `target` are its addresses. */
static __always_inline int take_ingress(
    struct __sk_buff *skb, const struct arrival *arrival, const __be32 *source, const __be32 *target, struct scratch *with,
    struct ingress_scratch *my, __u32 packets, int verdict, const int family)
{
    const struct weft_forward *from = way_to(arrival->vni, source, family), *to = way_to(arrival->vni, target, family);
    struct passage *passage = &with->passage;

    passage->vni = arrival->vni;
    if (!from && to && to->ifindex && to->flags & WEFT_FORWARD_BACKEND) {
        set_address(passage->client, source, family);
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
    if ((outer && !unwrap(skb, outer)) || !pull(skb, ETH_HLEN + sizeof(*ip)))
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
    if ((outer && !unwrap6(skb, outer)) || !pull(skb, ETH_HLEN + sizeof(*ip)))
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
