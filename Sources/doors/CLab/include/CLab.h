/* Hosts that are namespaces, for `weft lab`: made, entered and taken down again. In C because a child of a process with many
 * threads runs nothing but system calls until it becomes another program. Functions return 0 on success and a negative errno value on failure. */
#ifndef CLAB_H
#define CLAB_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The three namespaces of a host, each as a file that it is bind-mounted on. */
struct clab_host {
    const char *network;
    const char *mounts;
    const char *uts;
};

/* Directories of the machine that a new host has under other names. */
struct clab_binding {
    const char *source;
    const char *target;
};

/* A network namespace with only lo, set up and bind-mounted on `path`. */
int clab_make_network(const char *path);
/* A host: network, mount and uts namespaces, its own sysfs and bpffs, and the bindings. `failed` gets
 * what could not be done. `hidden` is a directory tree that it does not see, or NULL. */
int clab_make_host(const struct clab_host *host, const char *hostname, const struct clab_binding *bindings,
                   size_t count, const char *hidden, char *failed, size_t failed_size);
/* Starts a program in a host in a session of its own, output appended to `log`, not a child of the caller. */
int clab_spawn(const struct clab_host *host, char *const *argv, char *const *envp, const char *log, pid_t *pid);
/* Replaces the process, whatever its threads, by a command in a host. Returns only on failure. */
int clab_exec(const struct clab_host *host, char *const *argv);

/* Binds, in a host, `source` over `target`, in place of what is mounted there. Both are paths of the host. */
int clab_mount_over(const struct clab_host *host, const char *source, const char *target);

int clab_bind(const char *source, const char *target);
/* Mounts memory on `path`; what is mounted below goes to no other mount namespace. */
int clab_mount_memory(const char *path);
/* As `ip netns` does to /run/netns. Returns 1 when the path has become a mount by it. */
int clab_make_shared(const char *path);
/* Removes all mounts on a path. */
int clab_unmount(const char *path);

/* The inode number that tells namespaces apart, or 0 when none is mounted at the path. */
uint64_t clab_namespace(const char *path);

/* In the current network namespace. */
int clab_bridge_add(const char *bridge);
int clab_bridge_join(const char *bridge, const char *port);

#endif
