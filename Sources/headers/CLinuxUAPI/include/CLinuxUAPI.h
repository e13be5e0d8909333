/* Kernel constants and structures of the netlink codec, so that no number of the kernel is typed again in Swift.
 * No functions, nothing of the C library. */
#ifndef CLINUX_UAPI_H
#define CLINUX_UAPI_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/fib_rules.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/pkt_cls.h>
#include <linux/veth.h>
#include <linux/ip.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>

/* <linux/if.h> and <net/if.h> cannot be told apart by every importer: the one flag needed here is repeated. */
enum { WEFT_IFF_UP = 1 };

/* AF_INET and AF_UNSPEC are in <sys/socket.h> only, which is the C library's. */
enum { WEFT_AF_UNSPEC = 0, WEFT_AF_INET = 2, WEFT_AF_INET6 = 10 };

/* DEVCONF_DISABLE_IPV6 of <linux/ipv6.h>, which has the C library's structures over again. */
enum { WEFT_DEVCONF_DISABLE_IPV6 = 26 };

/* <linux/netfilter.h> brings <linux/in.h>, which the C library has as well: what is needed of it is repeated. */
enum { WEFT_NF_ACCEPT = 1, WEFT_NF_INET_LOCAL_OUT = 3 };

_Static_assert(sizeof(struct nfgenmsg) == 4, "ABI");
_Static_assert(sizeof(struct nlmsghdr) == 16, "ABI");
_Static_assert(sizeof(struct ifinfomsg) == 16, "ABI");
_Static_assert(sizeof(struct ifaddrmsg) == 8, "ABI");
_Static_assert(sizeof(struct rtmsg) == 12, "ABI");
_Static_assert(sizeof(struct ndmsg) == 12, "ABI");
_Static_assert(sizeof(struct fib_rule_hdr) == 12, "ABI");
_Static_assert(sizeof(struct tcmsg) == 20, "ABI");

#endif
