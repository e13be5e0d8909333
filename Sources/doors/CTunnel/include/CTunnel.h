/* What the encrypting tunnel needs of the kernel and of libcrypto: AES-GCM under a key that stays set up, a TAP device with all offloads,
 * UDP sockets that send and take trains of datagrams in one call. Functions that can fail return -1 and set errno, if nothing else is said. */
#ifndef CTUNNEL_H
#define CTUNNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- AES-GCM (RFC 4106: a salt of 4 octets before the IV) ---- */

/* One key in one direction, for one thread at a time. */
struct ctn_key;

/* `key` is 16 or 32 octets and not kept; NULL if libcrypto refuses. */
struct ctn_key *ctn_key_make(const uint8_t *key, size_t length, const uint8_t salt[4], int seals);
void ctn_key_free(struct ctn_key *key);

/* Encrypts in place and writes the tag of 16 octets; 0, or -1 if libcrypto refuses. */
int ctn_seal(struct ctn_key *key, const uint8_t iv[8], const uint8_t *authenticated, size_t authenticated_length, uint8_t *content,
             size_t length, uint8_t *tag);
/* Decrypts to `content`; 0, or -1 if the tag is wrong: what stands there then is not to be used. */
int ctn_open(struct ctn_key *key, const uint8_t iv[8], const uint8_t *authenticated, size_t authenticated_length,
             const uint8_t *encrypted, uint8_t *content, size_t length, const uint8_t *tag);
/* Overwrites octets in a way that no compiler leaves out. */
void ctn_wipe(void *octets, size_t count);

/* ---- The device ---- */

/* Opens a queue of the TAP device, which is made if it is not there: frames with struct virtio_net_hdr (10 octets), many queues.
 * `keeps`: the device stays when nobody holds it. */
int ctn_tap_open(const char *name, int keeps);
/* Agrees on what may come unsegmented and with half a checksum: TCP, and trains of UDP where the kernel has them (Linux 6.2). */
int ctn_tap_offload(int tap);
/* read(2) that waits, or (`waits` 0) fails with EAGAIN. */
ssize_t ctn_read(int descriptor, void *area, size_t capacity, int waits);

/* ---- The socket ---- */

/* A UDP socket (IPv4) bound to the address and port, both in network order: Don't Fragment, trains of datagrams taken as one (UDP_GRO),
 * outer TOS told, several sockets on the port if `shares`. */
int ctn_udp_open(uint32_t address, uint16_t port, int shares);

/* Datagrams that follow each other, all of `segment` octets but the last, for one peer. */
struct ctn_train {
    const uint8_t *start;
    uint32_t length;
    uint16_t segment;
    uint8_t tos;
    uint32_t address; /* network order */
    uint16_t port;    /* network order */
};
enum { CTN_TRAINS = 64, CTN_TRAIN_SEGMENTS = 64, CTN_TRAIN_LENGTH = 65000 };
/* Sends up to CTN_TRAINS; waits while the socket is full. Returns how many were not sent for whatever reason; `error` is the last reason. */
int ctn_send(int socket, const struct ctn_train *trains, int count, int *error);
/* Sends one datagram, address and port in network order, or loses it where the socket is full. */
void ctn_send_or_lose(int socket, const uint8_t *start, uint32_t length, uint32_t address, uint16_t port);

/* What came: one datagram, or several of `segment` octets (the last may be shorter). */
struct ctn_arrival {
    uint32_t address; /* network order */
    uint16_t port;    /* network order */
    uint16_t segment; /* 0: one datagram */
    uint8_t tos;
};
/* Takes what comes next; -1 with EAGAIN if nothing is there and `waits` is 0. */
ssize_t ctn_receive(int socket, void *area, size_t capacity, struct ctn_arrival *arrival, int waits);

/* ---- The process ---- */

/* The calling thread's name, as ps -L shows it. */
void ctn_name_thread(const char *name);
/* Memory is neither swapped out nor dumped, nor looked at by other processes of the user. 0, or -1 if something of it could not be had. */
int ctn_keep_secrets(void);

/* ---- Control ---- */

/* A unix socket at the path that keeps messages apart (SOCK_SEQPACKET), for its owner only; a file that is there is replaced. */
int ctn_control_listen(const char *path);
/* The next connection, by root or this process's own user alone; others are closed and not waited for: EACCES. */
int ctn_control_accept(int listener);

#endif
