#define _GNU_SOURCE
#include "CSandbox.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <linux/close_range.h>
#include <unistd.h>

/* Longest wait for a command to start, in seconds: a mount or a file system that hangs must not take
 * the supervisor with it. */
#define START_SECONDS 30

struct report {
    char kind;      /* 'T' terminal attached to the message, 'E' failure */
    int code;
    char text[512];
};

struct go {
    uint16_t rows, columns;
};

static void send_report(int control, const struct report *report, int fd)
{
    struct iovec part = {.iov_base = (void *)report, .iov_len = sizeof *report};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } ancillary;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&ancillary, 0, sizeof ancillary);
        message.msg_control = ancillary.space;
        message.msg_controllen = sizeof ancillary.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    while (sendmsg(control, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

_Noreturn void csb_fail(int control, int code, int error, const char *what, const char *subject)
{
    struct report report = {.kind = 'E', .code = code};
    if (error)
        snprintf(report.text, sizeof report.text, "%s%s%s: %s", what, subject ? " " : "", subject ? subject : "",
                 strerror(error));
    else
        snprintf(report.text, sizeof report.text, "%s%s%s", what, subject ? " " : "", subject ? subject : "");
    send_report(control, &report, -1);
    _exit(code);
}

/* Collects reports until the command runs (the control socket closes on exec) or has failed. */
static void collect(int control, struct csb_outcome *outcome)
{
    outcome->code = 0;
    outcome->terminal = -1;
    outcome->text[0] = 0;
    struct timeval limit = {.tv_sec = START_SECONDS};
    setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (;;) {
        struct report report;
        struct iovec part = {.iov_base = &report, .iov_len = sizeof report};
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } ancillary;
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                                 .msg_control = ancillary.space, .msg_controllen = sizeof ancillary.space};
        ssize_t count = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno != ECONNRESET) {
            outcome->code = 125;
            snprintf(outcome->text, sizeof outcome->text, "the command did not start within %d seconds", START_SECONDS);
            break;
        }
        if (count < (ssize_t)sizeof report)
            break;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (report.kind == 'T' && header && header->cmsg_type == SCM_RIGHTS) {
            memcpy(&outcome->terminal, CMSG_DATA(header), sizeof outcome->terminal);
        } else if (report.kind == 'E') {
            outcome->code = report.code;
            memcpy(outcome->text, report.text, sizeof outcome->text);
            outcome->text[sizeof outcome->text - 1] = 0;
        }
    }
    if (outcome->code && outcome->terminal >= 0) {
        close(outcome->terminal);
        outcome->terminal = -1;
    }
    close(control);
}

static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number <= 64; number++)
        sigaction(number, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A pseudo terminal of the sandbox's own devpts, so that its name means something inside. */
static void take_terminal(int control, uint16_t rows, uint16_t columns)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0)
        csb_fail(control, 125, errno, "cannot open", "/dev/ptmx");
    int unlock = 0;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        csb_fail(control, 125, errno, "cannot unlock the terminal", NULL);
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        csb_fail(control, 125, errno, "cannot open the terminal", NULL);
    if (rows && columns) {
        struct winsize size = {.ws_row = rows, .ws_col = columns};
        ioctl(master, TIOCSWINSZ, &size);
    }
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        csb_fail(control, 125, errno, "cannot take the terminal", NULL);
    struct report report = {.kind = 'T'};
    send_report(control, &report, master);
    close(master);
    for (int fd = 0; fd < 3; fd++)
        dup2(slave, fd);
    close(slave);
}

static const char *find_variable(char *const *envp, const char *name)
{
    size_t length = strlen(name);
    for (; *envp; envp++)
        if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=')
            return *envp + length + 1;
    return NULL;
}

/* Looks the command up in the PATH of the command's own environment. Returns the errno that says most. */
static int search_and_exec(const struct csb_process *process, char *const *envp)
{
    const char *name = process->argv[0];
    if (!*name)
        return ENOENT;
    if (strchr(name, '/')) {
        execve(name, process->argv, envp);
        return errno;
    }
    const char *path = find_variable(envp, "PATH");
    if (!path)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    int result = ENOENT;
    while (*path) {
        size_t length = strcspn(path, ":");
        char candidate[4096];
        if (length && length + strlen(name) + 2 <= sizeof candidate) {
            memcpy(candidate, path, length);
            candidate[length] = '/';
            strcpy(candidate + length + 1, name);
            execve(candidate, process->argv, envp);
            if (errno != ENOENT && errno != ENOTDIR) {
                result = errno;
                if (errno != EACCES)
                    break;
            }
        }
        path += length;
        if (*path == ':')
            path++;
    }
    return result;
}

