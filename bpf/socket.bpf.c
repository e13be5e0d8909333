/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Services where sockets connect: programs at the root of the control groups.
 *
 *   process of a sandbox | connect(service)  ---> weft_connect4/6: the socket is connected to a backend
 *   of the host          | connect(own port) ---> the same, of a port that is published
 *                        | sendto(own port)  ---> weft_sendmsg4/6, weft_recvmsg4/6
 *   of either            | getpeername()     ---> weft_getpeername4/6: what was asked for
 *
 * No packet of such a connection has anything left to be translated. All processes of the machine pass here: whom it concerns, the
 * cookie of the socket's network namespace says. What is not led to a backend here - a sandbox's UDP, which must follow its backend at
 * once; other protocols; namespaces that nobody has told of; services without a backend - goes as it was asked, and the programs at the
 * interface translate it or refuse it.
 */
#include "lib/host_socket.h"
#include "lib/socket.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Whether the socket is to be connected to `passage->backend` and `port`. */
static __always_inline bool is_led(
    struct bpf_sock_addr *context, struct passage *passage, __u32 *port, const __be32 *bound, const int family)
{
    struct bpf_sock *socket = context->sk;
    __be32 asked[4];

    if (!socket)
        return false;
    set_asked(asked, passage->service, family);
    if (((context->protocol == IPPROTO_TCP && find_backend(context, passage, bound, family)) ||
         find_published(context, passage, port, bound, true, family)) &&
        keep_asked(context, socket, asked, family)) {
        if (context->protocol == IPPROTO_UDP)
            keep_answer(context, passage->backend, *port, asked, family);
        return true;
    }
    /* It may have been connected before. */
    bpf_sk_storage_delete(&weft_asked, socket);
    return false;
}

/* Whether a datagram is to go to `passage->backend` and `port`. */
static __always_inline bool is_sent(
    struct bpf_sock_addr *context, struct passage *passage, __u32 *port, const __be32 *bound, const int family)
{
    __be32 asked[4];

    set_asked(asked, passage->service, family);
    if (!find_published(context, passage, port, bound, false, family))
        return false;
    keep_answer(context, passage->backend, *port, asked, family);
    return true;
}

typedef bool (*judge)(struct bpf_sock_addr *, struct passage *, __u32 *, const __be32 *, const int);

static __always_inline int replace_target4(struct bpf_sock_addr *context, const judge is_replaced)
{
    struct passage passage = { .service = { context->user_ip4 } };
    struct bpf_sock *socket = context->sk;
    __u32 port = context->user_port;
    __be32 bound;

    if (!socket || (context->protocol != IPPROTO_TCP && context->protocol != IPPROTO_UDP))
        return PROCEED;
    bound = socket->src_ip4;
    if (is_replaced(context, &passage, &port, &bound, 4)) {
        context->user_ip4 = passage.backend[0];
        context->user_port = port;
    }
    return PROCEED;
}

static __always_inline int replace_target6(struct bpf_sock_addr *context, const judge is_replaced)
{
    struct passage passage = {
        .service = { context->user_ip6[0], context->user_ip6[1], context->user_ip6[2], context->user_ip6[3] }
    };
    struct bpf_sock *socket = context->sk;
    __u32 port = context->user_port;
    __be32 bound[4];

    if (!socket || (context->protocol != IPPROTO_TCP && context->protocol != IPPROTO_UDP))
        return PROCEED;
    if (is_mapped(passage.service)) {
        passage.service[0] = passage.service[3];
        bound[0] = socket->src_ip4;
        if (is_replaced(context, &passage, &port, bound, 4)) {
            context->user_ip6[3] = passage.backend[0];
            context->user_port = port;
        }
        return PROCEED;
    }
    bound[0] = socket->src_ip6[0];
    bound[1] = socket->src_ip6[1];
    bound[2] = socket->src_ip6[2];
    bound[3] = socket->src_ip6[3];
    if (is_replaced(context, &passage, &port, bound, 6)) {
        context->user_ip6[0] = passage.backend[0];
        context->user_ip6[1] = passage.backend[1];
        context->user_ip6[2] = passage.backend[2];
        context->user_ip6[3] = passage.backend[3];
        context->user_port = port;
    }
    return PROCEED;
}

SEC("cgroup/connect4")
int weft_connect4(struct bpf_sock_addr *context) { return replace_target4(context, is_led); }

SEC("cgroup/connect6")
int weft_connect6(struct bpf_sock_addr *context) { return replace_target6(context, is_led); }

SEC("cgroup/sendmsg4")
int weft_sendmsg4(struct bpf_sock_addr *context) { return replace_target4(context, is_sent); }

SEC("cgroup/sendmsg6")
int weft_sendmsg6(struct bpf_sock_addr *context) { return replace_target6(context, is_sent); }

/* Puts what was asked for in the place of an address of IPv4. */
static __always_inline int tell4(struct bpf_sock_addr *context, const struct weft_asked *asked)
{
    if (asked && asked->family == 4) {
        context->user_ip4 = asked->address[0];
        context->user_port = asked->port;
    }
    return PROCEED;
}

static __always_inline int tell6(struct bpf_sock_addr *context, const struct weft_asked *asked)
{
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

static __always_inline const struct weft_asked *asked_of(struct bpf_sock_addr *context)
{
    struct bpf_sock *socket = context->sk;

    return socket ? bpf_sk_storage_get(&weft_asked, socket, NULL, 0) : NULL;
}

SEC("cgroup/getpeername4")
int weft_getpeername4(struct bpf_sock_addr *context) { return tell4(context, asked_of(context)); }

SEC("cgroup/getpeername6")
int weft_getpeername6(struct bpf_sock_addr *context) { return tell6(context, asked_of(context)); }

SEC("cgroup/recvmsg4")
int weft_recvmsg4(struct bpf_sock_addr *context)
{
    __be32 source = context->user_ip4;

    return tell4(context, answer_of(context, &source, 4));
}

SEC("cgroup/recvmsg6")
int weft_recvmsg6(struct bpf_sock_addr *context)
{
    __be32 source[4] = { context->user_ip6[0], context->user_ip6[1], context->user_ip6[2], context->user_ip6[3] };

    if (is_mapped(source))
        return tell6(context, answer_of(context, &source[3], 4));
    return tell6(context, answer_of(context, source, 6));
}
