/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Sockets that are connected to something else than they were asked to be.
 */
#ifndef WEFT_LIB_SOCKET_H
#define WEFT_LIB_SOCKET_H

#include "choice.h"
#include "maps.h"

/* What all programs return: whether the call goes on. */
#define PROCEED 1

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_LOCAL_ENDPOINTS);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_namespace_key);
    __type(value, struct weft_namespace);
} weft_namespace SEC(".maps");

/* Goes with its socket. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct weft_asked);
} weft_asked SEC(".maps");

/* The network that an address is of; 0: of none. */
static __always_inline __u32 network_of(const __be32 *address, const int family)
{
    const struct weft_subnet *subnet;

    if (family == 6) {
        struct weft_subnet6_key key = { .prefix_length = 128, .ipv6 = { address[0], address[1], address[2], address[3] } };

        subnet = bpf_map_lookup_elem(&weft_subnet6, &key);
    } else {
        struct weft_subnet_key key = { .prefix_length = 32, .ipv4 = address[0] };

        subnet = bpf_map_lookup_elem(&weft_subnet, &key);
    }
    return subnet ? subnet->vni : 0;
}

/* The host end of the socket's endpoint on a network; 0: it has none. */
static __always_inline __u32 host_end_of(struct bpf_sock_addr *context, __u32 vni)
{
    struct weft_namespace_key key = { .cookie = bpf_get_netns_cookie(context), .vni = vni };
    const struct weft_namespace *namespace = bpf_map_lookup_elem(&weft_namespace, &key);

    return namespace ? namespace->ifindex : 0;
}

/* Whether the interface is the host end of the node's own endpoint on the ingress network. */
static __always_inline bool is_node(__u32 ifindex)
{
    __u32 zero = 0;
    const struct weft_ingress *ingress = bpf_map_lookup_elem(&weft_ingress, &zero);

    return ingress && ingress->ifindex == ifindex;
}

/* The socket's endpoint on a network; NULL for the host's own sockets: a backend of this host they would reach by its own interface, with an
 * address that it cannot answer, and not by the network. */
static __always_inline const struct weft_endpoint *endpoint_of(struct bpf_sock_addr *context, __u32 vni)
{
    struct weft_endpoint_key key = { .ifindex = host_end_of(context, vni) };
    const struct weft_endpoint *endpoint = bpf_map_lookup_elem(&weft_endpoint, &key);

    if (is_node(key.ifindex))
        return NULL;
    return endpoint && endpoint->vni == vni ? endpoint : NULL;
}

/* Whether a backend can be reached: its table and the ways to it come one after the other. */
static __always_inline bool has_way(const struct passage *passage, const int family)
{
    const struct weft_forward *to = family == 6 ? forward6_entry(passage->vni, passage->backend)
                                                : forward_entry(passage->vni, passage->backend[0]);

    return to && to->flags & WEFT_FORWARD_BACKEND;
}

/* IPv4 in an address of IPv6 is IPv4. */
static __always_inline bool is_mapped(const __be32 *address)
{
    return !address[0] && !address[1] && address[2] == bpf_htonl(0xffff);
}

/* Whether a socket that is bound to an address - 0: to none - can be sent from another. */
static __always_inline bool may_be_from(const __be32 *bound, const __be32 *address, const int family)
{
    return (family == 6 ? is_unspecified(bound) : !bound[0]) || same_address(bound, address, family);
}

/* Chooses a backend for a connection of TCP. Which port the socket will have is not known yet: a number takes its place in the choice. */
static __always_inline bool choose_for_socket(struct passage *passage, const int family)
{
    __u32 generation;

    return choose_backend(passage, bpf_get_prandom_u32(), IPPROTO_TCP, &generation, family) && has_way(passage, family);
}

/* Finds the backend that a socket with this address of its own is to be connected to instead of `passage->service`. */
static __always_inline bool find_backend(
    struct bpf_sock_addr *context, struct passage *passage, const __be32 *bound, const int family)
{
    const struct weft_endpoint *endpoint;

    passage->vni = network_of(passage->service, family);
    if (!passage->vni)
        return false;
    endpoint = endpoint_of(context, passage->vni);
    if (!endpoint)
        return false;
    set_address(passage->client, family == 6 ? endpoint->ipv6 : &endpoint->ipv4, family);
    return may_be_from(bound, passage->client, family) && choose_for_socket(passage, family);
}

/* The address that was asked for, as the kernel tells of it: no address is the host's own. */
static __always_inline void set_asked(__be32 *asked, const __be32 *address, const int family)
{
    set_address(asked, address, family);
    if (family == 6 && is_unspecified(asked))
        asked[3] = bpf_htonl(1);
    else if (family == 4 && !asked[0])
        asked[0] = bpf_htonl(0x7f000001);
}

/* Keeps what was asked for, to be told by getpeername. */
static __always_inline bool keep_asked(
    struct bpf_sock_addr *context, struct bpf_sock *socket, const __be32 *address, const int family)
{
    struct weft_asked *asked = bpf_sk_storage_get(&weft_asked, socket, NULL, BPF_SK_STORAGE_GET_F_CREATE);

    if (!asked)
        return false;
    asked->family = family;
    asked->port = context->user_port;
    asked->address[0] = asked->address[1] = asked->address[2] = asked->address[3] = 0;
    set_address(asked->address, address, family);
    return true;
}

#endif