/* The common last steps of a sandbox's first process and of an exec. */
static _Noreturn void become(int control, const struct csb_process *process, uint16_t rows, uint16_t columns)
{
    reset_signals();
    setsid();
    if (process->terminal) {
        take_terminal(control, rows, columns);
    } else {
        /* Copies first: a source may itself be 0, 1 or 2. */
        int copies[3];
        for (int fd = 0; fd < 3; fd++)
            if ((copies[fd] = fcntl(process->stdio[fd], F_DUPFD_CLOEXEC, 3)) < 0)
                csb_fail(control, 125, errno, "cannot set up standard input and output", NULL);
        for (int fd = 0; fd < 3; fd++)
            if (dup2(copies[fd], fd) < 0)
                csb_fail(control, 125, errno, "cannot set up standard input and output", NULL);
    }
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        csb_fail(control, 125, errno, "cannot close descriptors", NULL);
    const char *directory = process->working_directory && *process->working_directory ? process->working_directory : "/";
    if (chdir(directory) < 0)
        csb_fail(control, 126, errno, "cannot enter the working directory", directory);
    umask(022);
    char *const *envp = csb_confine(control, process->confinement, process->envp);
    if (process->init)
        csb_split_init(control, process->terminal);
    int error = search_and_exec(process, envp);
    if (error == ENOENT)
        csb_fail(control, 127, 0, "command not found:", process->argv[0]);
    csb_fail(control, 126, error, "cannot run", process->argv[0]);
}

static int control_pair(int pair[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

static pid_t fork_with(unsigned long flags)
{
    /* glibc's clone() wants a stack; the raw call with none behaves like fork. */
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static _Noreturn void first_process(int control, const struct csb_layout *layout, const struct csb_process *process)
{
    /* A sandbox without its supervisor could be neither attached to nor waited for. Should the supervisor
     * be gone already, the control socket says so. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NAME, "weft-sandbox", 0, 0, 0);
    struct go go;
    ssize_t count;
    do {
        count = recv(control, &go, sizeof go, 0);
    } while (count < 0 && errno == EINTR);
    if (count != (ssize_t)sizeof go)
        _exit(125);     /* the supervisor is gone */
    csb_join_groups(control, process->confinement);
    csb_enter_layout(control, layout);
    become(control, process, go.rows, go.columns);
}

int csb_create(const struct csb_layout *layout, const struct csb_process *process, pid_t *pid, int *control)
{
    int pair[2];
    int error = control_pair(pair);
    if (error)
        return error;
    pid_t child = fork_with(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWIPC);
    if (child < 0) {
        error = -errno;
        close(pair[0]);
        close(pair[1]);
        return error;
    }
    if (child == 0) {
        close(pair[0]);
        first_process(pair[1], layout, process);
    }
    close(pair[1]);
    *pid = child;
    *control = pair[0];
    return 0;
}

void csb_start(int control, uint16_t rows, uint16_t columns, struct csb_outcome *outcome)
{
    struct go go = {rows, columns};
    send(control, &go, sizeof go, MSG_NOSIGNAL);
    collect(control, outcome);
}

int csb_exec(pid_t target, const struct csb_process *process, pid_t *pid, struct csb_outcome *outcome)
{
    int pair[2];
    int error = control_pair(pair);
    if (error)
        return error;
    int pids[2];
    if (pipe2(pids, O_CLOEXEC) < 0) {
        error = -errno;
        close(pair[0]);
        close(pair[1]);
        return error;
    }
    int target_fd = (int)syscall(SYS_pidfd_open, target, 0);
    pid_t child = target_fd < 0 ? -1 : fork_with(0);
    if (child < 0) {
        error = -errno;
        if (target_fd >= 0)
            close(target_fd);
        close(pair[0]);
        close(pair[1]);
        close(pids[0]);
        close(pids[1]);
        return error;
    }
    if (child == 0) {
        close(pair[0]);
        csb_join_groups(pair[1], process->confinement);
        if (setns(target_fd, CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNS) < 0)
            csb_fail(pair[1], 125, errno, "cannot enter the sandbox", NULL);
        /* A process keeps its pid namespace: only a child is inside. CLONE_PARENT makes it the
         * supervisor's child, which then sees its exit code. */
        pid_t inner = fork_with(CLONE_PARENT);
        if (inner < 0)
            csb_fail(pair[1], 125, errno, "cannot fork in the sandbox", NULL);
        if (inner == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            become(pair[1], process, process->rows, process->columns);
        }
        ssize_t ignored = write(pids[1], &inner, sizeof inner);
        (void)ignored;
        _exit(0);
    }
    close(target_fd);
    close(pair[1]);
    close(pids[1]);
    pid_t inner = 0;
    ssize_t count;
    do {
        count = read(pids[0], &inner, sizeof inner);
    } while (count < 0 && errno == EINTR);
    close(pids[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    *pid = count == (ssize_t)sizeof inner ? inner : 0;
    collect(pair[0], outcome);
    if (outcome->code && *pid) {
        kill(*pid, SIGKILL);
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {
        }
        *pid = 0;
    }
    return 0;
}
