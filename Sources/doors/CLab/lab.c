/* Hosts that are namespaces, for `weft lab`. Children made here come from a process with many threads: up to
 * their end or execve they make only calls that are safe after such a fork. */
#define _GNU_SOURCE
#include "CLab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct answer {
    int error;
    char what[160];
};

static _Noreturn void give_up(int pipe, const char *what, const char *subject)
{
    struct answer answer = {.error = errno ? errno : EINVAL};
    strncat(answer.what, what, 40);
    strncat(answer.what, " ", 1);
    strncat(answer.what, subject, sizeof answer.what - 42);
    ssize_t ignored = write(pipe, &answer, sizeof answer);
    (void)ignored;
    _exit(1);
}

static int lo_up(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int result = fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return result;
}

static int pin(pid_t pid, const char *kind, const char *target)
{
    char source[64];
    snprintf(source, sizeof source, "/proc/%d/ns/%s", pid, kind);
    int fd = open(target, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0)
        return -errno;
    close(fd);
    return mount(source, target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static void furnish(int pipe, const char *hostname, const struct clab_binding *bindings, size_t count, const char *hidden)
{
    if (sethostname(hostname, strlen(hostname)) < 0)
        give_up(pipe, "set the host name", hostname);
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        give_up(pipe, "detach the mounts of", "/");
    for (size_t i = 0; i < count; i++)
        if (mount(bindings[i].source, bindings[i].target, NULL, MS_BIND, NULL) < 0)
            give_up(pipe, "mount over", bindings[i].target);
    int cgroups = open_tree(AT_FDCWD, "/sys/fs/cgroup", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    /* A sysfs of its own network namespace, for /sys/class/net. */
    if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        give_up(pipe, "mount sysfs on", "/sys");
    /* A bpffs of its own: each mount of one is a tree of its own, so the default pin directory is private. */
    if (mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
        give_up(pipe, "mount bpffs on", "/sys/fs/bpf");
    if (cgroups >= 0) {
        move_mount(cgroups, "", AT_FDCWD, "/sys/fs/cgroup", MOVE_MOUNT_F_EMPTY_PATH);
        close(cgroups);
    }
    if (hidden)
        while (umount2(hidden, MNT_DETACH) == 0) {
            /* Copies of the other hosts' namespaces would keep these alive. */
        }
    /* As on a machine: container engines refuse mounts to share below a / that is not. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
        give_up(pipe, "share the mounts of", "/");
}

/* Makes namespaces in a child and pins them while it lives. */
static int make(int flags, const struct clab_host *host, const char *hostname, const struct clab_binding *bindings,
                size_t count, const char *hidden, char *failed, size_t failed_size)
{
    int answers[2], release[2];
    if (pipe2(answers, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(release, O_CLOEXEC) < 0) {
        int error = -errno;
        close(answers[0]);
        close(answers[1]);
        return error;
    }
    pid_t child = fork();
    if (child == 0) {
        close(answers[0]);
        close(release[1]);
        if (unshare(flags) < 0)
            give_up(answers[1], "make namespaces for", hostname);
        if (lo_up() < 0)
            give_up(answers[1], "set lo up in", hostname);
        if (flags & CLONE_NEWNS)
            furnish(answers[1], hostname, bindings, count, hidden);
        struct answer done = {0};
        ssize_t ignored = write(answers[1], &done, sizeof done);
        char byte;
        ignored = read(release[0], &byte, 1);
        (void)ignored;
        _exit(0);
    }
    int result = child < 0 ? -errno : 0;
    close(answers[1]);
    close(release[0]);
    struct answer answer = {.error = EIO};
    if (!result) {
        ssize_t size;
        do {
            size = read(answers[0], &answer, sizeof answer);
        } while (size < 0 && errno == EINTR);
        if (answer.error && failed)
            snprintf(failed, failed_size, "%s", answer.what);
        result = -answer.error;
    }
    if (!result)
        result = pin(child, "net", host->network);
    if (!result && host->uts)
        result = pin(child, "uts", host->uts);
    if (!result && host->mounts)
        result = pin(child, "mnt", host->mounts);
    close(release[1]);
    close(answers[0]);
    if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
    return result;
}

int clab_make_network(const char *path)
{
    struct clab_host host = {.network = path};
    return make(CLONE_NEWNET, &host, "the underlay", NULL, 0, NULL, NULL, 0);
}

int clab_make_host(const struct clab_host *host, const char *hostname, const struct clab_binding *bindings,
                   size_t count, const char *hidden, char *failed, size_t failed_size)
{
    return make(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS, host, hostname, bindings, count, hidden, failed, failed_size);
}

struct opened {
    int network, mounts, uts;
};

static int open_host(const struct clab_host *host, struct opened *opened)
{
    opened->network = open(host->network, O_RDONLY | O_CLOEXEC);
    opened->uts = opened->network < 0 ? -1 : open(host->uts, O_RDONLY | O_CLOEXEC);
    opened->mounts = opened->uts < 0 ? -1 : open(host->mounts, O_RDONLY | O_CLOEXEC);
    return opened->mounts < 0 ? -errno : 0;
}

static void close_host(const struct opened *opened)
{
    int fds[] = {opened->network, opened->uts, opened->mounts};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int enter(const struct opened *opened)
{
    if (setns(opened->network, CLONE_NEWNET) < 0 || setns(opened->uts, CLONE_NEWUTS) < 0)
        return -errno;
    /* Threads that share their working directory cannot change their mount namespace. */
    if (unshare(CLONE_FS) < 0 || setns(opened->mounts, CLONE_NEWNS) < 0)
        return -errno;
    return 0;
}

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number <= 64; number++)
        sigaction(number, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int clab_spawn(const struct clab_host *host, char *const *argv, char *const *envp, const char *log, pid_t *pid)
{
    struct opened opened;
    int answers[2];
    int error = open_host(host, &opened);
    int output = error ? -1 : open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!error && (output < 0 || pipe2(answers, O_CLOEXEC) < 0))
        error = -errno;
    if (error) {
        close_host(&opened);
        if (output >= 0)
            close(output);
        return error;
    }
    pid_t child = fork();
    if (child == 0) {
        close(answers[0]);
        if (enter(&opened) < 0)
            give_up(answers[1], "enter", "");
        setsid();
        default_signals();
        pid_t inner = fork();
        if (inner < 0)
            give_up(answers[1], "fork", "");
        if (inner > 0)
            _exit(0);
        int null = open("/dev/null", O_RDONLY);
        if (chdir("/") < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
            give_up(answers[1], "redirect", "");
        struct answer own = {.error = 0};
        pid_t self = (pid_t)syscall(SYS_getpid);
        memcpy(own.what, &self, sizeof self);
        ssize_t ignored = write(answers[1], &own, sizeof own);
        (void)ignored;
        syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
        execve(argv[0], argv, envp);
        give_up(answers[1], "run", argv[0]);
    }
    error = child < 0 ? -errno : 0;
    close(answers[1]);
    close(output);
    close_host(&opened);
    *pid = 0;
    /* The pid first; then either a failure or, once the program runs, the end. */
    while (!error) {
        struct answer answer;
        ssize_t size = read(answers[0], &answer, sizeof answer);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < (ssize_t)sizeof answer)
            break;
        if (answer.error)
            error = -answer.error;
        else
            memcpy(pid, answer.what, sizeof *pid);
    }
    close(answers[0]);
    if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
    return !error && *pid == 0 ? -ECHILD : error;
}

int clab_exec(const struct clab_host *host, char *const *argv)
{
    struct opened opened;
    int error = open_host(host, &opened);
    if (!error)
        error = enter(&opened);
    close_host(&opened);
    if (error)
        return error;
    default_signals();
    syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    execvp(argv[0], argv);
    return -errno;
}

int clab_mount_over(const struct clab_host *host, const char *source, const char *target)
{
    struct opened opened;
    int error = open_host(host, &opened);
    pid_t child = error ? -1 : fork();
    if (child == 0) {
        if (enter(&opened) < 0)
            _exit(errno);
        while (umount2(target, MNT_DETACH) == 0) {
            /* What an earlier process bound there. */
        }
        _exit(mount(source, target, NULL, MS_BIND, NULL) < 0 ? errno : 0);
    }
    if (!error && child < 0)
        error = -errno;
    close_host(&opened);
    int status = 0;
    while (!error && waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            error = -errno;
    return error ? error : WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

int clab_bind(const char *source, const char *target)
{
    return mount(source, target, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

int clab_mount_memory(const char *path)
{
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0 || mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0)
        return -errno;
    return 0;
}

int clab_make_shared(const char *path)
{
    if (mount(NULL, path, NULL, MS_SHARED | MS_REC, NULL) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    /* Not a mount yet. */
    int error = clab_bind(path, path);
    if (!error && mount(NULL, path, NULL, MS_SHARED | MS_REC, NULL) < 0)
        error = -errno;
    return error ? error : 1;
}

int clab_unmount(const char *path)
{
    bool any = false;
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        any = true;
    return any || errno == EINVAL || errno == ENOENT ? 0 : -errno;
}

uint64_t clab_namespace(const char *path)
{
    struct stat entry;
    struct statfs system;
    if (stat(path, &entry) < 0 || statfs(path, &system) < 0 || system.f_type != NSFS_MAGIC)
        return 0;
    return entry.st_ino;
}

static int bridge_request(unsigned long request, const char *bridge, const char *port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = 0;
    if (port) {
        struct ifreq ifr = {.ifr_ifindex = (int)if_nametoindex(port)};
        strncpy(ifr.ifr_name, bridge, IFNAMSIZ - 1);
        if (ifr.ifr_ifindex == 0 || ioctl(fd, request, &ifr) < 0)
            result = errno ? -errno : -ENODEV;
    } else if (ioctl(fd, request, bridge) < 0) {
        result = -errno;
    }
    close(fd);
    return result;
}

int clab_bridge_add(const char *bridge) { return bridge_request(SIOCBRADDBR, bridge, NULL); }
int clab_bridge_join(const char *bridge, const char *port) { return bridge_request(SIOCBRADDIF, bridge, port); }
