/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * A second object for the tests of the loader: programs on control groups that lead connections to one address to another, and count
 * the sockets made. It shares the overlay's map weft_config, by its name, and leads nothing before that has a version.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "weft_datapath_abi.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct test_target {
    __u32 ipv4; /* network order, as both ports */
    __u32 port;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct weft_config);
} weft_config SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct test_target);
    __type(value, struct test_target);
} test_target SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} test_sockets SEC(".maps");

static __always_inline int redirect(struct bpf_sock_addr *address)
{
    struct test_target key = { .ipv4 = address->user_ip4, .port = address->user_port };
    const struct test_target *target;
    const struct weft_config *config;
    __u32 zero = 0;

    config = bpf_map_lookup_elem(&weft_config, &zero);
    if (!config || config->abi_version != WEFT_ABI_VERSION)
        return 1;
    target = bpf_map_lookup_elem(&test_target, &key);
    if (target) {
        address->user_ip4 = target->ipv4;
        address->user_port = target->port;
    }
    return 1;
}

SEC("cgroup/connect4")
int test_connect4(struct bpf_sock_addr *address) { return redirect(address); }

SEC("cgroup/sendmsg4")
int test_sendmsg4(struct bpf_sock_addr *address) { return redirect(address); }

/* IPv6 goes nowhere from there. */
SEC("cgroup/connect6")
int test_connect6(struct bpf_sock_addr *address) { return 0; }

SEC("cgroup/sock_create")
int test_sock_create(struct bpf_sock *socket)
{
    __u32 zero = 0;
    __u64 *count = bpf_map_lookup_elem(&test_sockets, &zero);

    if (count)
        __sync_fetch_and_add(count, 1);
    return 1;
}
