/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
 *
 * The overlay's data plane: four programs at ingress (tcx, or clsact before Linux 6.6), no bridge and no learning.
 *
 *   sandbox | eth0 ----- wv… | weft_from_container ---> another sandbox here       (redirect into its namespace)
 *                                                  \--> underlay, wrapped in VXLAN (redirect to the neighbour)
 *                                                   \-> host: DNS, the outside     (pass up the stack, IPv4 only)
 *   underlay | weft_from_underlay ---> sandbox, unwrapped
 *            \-> odd ones: stack ---> weft_vxlan | weft_from_vxlan ---> sandbox
 *   weftesp | weft_from_tunnel ---> sandbox: encrypted networks go to peers and come from them by this device, whose process does the rest
 *   other interfaces | weft_from_outside ---> sandbox, or underlay: what is for a published port (so does weft_from_underlay)
 *                    | weft_from_bare ---> the same, where frames begin with the IP header (tun, WireGuard, PPP, ipip)
 *
 * A packet that is not allowed is dropped and counted by reason (enum weft_drop_reason); nothing is forwarded that no map names.
 */
#include "lib/arp.h"
#include "lib/bare.h"
#include "lib/encap.h"
#include "lib/esp.h"
#include "lib/gateway.h"
#include "lib/hairpin.h"
#include "lib/ingress.h"
#include "lib/maps.h"
#include "lib/neighbour.h"
#include "lib/packet.h"
#include "lib/errors.h"
#include "lib/resolver.h"
#include "lib/service.h"
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
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct iphdr *ip, __u32 packets)
{
    __be32 target = ip->daddr;
    int verdict;
    struct weft_subnet_key key = { .prefix_length = 32, .ipv4 = target };

    if (target && target == endpoint->gateway_ipv4)
        return answer_echo(skb, endpoint);
    if ((target & endpoint->subnet_mask) == endpoint->subnet_ipv4) {
        if (target == (endpoint->subnet_ipv4 | ~endpoint->subnet_mask))
            return DROPPED(WEFT_DROP_MULTICAST);
        return was_backend(endpoint->vni, &target, 4) ? refuse_former(skb, endpoint) : DROPPED(WEFT_DROP_NO_ENDPOINT);
    }
    if (endpoint->flags & WEFT_ENDPOINT_INGRESS) {
        verdict = answer_client(skb, endpoint);
        if (verdict)
            return verdict;
    }
    if (bpf_map_lookup_elem(&weft_subnet, &key))
        return DROPPED(WEFT_DROP_OTHER_NETWORK);
    if (endpoint->flags & WEFT_ENDPOINT_INTERNAL)
        return DROPPED(WEFT_DROP_INTERNAL);
    if (endpoint->flags & WEFT_ENDPOINT_NO_EXIT)
        return DROPPED(WEFT_DROP_NO_EXIT);
    verdict = enter_from_endpoint(skb, endpoint, packets);
    if (verdict != WEFT_TCX_NEXT)
        return verdict;
    ip = packet_start(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return pass_outside(skb, ip);
}

/* The same for IPv6, which has no way out: nothing of it goes up the host's stack. */
static __always_inline int leave_network6(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct ipv6hdr *ip)
{
    const __be32 *target = ip->daddr.in6_u.u6_addr32;
    struct weft_subnet6_key key = { .prefix_length = 128, .ipv6 = { target[0], target[1], target[2], target[3] } };

    if (!is_unspecified(endpoint->gateway_ipv6) && same_ipv6(target, endpoint->gateway_ipv6))
        return answer_echo6(skb, endpoint);
    if (is_in_subnet6(endpoint, target))
        return was_backend(endpoint->vni, target, 6) ? refuse_former6(skb, endpoint) : DROPPED(WEFT_DROP_NO_ENDPOINT);
    if (is_link_local(target))
        return DROPPED(WEFT_DROP_LINK_LOCAL);
    if (endpoint->flags & WEFT_ENDPOINT_INGRESS) {
        int verdict = answer_client6(skb, endpoint);

        if (verdict)
            return verdict;
    }
    if (bpf_map_lookup_elem(&weft_subnet6, &key))
        return DROPPED(WEFT_DROP_OTHER_NETWORK);
    if (endpoint->flags & WEFT_ENDPOINT_INTERNAL)
        return DROPPED(WEFT_DROP_INTERNAL);
    return DROPPED(WEFT_DROP_NO_IPV6_EXIT);
}

/* To where an endpoint is, what fits the way there. A backend's answer to a connection through its service comes from the service
 * when it arrives: here, if it stays on this host. */
static __always_inline int forward_from(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct weft_forward *to, __u32 packets)
{
    struct ethhdr *ethernet;
    struct iphdr *ip;

    if (to->ifindex && endpoint->flags & WEFT_ENDPOINT_BACKEND) {
        int verdict = to->flags & WEFT_FORWARD_HOST ? return_to_endpoint(skb, packets) : 0;

        if (!verdict)
            verdict = restore_service(skb, endpoint->vni, to->ifindex);
        if (verdict)
            return verdict;
    }
    ethernet = packet_start(skb);
    ip = (void *)(ethernet + 1);
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (!to->ifindex)
        return send_to_peer(skb, endpoint, to, ETH_P_IP, ip->tos);
    set_mac(ethernet->h_dest, to->mac);
    count_received(to->ifindex, packets, skb->len);
    return to->flags & WEFT_FORWARD_HOST ? bpf_redirect(to->ifindex, 0) : redirect_to_sandbox(skb, to->ifindex);
}

static __always_inline int forward6_from(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, const struct weft_forward *to, __u32 packets)
{
    struct ethhdr *ethernet;
    struct ipv6hdr *ip;

    if (to->ifindex && endpoint->flags & WEFT_ENDPOINT_BACKEND) {
        int verdict = restore_service6(skb, endpoint->vni, to->ifindex);

        if (verdict)
            return verdict;
    }
    ethernet = packet_start(skb);
    ip = (void *)(ethernet + 1);
    if ((void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    /* The sandbox's idea of the MAC address does not matter, nor that a neighbour may have talked it into one. */
    set_mac(ethernet->h_dest, to->mac);
    if (!to->ifindex) {
        __u8 tos = traffic_class(ip);

        ethernet->h_proto = bpf_htons(ETH_P_IP);
        return send_to_peer(skb, endpoint, to, ETH_P_IPV6, tos);
    }
    count_received(to->ifindex, packets, skb->len);
    return to->flags & WEFT_FORWARD_HOST ? bpf_redirect(to->ifindex, 0) : redirect_to_sandbox(skb, to->ifindex);
}

/* Where a client's packet to a service goes; NULL if nowhere: `verdict` says why. The packet is as it was. */
static __always_inline const struct weft_forward *find_way(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, struct scratch *with, int *verdict, const int family)
{
    const struct transport *transport = &with->transport;
    struct passage *passage = &with->passage;
    const struct weft_forward *to = NULL;

    passage->vni = endpoint->vni;
    passage->ifindex = skb->ifindex;
    if (find_backend(with, family)) {
        if (transport->is_fragment && transport->is_first)
            remember_fragments(with, family);
        to = family == 6 ? forward6_entry(endpoint->vni, passage->backend) : forward_entry(endpoint->vni, passage->backend[0]);
    }
    if (to && to->flags & WEFT_FORWARD_BACKEND)
        return to;
    *verdict = refuse(skb, endpoint, transport, family);
    return NULL;
}

/* From a backend to itself: the service is its client. The addresses change places, which no checksum minds. */
static __always_inline int turn_round(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 packets, const int family)
{
    struct ethhdr *ethernet = packet_start(skb);
    struct ipv6hdr *ip6 = (void *)(ethernet + 1);
    struct iphdr *ip = (void *)(ethernet + 1);
    __be32 service[4];

    if (family == 6) {
        if ((void *)(ip6 + 1) > packet_end(skb))
            return DROPPED(WEFT_DROP_TRUNCATED);
        set_ipv6(service, ip6->daddr.in6_u.u6_addr32);
        set_ipv6(ip6->daddr.in6_u.u6_addr32, ip6->saddr.in6_u.u6_addr32);
        set_ipv6(ip6->saddr.in6_u.u6_addr32, service);
    } else {
        if ((void *)(ip + 1) > packet_end(skb))
            return DROPPED(WEFT_DROP_TRUNCATED);
        service[0] = ip->daddr;
        ip->daddr = ip->saddr;
        ip->saddr = service[0];
    }
    set_mac(ethernet->h_dest, endpoint->mac);
    set_gateway_mac(ethernet->h_source);
    count_received(skb->ifindex, packets, skb->len);
    return redirect_to_sandbox(skb, skb->ifindex);
}

/* Ping, and what is said of a service's packets. */
static __always_inline int send_control_to_service(
    struct __sk_buff *skb, const struct weft_endpoint *endpoint, struct scratch *with, __u32 packets, const int family)
{
    const struct weft_service *service;
    const struct weft_forward *to;

    with->passage.vni = endpoint->vni;
    with->passage.ifindex = skb->ifindex;
    if (!translate_error(skb, with, family)) {
        service = service_at(&with->passage, family);
        if (!service || !service->backends)
            return refuse(skb, endpoint, &with->transport, family);
        return family == 6 ? answer_echo6(skb, endpoint) : answer_echo(skb, endpoint);
    }
    if (same_address(with->passage.backend, with->passage.client, family))
        return turn_round(skb, endpoint, packets, family);
    if (family == 6) {
        to = forward6_entry(endpoint->vni, with->passage.backend);
        return to ? forward6_from(skb, endpoint, to, packets) : DROPPED(WEFT_DROP_NO_BACKEND);
    }
    to = forward_entry(endpoint->vni, with->passage.backend[0]);
    return to ? forward_from(skb, endpoint, to, packets) : DROPPED(WEFT_DROP_NO_BACKEND);
}

/* To a service. The addresses in the packet change when nothing sends it back any more, so that what comes back names the service. */
static __noinline int send_to_service(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 packets)
{
    struct iphdr *ip = packet_start(skb) + ETH_HLEN;
    struct scratch *with = scratch();
    const struct weft_forward *to;
    int verdict = 0;

    if (!with || (void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    with->passage.client[0] = ip->saddr;
    with->passage.service[0] = ip->daddr;
    if (!read_transport(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (with->transport.protocol == IPPROTO_ICMP)
        return send_control_to_service(skb, endpoint, with, packets, 4);
    to = find_way(skb, endpoint, with, &verdict, 4);
    if (!to)
        return verdict;
    if (to->ifindex == skb->ifindex)
        return turn_round(skb, endpoint, packets, 4);
    if (!to->ifindex && exceeds_path(skb, to->mtu, with->transport.offset, with->transport.protocol))
        return answer_too_big(skb, endpoint, to->mtu);
    if (!replace_address(
            skb, ETH_HLEN + TARGET_OFFSET(4), with->passage.service, with->passage.backend, &with->transport, 4))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return forward_from(skb, endpoint, to, packets);
}

static __noinline int send6_to_service(struct __sk_buff *skb, const struct weft_endpoint *endpoint, __u32 packets)
{
    struct ipv6hdr *ip = packet_start(skb) + ETH_HLEN;
    struct scratch *with = scratch();
    const struct weft_forward *to;
    int verdict = 0;

    if (!with || (void *)(ip + 1) > packet_end(skb))
        return DROPPED(WEFT_DROP_TRUNCATED);
    set_ipv6(with->passage.client, ip->saddr.in6_u.u6_addr32);
    set_ipv6(with->passage.service, ip->daddr.in6_u.u6_addr32);
    if (!read_transport6(skb, ip, &with->transport))
        return DROPPED(WEFT_DROP_TRUNCATED);
    if (with->transport.protocol == IPPROTO_ICMPV6)
        return send_control_to_service(skb, endpoint, with, packets, 6);
    to = find_way(skb, endpoint, with, &verdict, 6);
    if (!to)
        return verdict;
    if (to->ifindex == skb->ifindex)
        return turn_round(skb, endpoint, packets, 6);
    if (!to->ifindex && exceeds_path(skb, to->mtu, with->transport.offset, with->transport.protocol))
        return answer_too_big6(skb, endpoint, to->mtu);
    if (!replace_address(
            skb, ETH_HLEN + TARGET_OFFSET(6), with->passage.service, with->passage.backend, &with->transport, 6))
        return DROPPED(WEFT_DROP_TRUNCATED);
    return forward6_from(skb, endpoint, to, packets);
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
    if (to->flags & WEFT_FORWARD_SERVICE)
        return send6_to_service(skb, endpoint, packets);
    if (!to->ifindex && exceeds_path(skb, to->mtu, ETH_HLEN + sizeof(*ip), ip->nexthdr))
        return answer_too_big6(skb, endpoint, to->mtu);
    if (to->flags & WEFT_FORWARD_BACKEND)
        forget_connection6(skb, endpoint->vni);
    return forward6_from(skb, endpoint, to, packets);
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
        return leave_network(skb, endpoint, ip, packets);
    if (to->flags) {
        if (to->flags & WEFT_FORWARD_SERVICE)
            return send_to_service(skb, endpoint, packets);
        if (to->flags & WEFT_FORWARD_BACKEND)
            forget_connection(skb, endpoint->vni);
    }
    if (!to->ifindex) {
        if (exceeds_path(skb, to->mtu, ETH_HLEN + ip->ihl * 4, ip->protocol))
            return answer_too_big(skb, endpoint, to->mtu);
        return send_to_peer(skb, endpoint, to, ETH_P_IP, ip->tos);
    }
    if (endpoint->flags & WEFT_ENDPOINT_BACKEND)
        return forward_from(skb, endpoint, to, packets);
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
    if (verdict > 0 && verdict & ANSWERED_BIT) {
        count_drop(counter, verdict >> ANSWERED_REASON_SHIFT, packets);
        return verdict & ANSWERED_ACTION;
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

    int verdict = receive_from_underlay(skb, packets);

    if (verdict == WEFT_TCX_NEXT)
        verdict = receive_from_outside(skb, packets);
    return conclude(verdict, packets);
}

SEC("tc")
int weft_from_outside(struct __sk_buff *skb)
{
    __u32 packets = packets_in(skb);

    return conclude(receive_from_outside(skb, packets), packets);
}

/* At an interface whose frames begin with the IP header. */
SEC("tc")
int weft_from_bare(struct __sk_buff *skb)
{
    __u32 packets = packets_in(skb);

    return conclude(is_for_host(skb) && make_frame(skb) ? receive_from_outside(skb, packets) : WEFT_TCX_NEXT, packets);
}

SEC("tc")
int weft_from_vxlan(struct __sk_buff *skb)
{
    __u32 packets = packets_in(skb);

    return conclude(receive_from_vxlan(skb, packets), packets);
}

/* At the device of the process that encrypts. Nothing is left to the host's stack. */
SEC("tc")
int weft_from_tunnel(struct __sk_buff *skb)
{
    __u32 packets = packets_merged(skb);
    int verdict = receive_from_tunnel(skb, packets);

    return conclude(verdict == WEFT_TCX_NEXT || verdict == WEFT_TCX_PASS ? DROPPED(WEFT_DROP_NO_ENDPOINT) : verdict, packets);
}
