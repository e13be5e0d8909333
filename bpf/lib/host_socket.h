/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Published ports for the host's own processes, whose packets to an address of the host pass no interface.
 *
 * The socket gets the service's address on the ingress network instead: the way there is the node's own device, from the node's own address,
 * and a backend is chosen at its interface. Datagrams are told of as coming from where they were sent to (`weft_answer`).
 */
#ifndef WEFT_LIB_HOST_SOCKET_H
#define WEFT_LIB_HOST_SOCKET_H

#include "published.h"
#include "socket.h"

/* Made by the programs. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, WEFT_MAX_ANSWERS);
    __type(key, struct weft_answer_key);
    __type(value, struct weft_asked);
} weft_answer SEC(".maps");

/* Whether the address leads to the host itself. */
static __always_inline bool is_own(const __be32 *address, const int family)
{
    struct weft_host_address_key key = { .family = family };

    if (family == 6 ? is_unspecified(address) : !address[0] || is_loopback(address[0]))
        return true;
    if (family == 6 && is_loopback6(address))
        return true;
    set_address(key.address, address, family);
    return bpf_map_lookup_elem(&weft_host_address, &key);
}

/* This node's place on the ingress network; NULL: it publishes nothing. */
static __always_inline const struct weft_ingress *publishing(void)
{
    __u32 zero = 0;
    const struct weft_ingress *ingress = bpf_map_lookup_elem(&weft_ingress, &zero);

    return ingress && ingress->vni ? ingress : NULL;
}

/* Where to the port leads, of this family; false if nowhere. A network without IPv6 is reached by IPv4 in an address of IPv6, which a
 * socket can be connected to (`may_be_mapped`), but not send to. */
static __always_inline bool lead_to_service(
    const struct weft_ingress *ingress, const struct weft_published *published, struct passage *passage, const __be32 *bound,
    bool may_be_mapped, const int family)
{
    if (family == 4 || (!is_unspecified(ingress->ipv6) && !is_unspecified(published->ipv6))) {
        set_address(passage->backend, family == 6 ? published->ipv6 : &published->ipv4, family);
        return may_be_from(bound, family == 6 ? ingress->ipv6 : &ingress->ipv4, family);
    }
    passage->backend[0] = passage->backend[1] = 0;
    passage->backend[2] = bpf_htonl(0xffff);
    passage->backend[3] = published->ipv4;
    return may_be_mapped && is_unspecified(bound);
}

/* What a process of the host asks for by `passage->service` and `port`, if that is published: then `passage->backend`, here a service, and
 * `port` are where it is to go instead. */
static __always_inline bool find_published(
    struct bpf_sock_addr *context, struct passage *passage, __u32 *port, const __be32 *bound, bool may_be_mapped,
    const int family)
{
    const struct weft_published *published;
    const struct weft_ingress *ingress = publishing();
    struct weft_published_key key;

    if (!ingress || host_end_of(context, ingress->vni) != ingress->ifindex)
        return false;
    if (!is_own(passage->service, family))
        return false;
    published = published_at(&key, passage->service, *port, context->protocol, family);
    if (!published || published->vni != ingress->vni ||
        !lead_to_service(ingress, published, passage, bound, may_be_mapped, family))
        return false;
    *port = published->target;
    return true;
}

static __always_inline void set_answer_key(
    struct weft_answer_key *key, struct bpf_sock_addr *context, const __be32 *address, __u32 port, const int family)
{
    __builtin_memset(key, 0, sizeof(*key));
    key->socket = bpf_get_socket_cookie(context);
    key->port = port;
    key->family = family;
    set_address(key->address, address, family);
}

/* Answers from `address` and `port` are to be told of as coming from where the socket sent to. */
static __always_inline void keep_answer(
    struct bpf_sock_addr *context, const __be32 *address, __u32 port, const __be32 *asked_address, const int family)
{
    struct weft_asked asked = { .port = context->user_port, .family = family }, *known;
    struct weft_answer_key key;

    if (family == 6 && is_mapped(address))
        set_answer_key(&key, context, &address[3], port, 4);
    else
        set_answer_key(&key, context, address, port, family);
    set_address(asked.address, asked_address, family);
    known = bpf_map_lookup_elem(&weft_answer, &key);
    if (known && known->port == asked.port && same_address(known->address, asked.address, family))
        return;
    bpf_map_update_elem(&weft_answer, &key, &asked, BPF_ANY);
}

/* Where a datagram is to be told of as coming from; NULL: from where it came. */
static __always_inline const struct weft_asked *answer_of(
    struct bpf_sock_addr *context, const __be32 *address, const int family)
{
    struct weft_answer_key key;

    if (!publishing())
        return NULL;
    set_answer_key(&key, context, address, context->user_port, family);
    return bpf_map_lookup_elem(&weft_answer, &key);
}

#endif
