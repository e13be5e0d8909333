/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The exit to a peer: the kind of tunnel, which the address's entry names, wraps the packet and sends it on.
 *
 * A further kind of tunnel is a case here, its headers and its way in are a file of their own beside vxlan.h.
 */
#ifndef WEFT_LIB_ENCAP_H
#define WEFT_LIB_ENCAP_H

#include "esp.h"
#include "vxlan.h"

/* Sends the packet to the node that holds `to`. `protocol` and `tos` are the packet's own. */
static __always_inline int send_to_peer(
    struct __sk_buff *skb, const struct weft_endpoint *from, const struct weft_forward *to, __u16 protocol, __u8 tos)
{
    if (to->tunnel == WEFT_TUNNEL_VXLAN)
        return send_by_vxlan(skb, from, to, protocol, tos);
    if (to->tunnel == WEFT_TUNNEL_ESP)
        return send_by_esp(skb, from, to, protocol);
    /* Nothing goes unprotected that should have been protected. */
    return DROPPED(WEFT_DROP_WRONG_TUNNEL);
}

#endif
