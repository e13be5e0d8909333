/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The maps that weftd fills and the programs read. Shapes are in weft_datapath_abi.h; sizes may be changed by the loader.
 */
#ifndef WEFT_LIB_MAPS_H
#define WEFT_LIB_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "weft_datapath_abi.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct weft_config);
} weft_config SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_LOCAL_ENDPOINTS);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_endpoint_key);
    __type(value, struct weft_endpoint);
} weft_endpoint SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_FORWARD_ENTRIES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_forward_key);
    __type(value, struct weft_forward);
} weft_forward SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_FORWARD6_ENTRIES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_forward6_key);
    __type(value, struct weft_forward);
} weft_forward6 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_VTEP_ENTRIES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_vtep_key);
    __type(value, struct weft_vtep);
} weft_vtep SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, WEFT_MAX_SUBNETS);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_subnet_key);
    __type(value, struct weft_subnet);
} weft_subnet SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, WEFT_MAX_SUBNETS);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_subnet6_key);
    __type(value, struct weft_subnet);
} weft_subnet6 SEC(".maps");

/* Entries are made by the loader: one per endpoint and one for interface index 0. A missing entry counts nothing. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, WEFT_MAX_LOCAL_ENDPOINTS + 1);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_counter_key);
    __type(value, struct weft_counter);
} weft_counter SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_SERVICES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_service_key);
    __type(value, struct weft_service);
} weft_service SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_SERVICE_PAGES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_service_page_key);
    __type(value, struct weft_service_page);
} weft_service_page SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_BACKENDS);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_backend_key);
    __type(value, struct weft_backend);
} weft_backend SEC(".maps");

/* Made by the programs. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, WEFT_MAX_FLOWS);
    __type(key, struct weft_flow_key);
    __type(value, struct weft_flow);
} weft_flow SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, WEFT_MAX_FORMER_BACKENDS);
    __type(key, struct weft_former_key);
    __type(value, struct weft_former);
} weft_former SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct weft_ingress);
} weft_ingress SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_PUBLISHED);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_published_key);
    __type(value, struct weft_published);
} weft_published SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, WEFT_MAX_SOURCES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_source_key);
    __type(value, __u32);
} weft_source SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_HOST_ADDRESSES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_host_address_key);
    __type(value, __u32);
} weft_host_address SEC(".maps");

/* Made by the programs. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, WEFT_MAX_INGRESS_FLOWS);
    __type(key, struct weft_ingress_flow_key);
    __type(value, struct weft_ingress_flow);
} weft_ingress_flow SEC(".maps");

/* Raised by weftd. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, WEFT_RESOLVER_TRANSPORT_COUNT);
    __type(key, __u32);
    __type(value, __u32);
} weft_resolver_round SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WEFT_MAX_LOCAL_ENDPOINTS * WEFT_RESOLVER_TRANSPORT_COUNT);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct weft_resolver_share_key);
    __type(value, struct weft_resolver_share);
} weft_resolver_share SEC(".maps");

static __always_inline const struct weft_config *configuration(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&weft_config, &zero);
}

static __always_inline const struct weft_forward *forward_entry(__u32 vni, __be32 address)
{
    struct weft_forward_key key = { .vni = vni, .ipv4 = address };

    return bpf_map_lookup_elem(&weft_forward, &key);
}

static __always_inline const struct weft_forward *forward6_entry(__u32 vni, const __be32 *address)
{
    struct weft_forward6_key key = { .vni = vni, .ipv6 = { address[0], address[1], address[2], address[3] } };

    return bpf_map_lookup_elem(&weft_forward6, &key);
}

#endif
