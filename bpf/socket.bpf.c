/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Services where sockets connect: programs at the root of the control groups, for TCP.
 *
 *   process | connect(service) ---> weft_connect4/6 ---> the socket is connected to a backend
 *           | getpeername()    ---> weft_getpeername4/6: the service
 *
 * No packet of such a connection has anything left to be translated. All processes of the machine pass here: whom it concerns, the
 * cookie of the socket's network namespace says. What is not led to a backend here - UDP, which must follow its backend at once; other
 * protocols; namespaces that nobody has told of; services without a backend - goes as it was asked, and the programs at the interface
 * translate it or refuse it.
 */
#include "lib/choice.h"
#include "lib/maps.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

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

/* The socket's endpoint on a network. */
static __always_inline const struct weft_endpoint *endpoint_of(struct bpf_sock_addr *context, __u32 vni)
{
    struct weft_namespace_key key = { .cookie = bpf_get_netns_cookie(context), .vni = vni };
    const struct weft_namespace *namespace = bpf_map_lookup_elem(&weft_namespace, &key);
    const struct weft_endpoint *endpoint;
    struct weft_endpoint_key endpoint_key = {};

    if (!namespace)
        return NULL;
    endpoint_key.ifindex = namespace->ifindex;
    endpoint = bpf_map_lookup_elem(&weft_endpoint, &endpoint_key);
    return endpoint && endpoint->vni == vni ? endpoint : NULL;
}

/* Whether a backend can be reached: its table and the ways to it come one after the other. */
static __always_inline bool has_way(const struct passage *passage, const int family)
{
    const struct weft_forward *to = family == 6 ? forward6_entry(passage->vni, passage->backend)
                                                : forward_entry(passage->vni, passage->backend[0]);

    return to && to->flags & WEFT_FORWARD_BACKEND;
}

/* Finds the backend that a socket with this address of its own - 0: any - is to be connected to instead of `passage->service`. Which
 * port it will have is not known yet: a number takes its place in the choice. */
static __always_inline bool find_backend(
    struct bpf_sock_addr *context, struct passage *passage, const __be32 *bound, const int family)
{
    const struct weft_endpoint *endpoint;
    __u32 generation;

    passage->vni = network_of(passage->service, family);
    if (!passage->vni)
        return false;
    endpoint = endpoint_of(context, passage->vni);
    if (!endpoint)
        return false;
    set_address(passage->client, family == 6 ? endpoint->ipv6 : &endpoint->ipv4, family);
    if (!(family == 6 ? is_unspecified(bound) : !bound[0]) && !same_address(bound, passage->client, family))
        return false;
    return choose_backend(passage, bpf_get_prandom_u32(), IPPROTO_TCP, &generation, family) && has_way(passage, family);
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

/* Whether the socket is to be connected to `passage->backend`. */
static __always_inline bool is_led(
    struct bpf_sock_addr *context, struct bpf_sock *socket, struct passage *passage, const __be32 *bound, const int family)
{
    if (find_backend(context, passage, bound, family) && keep_asked(context, socket, passage->service, family))
        return true;
    /* It may have been connected before. */
    bpf_sk_storage_delete(&weft_asked, socket);
    return false;
}

SEC("cgroup/connect4")
int weft_connect4(struct bpf_sock_addr *context)
{
    struct passage passage = {};
    struct bpf_sock *socket = context->sk;
    __be32 bound;

    if (context->protocol != IPPROTO_TCP || !socket)
        return PROCEED;
    bound = socket->src_ip4;
    passage.service[0] = context->user_ip4;
    if (is_led(context, socket, &passage, &bound, 4))
        context->user_ip4 = passage.backend[0];
    return PROCEED;
}

/* IPv4 in an address of IPv6 is IPv4. */
static __always_inline bool is_mapped(const __be32 *address)
{
    return !address[0] && !address[1] && address[2] == bpf_htonl(0xffff);
}

SEC("cgroup/connect6")
int weft_connect6(struct bpf_sock_addr *context)
{
    struct passage passage = {};
    struct bpf_sock *socket = context->sk;
    __be32 bound[4];

    if (context->protocol != IPPROTO_TCP || !socket)
        return PROCEED;
    passage.service[0] = context->user_ip6[0];
    passage.service[1] = context->user_ip6[1];
    passage.service[2] = context->user_ip6[2];
    passage.service[3] = context->user_ip6[3];
    if (is_mapped(passage.service)) {
        passage.service[0] = passage.service[3];
        bound[0] = socket->src_ip4;
        if (is_led(context, socket, &passage, bound, 4))
            context->user_ip6[3] = passage.backend[0];
        return PROCEED;
    }
    bound[0] = socket->src_ip6[0];
    bound[1] = socket->src_ip6[1];
    bound[2] = socket->src_ip6[2];
    bound[3] = socket->src_ip6[3];
    if (is_led(context, socket, &passage, bound, 6)) {
        context->user_ip6[0] = passage.backend[0];
        context->user_ip6[1] = passage.backend[1];
        context->user_ip6[2] = passage.backend[2];
        context->user_ip6[3] = passage.backend[3];
    }
    return PROCEED;
}

static __always_inline const struct weft_asked *asked_of(struct bpf_sock_addr *context)
{
    struct bpf_sock *socket = context->sk;

    return socket ? bpf_sk_storage_get(&weft_asked, socket, NULL, 0) : NULL;
}

SEC("cgroup/getpeername4")
int weft_getpeername4(struct bpf_sock_addr *context)
{
    const struct weft_asked *asked = asked_of(context);

    if (asked && asked->family == 4) {
        context->user_ip4 = asked->address[0];
        context->user_port = asked->port;
    }
    return PROCEED;
}

SEC("cgroup/getpeername6")
int weft_getpeername6(struct bpf_sock_addr *context)
{
    const struct weft_asked *asked = asked_of(context);

    if (!asked)
        return PROCEED;
    if (asked->family == 6) {
        context->user_ip6[0] = asked->address[0];
        context->user_ip6[1] = asked->address[1];
        context->user_ip6[2] = asked->address[2];
        context->user_ip6[3] = asked->address[3];
    } else {
        context->user_ip6[3] = asked->address[0];
    }
    context->user_port = asked->port;
    return PROCEED;
}
