/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * Which service a port of this host is published for, and who may ask for it.
 */
#ifndef WEFT_LIB_PUBLISHED_H
#define WEFT_LIB_PUBLISHED_H

#include "choice.h"
#include "maps.h"

/* What is published for a port, at all addresses or at this one. Only one of the two is: they exclude each other. `key` becomes that of
 * what is found. */
static __always_inline const struct weft_published *published_at(
    struct weft_published_key *key, const __be32 *address, __be16 port, __u8 protocol, const int family)
{
    const struct weft_published *published;

    __builtin_memset(key, 0, sizeof(*key));
    key->port = port;
    key->protocol = protocol;
    published = bpf_map_lookup_elem(&weft_published, key);
    if (published)
        return published;
    key->family = family;
    set_address(key->address, address, family);
    return bpf_map_lookup_elem(&weft_published, key);
}

/* Whether the client may ask for what is published under `key`. */
static __always_inline bool may_ask(
    const struct weft_published_key *key, const struct weft_published *published, const __be32 *client, const int family)
{
    struct weft_source_key source = { .prefix_length = WEFT_SOURCE_PREFIX + (family == 6 ? 128 : 32), .family = family };

    if (!(published->flags & WEFT_PUBLISHED_FOR_SOURCES))
        return true;
    source.published = *key;
    set_address(source.client, client, family);
    return bpf_map_lookup_elem(&weft_source, &source);
}

#endif
