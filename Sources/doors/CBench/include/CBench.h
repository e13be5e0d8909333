/* The load generators of weft-bench: one thread each, blocking sockets, nothing but system calls in the measured loops, so that
 * what is measured is the path and not the generator. Only weft-bench links it. */
#ifndef WEFT_CBENCH_H
#define WEFT_CBENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Load generators: one thread, blocking sockets, nothing but system calls in the measured loops.
// Functions return 0 or a negative errno unless said otherwise. Addresses are IPv4 in host byte order.

/// Starts a program found by PATH with pipes for its standard input and output. The descriptors are close-on-exec.
int bench_spawn(char *const argv[], pid_t *pid, int *input, int *output);

/// Moves this thread into a network namespace (NULL: stays) and onto one CPU, raises its priority, and ties its life to
/// the parent's.
int bench_place(const char *netns, int cpu);

/// Nanoseconds of CLOCK_MONOTONIC, which all processes of the machine share.
uint64_t bench_now(void);

/// Answers 64-byte messages of one TCP connection after another. Writes "ready\n" once it listens; never returns 0.
int bench_serve_echo(uint32_t address, uint16_t port);
/// Accepts TCP connections and closes them. Writes "ready\n"; never returns 0.
int bench_serve_accept(uint32_t address, uint16_t port);
/// Counts UDP packets from the first on for `ns` nanoseconds. Writes "ready\n" first.
int bench_serve_sink(uint32_t address, uint16_t port, uint64_t ns, uint64_t *packets);

/// Exchanges 64-byte messages for `ns` nanoseconds after `warmup` of them; `samples` receives up to `capacity` round
/// trips in nanoseconds, `count` their number. The samples are sorted.
int bench_drive_echo(uint32_t address, uint16_t port, uint64_t ns, uint32_t warmup, uint32_t *samples, size_t capacity,
                     size_t *count);
/// Opens and closes TCP connections for `ns` nanoseconds.
int bench_drive_connect(uint32_t address, uint16_t port, uint64_t ns, uint64_t *connections);
/// Sends 64-byte UDP packets for `ns` nanoseconds.
int bench_drive_flood(uint32_t address, uint16_t port, uint64_t ns, uint64_t *packets);

/// Sends ICMP echoes of 64 bytes for `ns` nanoseconds, each once the former is answered, one a millisecond at most;
/// `samples` as with `bench_drive_echo`.
int bench_drive_ping(uint32_t address, uint64_t ns, uint32_t warmup, uint32_t *samples, size_t capacity, size_t *count);

/// Sends an ICMP echo every `interval` nanoseconds until one is answered; `answered` is when that was.
/// -ETIMEDOUT after `timeout` nanoseconds.
int bench_probe_ping(uint32_t address, uint64_t interval, uint64_t timeout, uint64_t *answered);
/// Sends a DNS query every `interval` nanoseconds until an answer holds a record; `answered` is when that was.
int bench_probe_dns(uint32_t address, uint16_t port, const uint8_t *message, size_t length, uint64_t interval,
                    uint64_t timeout, uint64_t *answered);

#endif
