/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Which of a service's backends gets a connection: the same on all nodes, wherever the choice is made.
 */
#ifndef WEFT_LIB_CHOICE_H
#define WEFT_LIB_CHOICE_H

#include "maps.h"
#include "packet.h"

static __always_inline void set_address(__u32 *to, const __u32 *from, const int family)
{
    to[0] = from[0];
    if (family == 6) {
        to[1] = from[1];
        to[2] = from[2];
        to[3] = from[3];
    }
}

static __always_inline bool same_address(const __u32 *one, const __u32 *other, const int family)
{
    return family == 6 ? same_ipv6(one, other) : one[0] == other[0];
}

/* A client's way to a service's address, and the backend that it leads to. */
struct passage {
    __u32 vni;
    __u32 ifindex;      /* the client's host end */
    __be32 client[4];
    __be32 service[4];
    __be32 backend[4];
};

static __always_inline __u32 mix(__u32 hash, __u32 word)
{
    hash = (hash ^ word) * 0x9e3779b1;
    return hash ^ hash >> 15;
}

/* Of what tells the connection from others. */
static __always_inline __u32 hash_of(
    const struct passage *passage, const struct weft_service *service, __u32 ports, __u8 protocol, const int family)
{
    __u32 hash = mix(passage->vni, passage->client[0]);

    if (family == 6)
        hash = mix(mix(mix(hash, passage->client[1]), passage->client[2]), passage->client[3]);
    if (!(service->flags & WEFT_SERVICE_BY_SOURCE))
        hash = mix(mix(mix(hash, passage->service[0]), ports), protocol);
    return mix(hash, hash >> 16);
}

static __always_inline const struct weft_service *service_at(const struct passage *passage, const int family)
{
    struct weft_service_key key = { .vni = passage->vni, .family = family };

    set_address(key.address, passage->service, family);
    return bpf_map_lookup_elem(&weft_service, &key);
}

static __always_inline const struct weft_backend *backend_of(const struct weft_service *service, __u32 vni, __u32 hash)
{
    __u32 place = hash & service->mask;
    struct weft_service_page_key page_key = {
        .vni = vni, .ipv4 = service->ipv4, .generation = service->generation, .page = place / WEFT_SERVICE_PAGE_PLACES
    };
    const struct weft_service_page *page = bpf_map_lookup_elem(&weft_service_page, &page_key);
    struct weft_backend_key key = { .vni = vni, .ipv4 = service->ipv4, .generation = service->generation };

    if (!page)
        return NULL;
    key.index = page->backend[place & (WEFT_SERVICE_PAGE_PLACES - 1)];
    return bpf_map_lookup_elem(&weft_backend, &key);
}

/* Chooses a backend; false if there is none. `ports`: the connection's, or what else tells it from the client's others. Tables that were
 * replaced meanwhile are looked up again. */
static __always_inline bool choose_backend(
    struct passage *passage, __u32 ports, __u8 protocol, __u32 *generation, const int family)
{
    const struct weft_service *service;
    const struct weft_backend *backend = NULL;

    service = service_at(passage, family);
    if (service && service->backends)
        backend = backend_of(service, passage->vni, hash_of(passage, service, ports, protocol, family));
    if (service && service->backends && !backend) {
        service = service_at(passage, family);
        if (service && service->backends)
            backend = backend_of(service, passage->vni, hash_of(passage, service, ports, protocol, family));
    }
    if (!service || !backend)
        return false;
    *generation = service->generation;
    set_address(passage->backend, family == 6 ? backend->ipv6 : &backend->ipv4, family);
    return true;
}

#endif
