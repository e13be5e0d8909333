#define _GNU_SOURCE
#include "CBench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { message_size = 64 };

int bench_spawn(char *const argv[], pid_t *pid, int *input, int *output) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0) return -errno;
    if (pipe2(out, O_CLOEXEC) < 0) {
        int code = errno;
        close(in[0]);
        close(in[1]);
        return -code;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    int code = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (code != 0) {
        close(in[1]);
        close(out[0]);
        return -code;
    }
    *input = in[1];
    *output = out[0];
    return 0;
}

int bench_place(const char *netns, int cpu) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (netns) {
        int fd = open(netns, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return -errno;
        int result = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
        close(fd);
        if (result < 0) return result;
    }
    // Other work on the machine should disturb as little as can be.
    setpriority(PRIO_PROCESS, 0, -20);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

uint64_t bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in name(uint32_t address, uint16_t port) {
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};
    result.sin_addr.s_addr = htonl(address);
    return result;
}

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void ready(void) {
    if (write(1, "ready\n", 6) != 6) _exit(1);
}

/// A bound socket, listening for SOCK_STREAM; or a negative errno.
static int server(int type, uint32_t address, uint16_t port) {
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in own = name(address, port);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0 || (type == SOCK_STREAM && listen(fd, 4096) < 0)) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

static int whole(int fd, char *buffer) {
    for (size_t got = 0; got < message_size;) {
        ssize_t n = recv(fd, buffer + got, message_size - got, 0);
        if (n == 0) return -ECONNRESET;
        if (n < 0) return -errno;
        got += (size_t)n;
    }
    return 0;
}

int bench_serve_echo(uint32_t address, uint16_t port) {
    int fd = server(SOCK_STREAM, address, port);
    if (fd < 0) return fd;
    ready();
    for (;;) {
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (peer < 0) continue;
        no_delay(peer);
        char buffer[message_size];
        while (whole(peer, buffer) == 0 && send(peer, buffer, message_size, 0) == message_size) {}
        close(peer);
    }
}

int bench_serve_accept(uint32_t address, uint16_t port) {
    int fd = server(SOCK_STREAM, address, port);
    if (fd < 0) return fd;
    ready();
    for (;;) {
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (peer >= 0) close(peer);
    }
}

int bench_serve_sink(uint32_t address, uint16_t port, uint64_t ns, uint64_t *packets) {
    int fd = server(SOCK_DGRAM, address, port), size = 4 << 20;
    if (fd < 0) return fd;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ready();
    char buffer[2048];
    if (recv(fd, buffer, sizeof buffer, 0) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    patience = (struct timeval){.tv_usec = 100000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    uint64_t end = bench_now() + ns, count = 1;
    // The clock is read once in 16 packets: it would be a part of the load otherwise.
    for (unsigned turn = 0; (turn & 15) != 0 || bench_now() < end; turn++)
        if (recv(fd, buffer, sizeof buffer, 0) >= 0) count++;
        else if (bench_now() >= end) break;
    *packets = count;
    close(fd);
    return 0;
}

static int client(int type, uint32_t address, uint16_t port) {
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct sockaddr_in peer = name(address, port);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int bench_drive_echo(uint32_t address, uint16_t port, uint64_t ns, uint32_t warmup, uint32_t *samples, size_t capacity,
                     size_t *count) {
    int fd = client(SOCK_STREAM, address, port), result = 0;
    if (fd < 0) return fd;
    no_delay(fd);
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char buffer[message_size] = {0};
    uint64_t begin = bench_now(), end = begin + ns;
    size_t taken = 0;
    while (taken < capacity && (warmup > 0 || begin < end)) {
        if (send(fd, buffer, message_size, 0) != message_size) result = -errno;
        if (result == 0) result = whole(fd, buffer);
        if (result < 0) break;
        uint64_t now = bench_now();
        if (warmup > 0) {
            if (--warmup == 0) end = now + ns;
        } else {
            samples[taken++] = now - begin > UINT32_MAX ? UINT32_MAX : (uint32_t)(now - begin);
        }
        begin = now;
    }
    close(fd);
    qsort(samples, taken, sizeof *samples, ascending);
    *count = taken;
    return result;
}

int bench_drive_connect(uint32_t address, uint16_t port, uint64_t ns, uint64_t *connections) {
    // Reset instead of an orderly end: with TIME_WAIT the ports would run out within seconds.
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    uint64_t end = bench_now() + ns, count = 0;
    while (bench_now() < end) {
        int fd = client(SOCK_STREAM, address, port);
        if (fd < 0) return fd;
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        count++;
    }
    *connections = count;
    return 0;
}

int bench_drive_flood(uint32_t address, uint16_t port, uint64_t ns, uint64_t *packets) {
    int fd = client(SOCK_DGRAM, address, port);
    if (fd < 0) return fd;
    char buffer[message_size] = {0};
    uint64_t end = bench_now() + ns, count = 0;
    for (unsigned turn = 0; (turn & 15) != 0 || bench_now() < end; turn++)
        if (send(fd, buffer, message_size, 0) == message_size) count++;
    *packets = count;
    close(fd);
    return 0;
}

static uint16_t checksum(const uint8_t *bytes, size_t length) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/// Waits for something to read; 0 when nothing came in `ns` nanoseconds.
static int readable(int fd, uint64_t ns) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    struct timespec wait = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    return ppoll(&entry, 1, &wait, NULL) > 0;
}

/// An ICMP echo request with `sequence`, and this process's number to know the reply by.
static void make_echo(uint8_t packet[message_size], uint16_t sequence) {
    memset(packet, 0, message_size);
    uint16_t own = (uint16_t)getpid();
    packet[0] = ICMP_ECHO;
    packet[4] = (uint8_t)(own >> 8);
    packet[5] = (uint8_t)own;
    packet[6] = (uint8_t)(sequence >> 8);
    packet[7] = (uint8_t)sequence;
    uint16_t sum = checksum(packet, message_size);
    packet[2] = (uint8_t)(sum >> 8);
    packet[3] = (uint8_t)sum;
}

/// Reads one packet; whether it is `peer`'s reply to `packet`.
static int is_reply(int fd, struct sockaddr_in peer, const uint8_t packet[message_size]) {
    uint8_t buffer[2048];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &size);
    if (n < 28 || from.sin_addr.s_addr != peer.sin_addr.s_addr) return 0;
    const uint8_t *icmp = buffer + (buffer[0] & 15) * 4;
    return icmp[0] == ICMP_ECHOREPLY && memcmp(icmp + 4, packet + 4, 4) == 0;
}

int bench_probe_ping(uint32_t address, uint64_t interval, uint64_t timeout, uint64_t *answered) {
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd < 0) return -errno;
    struct sockaddr_in peer = name(address, 0);
    uint8_t packet[message_size];
    make_echo(packet, 0);
    uint64_t begin = bench_now(), next = begin;
    for (uint64_t now = begin; now - begin < timeout; now = bench_now()) {
        if (now >= next) {
            sendto(fd, packet, sizeof packet, 0, (struct sockaddr *)&peer, sizeof peer);
            next = now + interval;
        }
        if (readable(fd, next - now) && is_reply(fd, peer, packet)) {
            *answered = bench_now();
            close(fd);
            return 0;
        }
    }
    close(fd);
    return -ETIMEDOUT;
}

