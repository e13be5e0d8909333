#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int clx_setns_network(int descriptor) { return setns(descriptor, CLONE_NEWNET); }

int clx_is_namespace(const char *path)
{
    struct statfs status;
    if (statfs(path, &status) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    return status.f_type == NSFS_MAGIC;
}

int clx_unshare_network(void) { return unshare(CLONE_NEWNET); }

_Static_assert(CLX_NETLINK_ROUTE == NETLINK_ROUTE && CLX_NETLINK_NETFILTER == NETLINK_NETFILTER, "ABI");

int clx_netlink_open(int protocol)
{
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (descriptor < 0)
        return -1;
    int on = 1;
    /* Dumps of large tables arrive faster than they are read. */
    int buffer = 4 << 20;
    struct sockaddr_nl any = { .nl_family = AF_NETLINK };
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    setsockopt(descriptor, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(descriptor, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    setsockopt(descriptor, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    if (bind(descriptor, (struct sockaddr *)&any, sizeof any) < 0) {
        int code = errno;
        close(descriptor);
        errno = code;
        return -1;
    }
    return descriptor;
}

ssize_t clx_netlink_send(int descriptor, const void *bytes, size_t count)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    ssize_t sent;
    do
        sent = sendto(descriptor, bytes, count, 0, (struct sockaddr *)&kernel, sizeof kernel);
    while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t clx_netlink_receive(int descriptor, void *bytes, size_t capacity)
{
    for (;;) {
        struct sockaddr_nl from = { 0 };
        struct iovec vector = { .iov_base = bytes, .iov_len = capacity };
        struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1 };
        ssize_t count = recvmsg(descriptor, &message, 0);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        if (from.nl_pid != 0)
            continue;
        if (message.msg_flags & MSG_TRUNC) {
            errno = EMSGSIZE;
            return -1;
        }
        return count;
    }
}

int clx_spawn(pid_t *pid, char *const arguments[], int input, int output, int error)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    /* The child starts with ordinary signals, whatever this process blocks or ignores. */
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    code = posix_spawn_file_actions_adddup2(&actions, input, 0);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(&actions, error, 2);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (code == 0)
        code = posix_spawnp(pid, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static int unix_address(struct sockaddr_un *address, const char *path)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}

int clx_listen_unix(const char *path, int backlog)
{
    struct sockaddr_un address;
    if (unix_address(&address, path) < 0)
        return -1;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    if (unlink(path) < 0 && errno != ENOENT)
        goto failed;
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 || listen(descriptor, backlog) < 0)
        goto failed;
    return descriptor;
failed:;
    int code = errno;
    close(descriptor);
    errno = code;
    return -1;
}

int clx_connect_messages(const char *path, int limit_ms)
{
    struct sockaddr_un address;
    struct timeval limit = {limit_ms / 1000, limit_ms % 1000 * 1000};
    int code, descriptor, failed;

    if (unix_address(&address, path) < 0)
        return -1;
    descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    failed = setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
             setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0;
    while (!failed && connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0)
        failed = errno != EINTR;
    if (!failed)
        return descriptor;
    code = errno;
    close(descriptor);
    errno = code;
    return -1;
}

pid_t clx_peer_process(int descriptor)
{
    struct ucred who;
    socklen_t length = sizeof who;
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0 ? -1 : who.pid;
}

int clx_wait_for_end(int descriptor)
{
    struct pollfd source = {.fd = descriptor, .events = 0};
    while (poll(&source, 1, -1) < 0)
        if (errno != EINTR)
            return -1;
    return 0;
}

void clx_wipe(void *bytes, size_t count) { explicit_bzero(bytes, count); }

int clx_spawn_apart(char *const arguments[], int log)
{
    int report[2], code = 0, status;
    pid_t child;

    if (pipe2(report, O_CLOEXEC) < 0)
        return errno;
    child = fork();
    if (child < 0) {
        code = errno;
        close(report[0]);
        close(report[1]);
        return code;
    }
    if (child == 0) {
        /* From here on only what is safe while other threads hold locks. */
        sigset_t none;
        struct sigaction ordinary = {.sa_handler = SIG_DFL};
        int null = open("/dev/null", O_RDONLY), out, own = -1;
        pid_t grandchild = null < 0 || setsid() < 0 ? -1 : fork();
        if (grandchild > 0)
            _exit(0);
        if (grandchild < 0)
            goto failed;
        for (int number = 1; number < NSIG; number++)
            sigaction(number, &ordinary, NULL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        /* Out of the way of 0 to 3 first: any of these may be one of them. */
        out = fcntl(log, F_DUPFD_CLOEXEC, 4);
        own = fcntl(report[1], F_DUPFD_CLOEXEC, 4);
        if (out < 0 || own < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || dup3(own, 3, O_CLOEXEC) < 0 ||
            chdir("/") < 0)
            goto failed;
        own = 3;
        close_range(4, ~0U, 0);
        execv(arguments[0], arguments);
    failed:
        code = errno;
        if (write(own < 0 ? report[1] : own, &code, sizeof code) < 0)
            _exit(126);
        _exit(127);
    }
    close(report[1]);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            break; /* somebody else reaps */
    ssize_t count;
    do
        count = read(report[0], &code, sizeof code);
    while (count < 0 && errno == EINTR);
    close(report[0]);
    return count == sizeof code ? code : 0;
}

int clx_spawn_listening(pid_t *pid, char *const arguments[], const int *sockets, int count)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return errno;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0) {
        int code = errno;
        close(report[0]);
        close(report[1]);
        return code;
    }
    if (child == 0) {
        char text[16];
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(127);
        /* Out of the way of 3 and up first; the report's descriptor, too. */
        int high[8], out = fcntl(report[1], F_DUPFD_CLOEXEC, 3 + 2 * 8);
        if (count > 8 || out < 0)
            goto failed;
        for (int i = 0; i < count; i++)
            if ((high[i] = fcntl(sockets[i], F_DUPFD_CLOEXEC, 3 + count)) < 0)
                goto failed;
        for (int i = 0; i < count; i++)
            if (dup2(high[i], 3 + i) < 0)
                goto failed;
        snprintf(text, sizeof text, "%d", count);
        setenv("LISTEN_FDS", text, 1);
        snprintf(text, sizeof text, "%d", (int)getpid());
        setenv("LISTEN_PID", text, 1);
        execv(arguments[0], arguments);
    failed:;
        int code = errno ? errno : E2BIG;
        (void)!write(out < 0 ? report[1] : out, &code, sizeof code);
        _exit(127);
    }
    close(report[1]);
    int code = 0;
    ssize_t got;
    do
        got = read(report[0], &code, sizeof code);
    while (got < 0 && errno == EINTR);
    close(report[0]);
    if (got == sizeof code) {
        waitpid(child, NULL, 0);
        return code;
    }
    *pid = child;
    return 0;
}

int clx_listening_path(int descriptor, char *path, size_t capacity)
{
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    int listening = 0;
    socklen_t size = sizeof listening;
    memset(&address, 0, sizeof address);
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
        return -1;
    if (getsockname(descriptor, (struct sockaddr *)&address, &length) < 0 || address.sun_family != AF_UNIX)
        return -1;
    snprintf(path, capacity, "%s", address.sun_path);
    return 0;
}

int clx_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int clx_open(const char *path, int flags, mode_t mode)
{
    int descriptor;
    do
        descriptor = open(path, flags | O_CLOEXEC, mode);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

int64_t clx_clock(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int clx_is_in_memory(const char *path)
{
    struct statfs info;
    if (statfs(path, &info) < 0)
        return -1;
    return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC;
}

int clx_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    return mount(source, target, type, flags, data);
}

int clx_unmount(const char *target, int flags) { return umount2(target, flags); }

int clx_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

const char *clx_error_text(int code, char *buffer, size_t capacity) { return strerror_r(code, buffer, capacity); }

int clx_make_tap(const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC), failed, reason;

    if (tap < 0)
        return -1;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    failed = ioctl(tap, TUNSETIFF, &request) || ioctl(tap, TUNSETPERSIST, 1);
    reason = errno;
    close(tap);
    errno = reason;
    return failed ? -1 : 0;
}
