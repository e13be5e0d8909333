/* The C side of WeftLinux: what Swift's importer does not see of the C library (setns, netlink sockets, pidfds, spawning).
 * No _GNU_SOURCE here: it would change the C library's types under other modules. It is defined in the .c file.
 * Functions return -1 and set errno, as system calls do. */
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Moves the calling thread into the network namespace behind the descriptor. */
int clx_setns_network(int descriptor);

/* NETLINK_ROUTE and NETLINK_NETFILTER of <linux/netlink.h>. */
enum { CLX_NETLINK_ROUTE = 0, CLX_NETLINK_NETFILTER = 12 };
/* A netlink socket of the calling thread's namespace, of one of these protocols: bound to a port of the kernel's choice, extended
 * acknowledgements, strict dump requests, close-on-exec. */
int clx_netlink_open(int protocol);
ssize_t clx_netlink_send(int descriptor, const void *bytes, size_t count);
/* Receives one datagram from the kernel whole; EMSGSIZE if it does not fit. Datagrams of other senders are skipped. */
ssize_t clx_netlink_receive(int descriptor, void *bytes, size_t capacity);

/* Starts a program found by PATH with the descriptors as its standard streams; everything else is close-on-exec by the opener's care.
 * Returns 0 or an errno value. */
int clx_spawn(pid_t *pid, char *const arguments[], int input, int output, int error);

/* A listening unix socket at `path`, for its owner only, close-on-exec. A file that is there is replaced. */
int clx_listen_unix(const char *path, int backlog);
/* Starts arguments[0] with `count` listening sockets as descriptors 3 and up, told by LISTEN_FDS and LISTEN_PID as systemd does.
 * It gets SIGTERM when the calling process dies. For processes with one thread. Returns 0 or an errno value. */
int clx_spawn_listening(pid_t *pid, char *const arguments[], const int *sockets, int count);
/* The path that a unix socket is bound to; 0 if it is one that listens, else -1. */
int clx_listening_path(int descriptor, char *path, size_t capacity);

/* Starts the program at arguments[0] as a child of nobody here, in a session of its own: it goes on when the calling process ends, and
 * is not waited for. Its standard output and error go to `log`; everything else is closed. Returns 0 or an errno value. */
int clx_spawn_apart(char *const arguments[], int log);

/* Connects to the unix socket at `path` that keeps messages apart (SOCK_SEQPACKET); each call on it takes `limit_ms` at most, then fails
 * with EAGAIN. */
int clx_connect_messages(const char *path, int limit_ms);
/* The process at the other end of a unix socket. */
pid_t clx_peer_process(int descriptor);
/* Waits until the other end of a connection is closed, or this one shut down. What comes meanwhile is left for others. */
int clx_wait_for_end(int descriptor);
/* Overwrites bytes in a way that no compiler leaves out. */
void clx_wipe(void *bytes, size_t count);

int clx_pidfd_open(pid_t pid);
/* An open file in memory, without a path. */
int clx_memory_file(const char *name);
int clx_open(const char *path, int flags, mode_t mode);

/* clock_gettime in nanoseconds; clock is CLOCK_REALTIME or CLOCK_MONOTONIC. */
int64_t clx_clock(int clock);

/* The reason in words; in `buffer` or static. Safe on any thread. */
const char *clx_error_text(int code, char *buffer, size_t capacity);

/* 1 if the path leads to a namespace, 0 to anything else. */
int clx_is_namespace(const char *path);

/* 1 if what lies under the path is in memory alone, 0 if it may be on a disk, or -1 and errno. */
int clx_is_in_memory(const char *path);

/* mount(2) and umount2(2). */
int clx_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int clx_unmount(const char *target, int flags);
/* Moves the calling thread into a new network namespace. */
int clx_unshare_network(void);

/* Makes a TAP that stays, with virtio headers and several queues. One that is there is taken, and may lose packets meanwhile. */
int clx_make_tap(const char *name);

#endif
