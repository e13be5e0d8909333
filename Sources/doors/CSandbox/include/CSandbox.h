/* Namespaces, mounts and process start of sandboxes.
 *
 * Everything that runs between clone and execve is here in C: after a fork only one thread of the
 * parent exists in the child, so nothing of a language runtime with threads or locks may run there.
 * The supervisor `weft-shim` is the caller of csb_create and csb_exec; it is single-threaded.
 * Functions return 0 or a descriptor on success and a negative errno value on failure. */
#ifndef CSANDBOX_H
#define CSANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A limit as of setrlimit(2); all bits set: none. */
struct csb_limit {
    int resource;
    uint64_t soft, hard;
    const char *name;             /* for what is said of it */
};

/* Who a process is, and what it may do. */
struct csb_confinement {
    const char *user;             /* a name or number, which may have ":group" after it; empty: root */
    char *const *groups;          /* more groups, by name or number; ends with NULL */
    uint64_t capabilities;        /* those that it may have, a bit each */
    bool no_new_privileges;
    int oom_score_adj;
    const struct csb_limit *limits;
    size_t limit_count;
    char *const *cgroups;         /* the host's files that a process joins its control groups by; ends with NULL */
};

/* A command to run inside a sandbox. */
struct csb_process {
    char *const *argv;            /* ends with NULL; at least one word */
    char *const *envp;            /* ends with NULL */
    const char *working_directory;
    bool terminal;                /* makes a pseudo terminal inside the sandbox */
    int stdio[3];                 /* descriptors for 0, 1, 2 when there is no terminal */
    uint16_t rows, columns;       /* initial size of the terminal, 0 = leave */
    const struct csb_confinement *confinement;
    bool init;                    /* the sandbox's first process is to look after it */
};

/* Something that is seen inside a sandbox at a path of its own. */
struct csb_mount {
    const char *source;           /* a file or directory of the host's; NULL: a new tmpfs */
    const char *target;
    const char *options;          /* of a tmpfs */
    bool read_only;
    bool recursive;               /* with what is mounted below the source */
    bool make_source;             /* makes the source, a directory, where it is missing */
    bool slave;                   /* what the host mounts below the source later is seen too */
};

/* What a sandbox looks like from inside. */
struct csb_layout {
    const char *hostname;
    const char *rootfs;           /* NULL: the host's root, in a private mount namespace */
    const char *directory;        /* the sandbox's own on the host: a place to make a root at */
    const char *hosts;            /* files that appear as /etc/hosts, /etc/resolv.conf, /etc/hostname */
    const char *resolv_conf;
    const char *hostname_file;
    const struct csb_mount *mounts;     /* in the order in which they are placed */
    size_t mount_count;
    char *const *sysctls;         /* pairs of a path below /proc/sys and a value; ends with NULL */
    bool read_only;               /* nothing of the root file system can be written; only with one */
};

/* How the start of a process went. */
struct csb_outcome {
    int code;                     /* 0 = runs; 125, 126 or 127 with text otherwise */
    int terminal;                 /* master side of the terminal, or -1 */
    char text[512];
};

/* Makes the namespaces with a first process that waits for csb_start on `control`. */
int csb_create(const struct csb_layout *layout, const struct csb_process *process, pid_t *pid, int *control);
/* Lets the process of csb_create go and waits until its command runs or has failed. Closes `control`. */
void csb_start(int control, uint16_t rows, uint16_t columns, struct csb_outcome *outcome);
/* Runs another command in the namespaces of process `target`, as a child of the caller. */
int csb_exec(pid_t target, const struct csb_process *process, pid_t *pid, struct csb_outcome *outcome);

/* Starts `path` detached: own session, stdio on /dev/null, `fd` as descriptor 3, no other descriptor,
 * no child left to wait for once it has made itself independent with csb_detach. */
int csb_spawn(const char *path, char *const *argv, char *const *envp, int fd);
/* Continues in a child in a session of its own while the process itself exits. */
int csb_detach(void);
int csb_protect_from_oom(void);

/* Sets how many descriptors this process and its children may have open; they may raise it again. 0 or -errno. */
int csb_limit_descriptors(unsigned long count);

/* The start time of a process in clock ticks since boot, or 0 when there is none (or only a zombie). */
uint64_t csb_start_time(pid_t pid);

/* Unix stream sockets. Paths may be longer than sockaddr_un holds. */
int csb_listen(const char *directory, const char *name);
int csb_connect(const char *path, int limit_ms);

/* Reads and sends on the socket take at most this long, then fail with EAGAIN; 0: for ever. Returns 0 or -errno. */
int csb_limit(int fd, int limit_ms);
int csb_accept(int fd);
int csb_socketpair(int fds[2]);
int csb_pipe(int fds[2]);
int csb_set_nonblocking(int fd, bool on);
/* Writes with MSG_NOSIGNAL. */
ssize_t csb_send(int fd, const void *bytes, size_t count);

/* A descriptor on which blocked SIGCHLD arrive; SIGPIPE is ignored from then on. */
int csb_child_signals(void);
/* Reaps one child: its pid and its exit code in the shell's manner, or 0 when none is ready. */
pid_t csb_reap(int *exit_code);
int csb_kill(pid_t pid, int signal);

/* Terminal size and raw mode of the client's side. */
int csb_get_size(int fd, uint16_t *rows, uint16_t *columns);
int csb_set_size(int fd, uint16_t rows, uint16_t columns);
/* A new pseudo terminal of this side: the master's descriptor, and the other side's path. */
int csb_open_terminal(char *path, size_t size);
/* Puts a terminal into raw mode, and csb_restore_terminal back. One terminal per process at a time. */
int csb_raw_terminal(int fd);
void csb_restore_terminal(void);
/* Delivers signals as bytes on a pipe until csb_signal_pipe_close. One pipe per process at a time. */
int csb_signal_pipe(const int *signals, size_t count);
void csb_signal_pipe_close(void);

/* inotify on a directory: something in it was written, created or renamed. */
int csb_watch_directory(const char *path);

#endif
