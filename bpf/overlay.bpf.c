/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The overlay's data plane: three programs at ingress (tcx, or clsact before Linux 6.6), no bridge and no learning.
 *
 *   sandbox | eth0 ----- wv… | weft_from_container ---> another sandbox here       (redirect into its namespace)
 *                                                  \--> underlay, wrapped in VXLAN (redirect to the neighbour)
 *                                                   \-> host: DNS, the outside     (pass up the stack, IPv4 only)
 *   underlay | weft_from_underlay ---> sandbox, unwrapped
 *            \-> odd ones: stack ---> weft_vxlan | weft_from_vxlan ---> sandbox
 *
 * A packet that is not allowed is dropped and counted by reason (enum weft_drop_reason); nothing is forwarded that no map names.
 */
#include "lib/arp.h"
#include "lib/encap.h"
#include "lib/gateway.h"
#include "lib/maps.h"
#include "lib/neighbour.h"
#include "lib/packet.h"
#include "lib/path_mtu.h"
#include "lib/resolver.h"
#include "lib/verdict.h"
#include "lib/vxlan.h"

/* The helpers used here are for GPL-compatible programs. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* The target port of UDP and of TCP; 0 in later fragments, in what is too short, and for other protocols. */
static __always_inline __be16 target_port(struct __sk_buff *skb, const struct iphdr *ip)
{
    struct ports ports;

    if ((ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_TCP) || ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
        return 0;
    return bpf_skb_load_bytes(skb, ETH_HLEN + ip->ihl * 4, &ports, sizeof(ports)) ? 0 : ports.target;
}

/* Whether ICMP is an echo request, or a reply where `replies` may pass. An error is believed by who gets it for what it quotes:
 * a forged one would narrow the host's routes to its peers. Of a fragmented message the first fragment decides. */
static __always_inline bool is_echo(struct __sk_buff *skb, const struct iphdr *ip, bool replies)
{
    __u8 type;

    if (ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
        return true;
    if (bpf_skb_load_bytes(skb, ETH_HLEN + ip->ihl * 4, &type, sizeof(type)))
        return false;
    return type == ICMP_ECHO || (replies && type == ICMP_ECHOREPLY);
}

/* The resolver's address leads to weftd on this host: DNS and ping, nothing else of the host. */
static __always_inline int pass_to_resolver(struct __sk_buff *skb, const struct iphdr *ip)
{
    if (target_port(skb, ip) == bpf_htons(53))
        return admit_query(skb, ip);
    if (ip->protocol == IPPROTO_ICMP)
        return is_echo(skb, ip, false) ? WEFT_TCX_PASS : DROPPED(WEFT_DROP_CONTROL_MESSAGE);
    return DROPPED(WEFT_DROP_NO_ENDPOINT);
}

/* To the outside, where the host puts its own address in place of the sandbox's: to a peer, VXLAN from here would look like this node's.
 * A loopback address would be the host's own, where its interface may lead to one (route_localnet, for published ports). */
static __always_inline int pass_outside(struct __sk_buff *skb, const struct iphdr *ip)
{
    const struct weft_config *config = configuration();

    if (!config)
        return DROPPED(WEFT_DROP_ENCAP_FAILED);
    if (is_loopback(ip->daddr))
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    if (ip->protocol == IPPROTO_ICMP && !is_echo(skb, ip, true))
        return DROPPED(WEFT_DROP_CONTROL_MESSAGE);
    if (ip->protocol == IPPROTO_UDP && target_port(skb, ip) == bpf_htons(config->vxlan_port))
        return DROPPED(WEFT_DROP_OTHER_NETWORK);
    return WEFT_TCX_PASS;
}

/* No endpoint has the address: the gateway, a hole in the subnet, another network, or the outside. */
static __always_inline int leave_network(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct iphdr *ip)
{
    __be32 target = ip->daddr;
    struct weft_subnet_key key = { .prefix_length = 32, .ipv4 = target };

    if (target && target == endpoint->gateway_ipv4)
        return answer_as_gateway(skb, endpoint);
    if ((target & endpoint->subnet_mask) == endpoint->subnet_ipv4) {
        if (target == (endpoint->subnet_ipv4 | ~endpoint->subnet_mask))
            return DROPPED(WEFT_DROP_MULTICAST);
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    }
    if (bpf_map_lookup_elem(&weft_subnet, &key))
        return DROPPED(WEFT_DROP_OTHER_NETWORK);
    if (endpoint->flags & WEFT_ENDPOINT_INTERNAL)
        return DROPPED(WEFT_DROP_INTERNAL);
    if (endpoint->flags & WEFT_ENDPOINT_NO_EXIT)
        return DROPPED(WEFT_DROP_NO_EXIT);
    return pass_outside(skb, ip);
}

/* The same for IPv6, which has no way out: nothing of it goes up the host's stack. */
static __always_inline int leave_network6(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct ipv6hdr *ip)
{
    const __be32 *target = ip->daddr.in6_u.u6_addr32;
    struct weft_subnet6_key key = { .prefix_length = 128, .ipv6 = { target[0], target[1], target[2], target[3] } };

    if (!is_unspecified(endpoint->gateway_ipv6) && same_ipv6(target, endpoint->gateway_ipv6))
        return answer_as_gateway6(skb, endpoint);
    if (is_in_subnet6(endpoint, target))
        return DROPPED(WEFT_DROP_NO_ENDPOINT);
    if (is_link_local(target))
        return DROPPED(WEFT_DROP_LINK_LOCAL);
    if (bpf_map_lookup_elem(&weft_subnet6, &key))
        return DROPPED(WEFT_DROP_OTHER_NETWORK);
    if (endpoint->flags & WEFT_ENDPOINT_INTERNAL)
        return DROPPED(WEFT_DROP_INTERNAL);
    return DROPPED(WEFT_DROP_NO_IPV6_EXIT);
}

/* Only the fixed header is looked at: addresses stand there whatever extension headers follow. */
static __always_inline int send6_from(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 packets)
{
    const struct weft_forward *to;
    struct ethhdr *ethernet;
    struct ipv6hdr *ip;
    __be32 *source, *target;
    __u8 type;

    if (is_unspecified(endpoint->ipv6))
        return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
    if (!pull(skb, ETH_HLEN + sizeof(*ip)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ethernet = packet_start(skb);
    ip = (void *)(ethernet + 1);
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    /* A payload length of 0 is a GSO packet past 64 KB. */
    if (ip->version != 6 || bpf_ntohs(ip->payload_len) > skb->len - ETH_HLEN - sizeof(*ip))
        return DROPPED(WEFT_DROP_TRUNCATED);

    source = ip->saddr.in6_u.u6_addr32;
    target = ip->daddr.in6_u.u6_addr32;
    type = link_message_type(skb, ip);
    if (!same_ipv6(source, endpoint->ipv6)) {
        if (!is_link_local(source) && !(type && is_unspecified(source)))
            return DROPPED(WEFT_DROP_SPOOFED_ADDRESS);
        if (!type)
            return DROPPED(WEFT_DROP_LINK_LOCAL);
    }
    if (type)
        return take_link_message(skb, endpoint, type);
    if (is_multicast6(target))
        return DROPPED(WEFT_DROP_MULTICAST);

    to = forward6_entry(endpoint->vni, target);
    if (!to)
        return leave_network6(skb, endpoint, ip);
    /* The sandbox's idea of the MAC address does not matter, nor that a neighbour may have talked it into one. */
    set_mac(ethernet->h_dest, to->mac);
    if (!to->ifindex) {
        __u8 tos = traffic_class(ip);

        if (exceeds_path(skb, to->mtu, ETH_HLEN + sizeof(*ip), ip->nexthdr))
            return answer_too_big6(skb, endpoint, to->mtu);
        ethernet->h_proto = bpf_htons(ETH_P_IP);
        return send_to_peer(skb, endpoint, to, ETH_P_IPV6, tos);
    }
    count_received(to->ifindex, packets, skb->len);
    return redirect_to_sandbox(skb, to->ifindex);
}

/* All but IPv4, which is to stay as short as it is. The source MAC is the endpoint's. */
static __noinline int send_other_from(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 packets)
{
    if (skb->protocol == bpf_htons(ETH_P_ARP))
        return answer_arp(skb, endpoint);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return send6_from(skb, endpoint, packets);
    return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
}

static __always_inline int send_from(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 packets)
{
    const struct weft_forward *to;
    struct ethhdr *ethernet;
    struct iphdr *ip;
    __u32 length;

    if (skb->vlan_present)
        return DROPPED(WEFT_DROP_UNSUPPORTED_PROTOCOL);
    if (!pull(skb, ETH_HLEN + sizeof(*ip)))
        return DROPPED(WEFT_DROP_TRUNCATED);
    ethernet = packet_start(skb);
    ip = (void *)(ethernet + 1);
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!same_mac(ethernet->h_source, endpoint->mac))
        return DROPPED(WEFT_DROP_SPOOFED_MAC);
    if (ethernet->h_proto != bpf_htons(ETH_P_IP))
        return send_other_from(skb, endpoint, packets);

    /* A total length of 0 is a GSO packet past 64 KB. */
    length = bpf_ntohs(ip->tot_len);
    if (ip->version != 4 || ip->ihl < 5 || length > skb->len - ETH_HLEN || (length && length < ip->ihl * 4))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (ip->saddr != endpoint->ipv4)
        return DROPPED(WEFT_DROP_SPOOFED_ADDRESS);
    if (ethernet->h_dest[0] & 1 || is_group_address(ip->daddr))
        return DROPPED(WEFT_DROP_MULTICAST);
    if (ip->daddr == bpf_htonl(WEFT_RESOLVER_IPV4))
        return pass_to_resolver(skb, ip);

    to = forward_entry(endpoint->vni, ip->daddr);
    if (!to)
        return leave_network(skb, endpoint, ip);
    if (!to->ifindex) {
        if (exceeds_path(skb, to->mtu, ETH_HLEN + ip->ihl * 4, ip->protocol))
            return answer_too_big(skb, endpoint, to->mtu);
        return send_to_peer(skb, endpoint, to, ETH_P_IP, ip->tos);
    }
    set_mac(ethernet->h_dest, to->mac);
    count_received(to->ifindex, packets, skb->len);
    return bpf_redirect_peer(to->ifindex, 0);
}

SEC("tc")
int weft_from_container(struct __sk_buff *skb)
{
    struct weft_endpoint_key key = { .ifindex = skb->ifindex };
    const struct weft_endpoint *endpoint = bpf_map_lookup_elem(&weft_endpoint, &key);
    __u32 packets = packets_in(skb), bytes = skb->len;
    struct weft_counter *counter;
    int verdict;

    if (!endpoint)
        return conclude(DROPPED(WEFT_DROP_UNKNOWN_ENDPOINT), packets);
    verdict = send_from(skb, endpoint, packets);
    counter = counter_of(key.ifindex);
    if (verdict & DROPPED_BIT) {
        count_drop(counter, verdict, packets);
        return WEFT_TCX_DROP;
    }
    if (verdict > 0 && verdict & ANSWERED_TOO_BIG_BIT) {
        count_drop(counter, WEFT_DROP_TOO_BIG, packets);
        return verdict & ~ANSWERED_TOO_BIG_BIT;
    }
    if (counter) {
        counter->sent_packets += packets;
        counter->sent_bytes += bytes;
    }
    return verdict == SWALLOWED ? WEFT_TCX_DROP : verdict;
}

SEC("tc")
int weft_from_underlay(struct __sk_buff *skb)
{
    __u32 packets = packets_in(skb);

    return conclude(receive_from_underlay(skb, packets), packets);
}

SEC("tc")
int weft_from_vxlan(struct __sk_buff *skb)
{
    __u32 packets = packets_in(skb);

    return conclude(receive_from_vxlan(skb, packets), packets);
}