int bench_drive_ping(uint32_t address, uint64_t ns, uint32_t warmup, uint32_t *samples, size_t capacity, size_t *count) {
    const uint64_t interval = 1000000, patience = 1000000000;
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP), result = 0;
    if (fd < 0) return -errno;
    struct sockaddr_in peer = name(address, 0);
    uint64_t end = bench_now() + ns;
    size_t taken = 0;
    for (uint16_t sequence = 0; taken < capacity && (taken == 0 || bench_now() < end); sequence++) {
        uint8_t packet[message_size];
        make_echo(packet, sequence);
        uint64_t begin = bench_now(), now = begin;
        if (sendto(fd, packet, sizeof packet, 0, (struct sockaddr *)&peer, sizeof peer) < 0) result = -errno;
        // The host's own echo requests come by here, too.
        while (result == 0 && !(readable(fd, patience) && is_reply(fd, peer, packet)))
            if (bench_now() - begin > patience) result = -ETIMEDOUT;
        if (result < 0) break;
        now = bench_now();
        if (warmup > 0) warmup--;
        else samples[taken++] = (uint32_t)(now - begin);
        struct timespec wait = {.tv_nsec = (long)(now - begin < interval ? interval - (now - begin) : 0)};
        nanosleep(&wait, NULL);
    }
    close(fd);
    qsort(samples, taken, sizeof *samples, ascending);
    *count = taken;
    return result;
}

int bench_probe_dns(uint32_t address, uint16_t port, const uint8_t *message, size_t length, uint64_t interval,
                    uint64_t timeout, uint64_t *answered) {
    int fd = client(SOCK_DGRAM, address, port);
    if (fd < 0) return fd;
    uint8_t buffer[2048];
    uint64_t begin = bench_now(), next = begin;
    for (uint64_t now = begin; now - begin < timeout; now = bench_now()) {
        if (now >= next) {
            send(fd, message, length, 0);
            next = now + interval;
        }
        if (!readable(fd, next - now)) continue;
        ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        // A DNS answer (RFC 1035, 4.1.1): QR set, RCODE 0, ANCOUNT above 0.
        if (n >= 12 && (buffer[2] & 0x80) && (buffer[3] & 15) == 0 && (buffer[6] || buffer[7])) {
            *answered = bench_now();
            close(fd);
            return 0;
        }
    }
    close(fd);
    return -ETIMEDOUT;
}
