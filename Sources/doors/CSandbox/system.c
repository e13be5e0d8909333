/* System calls that Swift cannot see or cannot make safely, for the supervisor and its clients. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int csb_spawn(const char *path, char *const *argv, char *const *envp, int fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    /* First the descriptor, above what the other actions touch: it may itself be 0, 1 or 2. */
    int error = posix_spawn_file_actions_adddup2(&actions, fd, 3);
    for (int i = 0; i < 3 && !error; i++)
        error = posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, 4);
    if (!error)
        error = posix_spawn_file_actions_addchdir_np(&actions, "/");
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    if (!error)
        error = posix_spawn(&pid, path, &actions, &attributes, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error)
        return -error;
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return 0;   /* somebody else reaps: whether it started shows on the descriptor */
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

int csb_detach(void)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid > 0)
        _exit(0);
    return setsid() < 0 ? -errno : 0;
}

int csb_protect_from_oom(void)
{
    return csb_write_file("/proc/self/oom_score_adj", "-500");
}

int csb_limit_descriptors(unsigned long count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

uint64_t csb_start_time(pid_t pid)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0)
        return 0;
    text[count] = 0;
    /* The command's name may hold anything: count fields from its closing bracket. */
    char *field = strrchr(text, ')');
    if (!field || field[1] == 0 || field[2] == 'Z' || field[2] == 'X')
        return 0;
    for (int i = 0; i < 20 && field; i++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field, NULL, 10) : 0;
}

static int fill_address(struct sockaddr_un *address, const char *path)
{
    if (strlen(path) >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, path);
    return 0;
}

/* The address of `name` in an open directory, always short enough. */
static int fill_address_at(struct sockaddr_un *address, int directory, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", directory, name);
    return fill_address(address, path);
}

int csb_listen(const char *directory, const char *name)
{
    int parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return -errno;
    struct sockaddr_un address;
    int error = fill_address_at(&address, parent, name);
    int fd = error ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!error && fd < 0)
        error = -errno;
    if (!error) {
        unlinkat(parent, name, 0);
        mode_t mask = umask(0077);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0)
            error = -errno;
        umask(mask);
    }
    close(parent);
    if (error) {
        if (fd >= 0)
            close(fd);
        return error;
    }
    return fd;
}

int csb_limit(int fd, int limit_ms)
{
    struct timeval limit = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
        return -errno;
    return 0;
}

int csb_connect(const char *path, int limit_ms)
{
    struct sockaddr_un address;
    int parent = -1;
    if (fill_address(&address, path) < 0) {
        const char *slash = strrchr(path, '/');
        char directory[4096];
        if (!slash || (size_t)(slash - path) >= sizeof directory)
            return -ENAMETOOLONG;
        memcpy(directory, path, (size_t)(slash - path));
        directory[slash - path] = 0;
        parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0)
            return -errno;
        int error = fill_address_at(&address, parent, slash + 1);
        if (error) {
            close(parent);
            return error;
        }
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? -errno : limit_ms ? csb_limit(fd, limit_ms) : 0;
    while (!error && connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        if (errno != EINTR)
            error = -errno;
    if (parent >= 0)
        close(parent);
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}

int csb_accept(int fd)
{
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return client < 0 ? -errno : client;
}

int csb_socketpair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
}

int csb_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0;
}

int csb_set_nonblocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

ssize_t csb_send(int fd, const void *bytes, size_t count)
{
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int csb_child_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

pid_t csb_reap(int *exit_code)
{
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0)
        return 0;
    *exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return pid;
}

int csb_kill(pid_t pid, int signal)
{
    return kill(pid, signal) < 0 ? -errno : 0;
}

int csb_get_size(int fd, uint16_t *rows, uint16_t *columns)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0)
        return -errno;
    *rows = size.ws_row;
    *columns = size.ws_col;
    return 0;
}

int csb_set_size(int fd, uint16_t rows, uint16_t columns)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int csb_open_terminal(char *path, size_t size)
{
    int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (unlockpt(fd) < 0 || ptsname_r(fd, path, size) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static int raw_fd = -1;
static struct termios raw_saved;

int csb_raw_terminal(int fd)
{
    if (tcgetattr(fd, &raw_saved) < 0)
        return -errno;
    struct termios raw = raw_saved;
    cfmakeraw(&raw);
    if (tcsetattr(fd, TCSANOW, &raw) < 0)
        return -errno;
    raw_fd = fd;
    return 0;
}

void csb_restore_terminal(void)
{
    if (raw_fd >= 0)
        tcsetattr(raw_fd, TCSANOW, &raw_saved);
    raw_fd = -1;
}

#define SIGNALS_MAX 32
static int signal_pipe[2] = {-1, -1};
static int signal_numbers[SIGNALS_MAX];
static struct sigaction signal_saved[SIGNALS_MAX];
static size_t signal_count;

static void on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t ignored = write(signal_pipe[1], &byte, 1);
    (void)ignored;
    errno = saved;
}

int csb_signal_pipe(const int *signals, size_t count)
{
    if (signal_pipe[0] >= 0)
        return -EBUSY;
    if (count > SIGNALS_MAX)
        return -EINVAL;
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    /* A handler and a pipe, not signalfd: other threads of the process do not block these signals. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    signal_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (sigaction(signals[i], &action, &signal_saved[signal_count]) == 0)
            signal_numbers[signal_count++] = signals[i];
    }
    return signal_pipe[0];
}

void csb_signal_pipe_close(void)
{
    for (size_t i = 0; i < signal_count; i++)
        sigaction(signal_numbers[i], &signal_saved[i], NULL);
    signal_count = 0;
    for (int i = 0; i < 2; i++) {
        if (signal_pipe[i] >= 0)
            close(signal_pipe[i]);
        signal_pipe[i] = -1;
    }
}

int csb_watch_directory(const char *path)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (inotify_add_watch(fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}
