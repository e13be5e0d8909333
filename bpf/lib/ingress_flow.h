/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * What is remembered of connections to published ports: at the node where they enter, which address and port are put in the place of which;
 * at the task's node, where they entered.
 */
#ifndef WEFT_LIB_INGRESS_FLOW_H
#define WEFT_LIB_INGRESS_FLOW_H

#include "flow.h"
#include "maps.h"
#include "transport.h"

/* What does not fit the stack, of the packet under way. */
struct ingress_scratch {
    struct weft_ingress_flow_key in;
    struct weft_ingress_flow_key out;
    struct weft_ingress_flow flow;
    struct weft_endpoint stranger; /* a client outside, where an endpoint is asked for */
    struct weft_forward way;       /* to the node where a connection entered */
    __u8 addressed[8];             /* the frame's target, in its first six bytes */
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

#endif
