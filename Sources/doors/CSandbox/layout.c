/* The inside of a sandbox: mounts, host name, network settings. Runs in the sandbox's first process. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int csb_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t count = write(fd, text, strlen(text));
    int error = count < 0 ? -errno : 0;
    close(fd);
    return error;
}

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
#define DEVICES (sizeof devices / sizeof *devices)

/* Detached copies of single files, taken while the host's tree is still in sight. */
struct sources {
    int device[DEVICES];
    int hosts, resolv_conf, hostname;
};

int csb_clone(const char *path, bool recursive)
{
    return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
}

static void set_up_network(int control)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        csb_fail(control, 125, errno, "cannot set lo up", NULL);
    close(fd);
    /* As Docker has it: ping without a raw socket, low ports without a capability. */
    csb_write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    csb_write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
}

/* Those of the namespaces that are the sandbox's, whose host's /proc is still in sight. */
static void set_sysctls(int control, char *const *sysctls)
{
    for (; sysctls && sysctls[0]; sysctls += 2) {
        char path[512];
        snprintf(path, sizeof path, "/proc/sys/%s", sysctls[0]);
        int error = csb_write_file(path, sysctls[1]);
        if (error)
            csb_fail(control, 125, -error, "cannot set the sysctl", sysctls[0]);
    }
}

void csb_make_directory(int control, const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        csb_fail(control, 125, errno, "cannot make the directory", path);
}

void csb_mount_or_fail(int control, const char *type, const char *target, unsigned long flags, const char *options)
{
    if (mount(type, target, type, flags, options) < 0)
        csb_fail(control, 125, errno, "cannot mount", target);
}

void csb_place_file(int control, int tree, const char *target)
{
    struct stat entry;
    if (lstat(target, &entry) < 0) {
        int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            csb_fail(control, 125, errno, "cannot make the file", target);
        close(fd);
    }
    if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) == 0)
        return;
    /* A symbolic link that leads nowhere: cover the link itself. */
    if (errno == ENOENT && move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) == 0)
        return;
    csb_fail(control, 125, errno, "cannot mount a file over", target);
}

/* A device directory with what programs rely on and nothing of the host's disks. The file systems are
 * mounted without devices, so that CAP_MKNOD does not lead back to them. */
static void make_devices(int control, const struct sources *sources)
{
    csb_make_directory(control, "/dev");
    csb_mount_or_fail(control, "tmpfs", "/dev", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=755,size=65536k");
    for (size_t i = 0; i < DEVICES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/%s", devices[i]);
        csb_place_file(control, sources->device[i], path);
    }
    csb_make_directory(control, "/dev/pts");
    csb_mount_or_fail(control, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    csb_make_directory(control, "/dev/shm");
    csb_mount_or_fail(control, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k");
    static const char *const links[][2] = {
        {"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            csb_fail(control, 125, errno, "cannot link", links[i][1]);
}

/* Root's user id alone may write much of /proc, capabilities or not. */
static void protect_proc(void)
{
    static const char *const read_only[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"};
    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
        if (mount(read_only[i], read_only[i], NULL, MS_BIND, NULL) == 0)
            mount_setattr(AT_FDCWD, read_only[i], 0, &attributes, sizeof attributes);
    }
    static const char *const hidden[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        mount("/dev/null", hidden[i], NULL, MS_BIND, NULL);
}

void csb_change_root(int control, const char *root)
{
    if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        csb_fail(control, 125, errno, "cannot change the root to", root);
    /* The old root now lies over the new one at ".". */
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        csb_fail(control, 125, errno, "cannot leave the old root for", root);
}

/* Returns whether the root has something that the host's has not. */
static bool enter_root(int control, const struct csb_layout *layout)
{
    if (layout->rootfs) {
        if (mount(layout->rootfs, layout->rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
            csb_fail(control, 125, errno, "cannot mount the root file system", layout->rootfs);
        csb_change_root(control, layout->rootfs);
        return true;
    }
    bool is_own = csb_needs_own_root(layout);
    if (is_own)
        csb_assemble_root(control, layout->directory);
    while (umount2("/run/netns", MNT_DETACH) == 0) {
        /* Copies of network namespaces' mounts would keep these alive. */
    }
    return is_own;
}

/* The root and what is mounted in it, but for what the sandbox mounts itself. */
static void protect_root(int control, bool is_over)
{
    struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
    struct mount_attr open = {.attr_clr = MOUNT_ATTR_RDONLY};
    if (mount_setattr(AT_FDCWD, "/", is_over ? 0 : AT_RECURSIVE, &sealed, sizeof sealed) < 0
        || (!is_over && mount_setattr(AT_FDCWD, "/", 0, &open, sizeof open) < 0))
        csb_fail(control, 125, errno, "cannot make the root file system read-only", NULL);
}

void csb_enter_layout(int control, const struct csb_layout *layout)
{
    set_up_network(control);
    set_sysctls(control, layout->sysctls);
    if (sethostname(layout->hostname, strlen(layout->hostname)) < 0)
        csb_fail(control, 125, errno, "cannot set the host name", layout->hostname);

    /* Slave, not private: what the host unmounts must go here too, or a sandbox would pin it. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        csb_fail(control, 125, errno, "cannot detach the mounts from the host's", NULL);

    struct sources sources;
    sources.hosts = csb_clone(layout->hosts, false);
    sources.resolv_conf = csb_clone(layout->resolv_conf, false);
    sources.hostname = csb_clone(layout->hostname_file, false);
    if (sources.hosts < 0 || sources.resolv_conf < 0 || sources.hostname < 0)
        csb_fail(control, 125, errno, "cannot use the sandbox's files, such as", layout->hosts);
    for (size_t i = 0; i < DEVICES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/%s", devices[i]);
        if ((sources.device[i] = csb_clone(path, false)) < 0)
            csb_fail(control, 125, errno, "cannot use the device", path);
    }

    int mounts[layout->mount_count + 1];
    csb_take_mounts(control, layout, mounts);

    bool has_own_root = enter_root(control, layout);
    if (layout->read_only)
        protect_root(control, false);
    struct mount_attr no_devices = {.attr_set = MOUNT_ATTR_NODEV};
    if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &no_devices, sizeof no_devices) < 0)
        csb_fail(control, 125, errno, "cannot take devices away from the file systems", NULL);

    csb_make_directory(control, "/proc");
    csb_make_directory(control, "/sys");
    csb_make_directory(control, "/etc");
    csb_mount_or_fail(control, "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    csb_mount_or_fail(control, "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    make_devices(control, &sources);
    csb_place_file(control, sources.hosts, "/etc/hosts");
    csb_place_file(control, sources.resolv_conf, "/etc/resolv.conf");
    csb_place_file(control, sources.hostname, "/etc/hostname");
    csb_place_mounts(control, layout, mounts, has_own_root);
    protect_proc();
    if (layout->read_only)
        protect_root(control, true);
}
