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

static int clone_file(const char *path)
{
    return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static size_t file_count(const struct csb_layout *layout)
{
    size_t count = 0;
    while (layout->files && layout->files[2 * count])
        count++;
    return count;
}

static void clone_files(int control, const struct csb_layout *layout, int *trees)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    for (size_t i = 0; i < file_count(layout); i++) {
        trees[i] = clone_file(layout->files[2 * i]);
        if (trees[i] < 0 || mount_setattr(trees[i], "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
            csb_fail(control, 125, errno, "cannot use the file", layout->files[2 * i]);
    }
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

static void make_directory(int control, const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        csb_fail(control, 125, errno, "cannot make the directory", path);
}

static void mount_or_fail(int control, const char *type, const char *target, unsigned long flags, const char *options)
{
    if (mount(type, target, type, flags, options) < 0)
        csb_fail(control, 125, errno, "cannot mount", target);
}

/* Puts a detached file over `target`, which is made if it is missing. */
static void place_file(int control, int tree, const char *target)
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

#define SECRETS "/run/secrets"

/* Puts the host's files to their places. Secrets have a directory of their own; elsewhere the host's root is only covered. */
static void place_files(int control, const struct csb_layout *layout, const int *trees)
{
    bool has_secrets = false;
    for (size_t i = 0; i < file_count(layout); i++) {
        const char *target = layout->files[2 * i + 1];
        struct stat entry;
        if (strncmp(target, SECRETS "/", strlen(SECRETS "/")) == 0) {
            if (!has_secrets) {
                make_directory(control, "/run");
                make_directory(control, SECRETS);
                mount_or_fail(control, "tmpfs", SECRETS, MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=65536k");
                has_secrets = true;
            }
        } else if (!layout->rootfs && lstat(target, &entry) < 0) {
            csb_fail(control, 125, errno, "without a root file system of its own, nothing is there to be covered by", target);
        }
        place_file(control, trees[i], target);
    }
}

/* A device directory with what programs rely on and nothing of the host's disks. The file systems are
 * mounted without devices, so that CAP_MKNOD does not lead back to them. */
static void make_devices(int control, const struct sources *sources)
{
    make_directory(control, "/dev");
    mount_or_fail(control, "tmpfs", "/dev", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=755,size=65536k");
    for (size_t i = 0; i < DEVICES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/%s", devices[i]);
        place_file(control, sources->device[i], path);
    }
    make_directory(control, "/dev/pts");
    mount_or_fail(control, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    make_directory(control, "/dev/shm");
    mount_or_fail(control, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k");
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

static void change_root(int control, const char *rootfs)
{
    if (mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
        csb_fail(control, 125, errno, "cannot mount the root file system", rootfs);
    if (chdir(rootfs) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        csb_fail(control, 125, errno, "cannot change the root to", rootfs);
    /* The old root now lies over the new one at ".". */
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        csb_fail(control, 125, errno, "cannot leave the old root for", rootfs);
}

void csb_enter_layout(int control, const struct csb_layout *layout)
{
    set_up_network(control);
    if (sethostname(layout->hostname, strlen(layout->hostname)) < 0)
        csb_fail(control, 125, errno, "cannot set the host name", layout->hostname);

    /* Slave, not private: what the host unmounts must go here too, or a sandbox would pin it. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        csb_fail(control, 125, errno, "cannot detach the mounts from the host's", NULL);

    struct sources sources;
    sources.hosts = clone_file(layout->hosts);
    sources.resolv_conf = clone_file(layout->resolv_conf);
    sources.hostname = clone_file(layout->hostname_file);
    if (sources.hosts < 0 || sources.resolv_conf < 0 || sources.hostname < 0)
        csb_fail(control, 125, errno, "cannot use the sandbox's files, such as", layout->hosts);
    for (size_t i = 0; i < DEVICES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/%s", devices[i]);
        if ((sources.device[i] = clone_file(path)) < 0)
            csb_fail(control, 125, errno, "cannot use the device", path);
    }

    int files[file_count(layout) + 1];
    clone_files(control, layout, files);

    if (layout->rootfs)
        change_root(control, layout->rootfs);
    else
        while (umount2("/run/netns", MNT_DETACH) == 0) {
            /* Copies of network namespaces' mounts would keep these alive. */
        }
    struct mount_attr no_devices = {.attr_set = MOUNT_ATTR_NODEV};
    if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &no_devices, sizeof no_devices) < 0)
        csb_fail(control, 125, errno, "cannot take devices away from the file systems", NULL);

    make_directory(control, "/proc");
    make_directory(control, "/sys");
    make_directory(control, "/etc");
    mount_or_fail(control, "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_fail(control, "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    make_devices(control, &sources);
    place_file(control, sources.hosts, "/etc/hosts");
    place_file(control, sources.resolv_conf, "/etc/resolv.conf");
    place_file(control, sources.hostname, "/etc/hostname");
    place_files(control, layout, files);
    protect_proc();
}
