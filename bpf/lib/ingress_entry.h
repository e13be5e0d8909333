/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * On the way in: a packet of a client outside that is for a published port becomes its task's, and is sent there.
 */
#ifndef WEFT_LIB_INGRESS_ENTRY_H
#define WEFT_LIB_INGRESS_ENTRY_H

#include "encap.h"
#include "errors.h"
#include "ingress_flow.h"
#include "neighbour.h"
#include "published.h"
#include "service.h"

/* The published port that a packet is for; NULL if it is for none, or for none of this host's addresses. */
static __always_inline const struct weft_published *published_port(
    struct weft_published_key *key, const struct transport *transport, const __u32 *address, const int family)
{
    struct weft_host_address_key own = { .family = family };
    const struct weft_published *port = published_at(
        key, address, ((const struct ports *)&transport->ports)->target, transport->protocol, family);

    if (!port)
        return NULL;
    set_address(own.address, address, family);
    return bpf_map_lookup_elem(&weft_host_address, &own) ? port : NULL;
}

static __always_inline const struct weft_forward *way_to(__u32 vni, const __be32 *address, const int family)
{
    return family == 6 ? forward6_entry(vni, address) : forward_entry(vni, address[0]);
}

/* Whether the task that was chosen is to answer the client by its own node. Not a client that is a node: it may be that one. Nor by an
 * encrypted network, whose frames have no room for what tells the task's node. */
static __always_inline bool answers_directly(const struct passage *passage, const struct weft_published *port, const int family)
{
    struct weft_vtep_key key = { .vni = passage->vni, .vtep_ipv4 = passage->client[0] };
    const struct weft_forward *to;

    if (!(port->flags & WEFT_PUBLISHED_DIRECT) || (family == 4 && bpf_map_lookup_elem(&weft_vtep, &key)))
        return false;
    to = way_to(passage->vni, passage->backend, family);
    return to && !to->ifindex && to->tunnel == WEFT_TUNNEL_VXLAN;
}

enum entry {
    ENTRY_NONE,     /* nothing of Weft's */
    ENTRY_REFUSED,  /* no task serves */
    ENTRY_DENIED,   /* not for this client */
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
    struct weft_published_key key;

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
    port = published_port(&key, transport, asked, family);
    if (!port)
        return ENTRY_NONE;
    /* An open connection stays what it is: that it may be there was asked once. */
    if ((transport->protocol != IPPROTO_TCP || opens(transport)) && !may_ask(&key, port, passage->client, family))
        return ENTRY_DENIED;
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
    if (!via && answers_directly(passage, port, family)) {
        my->flow.flags = WEFT_INGRESS_DIRECT;
        my->flow.generation = generation;
        set_address(my->flow.address, passage->backend, family);
        bpf_map_update_elem(&weft_ingress_flow, &my->in, &my->flow, BPF_ANY);
        return ENTRY_FOUND;
    }
    my->flow.ifindex = skb->ifindex;
    set_ingress_key(&my->out, seen, passage->backend, transport->ports, 0, transport->protocol, WEFT_INGRESS_OUT, family);
    ((struct ports *)&my->out.ports)->target = port->target;
    if (via && transport->protocol != IPPROTO_SCTP)
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

/* Both ends of a connection by a narrow tunnel are to send no larger segments than that carries. The option is the first in what all stacks
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

    if (!mtu || transport->protocol != IPPROTO_TCP || !transport->is_first || !(transport->tcp_flags & TCP_SYN))
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

/* What a router or the client says of a packet of the task's. `via`: as in the flow's key. */
static __always_inline int enter_error(
    struct __sk_buff *skb, struct scratch *with, struct ingress_scratch *my, __u32 via, __u32 packets, const int family)
{
    struct passage *passage = &with->passage;
    struct quoted *quoted = &with->quoted;
    const struct weft_forward *to;
    struct weft_ingress_flow *known;

    if (!read_quoted(skb, &with->transport, quoted, family) || !same_address(quoted->source, passage->service, family))
        return WEFT_TCX_NEXT;
    set_ingress_key(
        &my->in, quoted->target, quoted->source, swapped(quoted->ports), via, quoted->protocol, WEFT_INGRESS_IN, family);
    known = bpf_map_lookup_elem(&weft_ingress_flow, &my->in);
    if (!known)
        return WEFT_TCX_NEXT;
    my->flow = *known;
    set_address(passage->backend, known->address, family);
    to = way_to(passage->vni, passage->backend, family);
    if (!to || !(to->flags & WEFT_FORWARD_BACKEND))
        return DROPPED(WEFT_DROP_NO_BACKEND);
    if (my->flow.flags & WEFT_INGRESS_DIRECT && !to->ifindex)
        return send_to_task(skb, to, my, passage->vni, packets, family);
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
        return enter_error(skb, with, my, 0, packets, family);
    if (!has_ports(transport->protocol))
        return WEFT_TCX_NEXT;
    switch (find_entry(skb, with, my, passage->client, 0, family)) {
    case ENTRY_NONE: return WEFT_TCX_NEXT;
    case ENTRY_REFUSED: return refuse_stranger(skb, with, my, 0, family);
    case ENTRY_DENIED: return DROPPED(WEFT_DROP_NOT_ALLOWED);
    case ENTRY_FOUND: break;
    }
    to = way_to(passage->vni, passage->backend, family);
    if (!to || !(to->flags & WEFT_FORWARD_BACKEND))
        return refuse_stranger(skb, with, my, 0, family);
    if (!to->ifindex) {
        if (exceeds_path(skb, to->mtu, transport->offset, transport->protocol))
            return refuse_stranger(skb, with, my, to->mtu, family);
        if (!(my->flow.flags & WEFT_INGRESS_DIRECT))
            narrow_segments(skb, transport, to->mtu, family);
    }
    if (my->flow.flags & WEFT_INGRESS_DIRECT) {
        /* As it was asked: the task's node is to know. The frame says whose it is. */
        remember_ingress_fragments(my, &my->in, transport, WEFT_INGRESS_FRAGMENTS_IN);
        return to->ifindex ? refuse_stranger(skb, with, my, 0, family) : send_to_task(skb, to, my, passage->vni, packets, family);
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
    /* An address of the host's that nothing comes to from outside. */
    if (is_loopback(ip->daddr))
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
    if (is_link_local(ip->saddr.in6_u.u6_addr32) || is_multicast6(ip->daddr.in6_u.u6_addr32) ||
        is_loopback6(ip->daddr.in6_u.u6_addr32))
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

#endif
