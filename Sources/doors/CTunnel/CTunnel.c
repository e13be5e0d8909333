#define _GNU_SOURCE
#include "CTunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* Linux 6.2, which Debian 12's headers lack. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

struct ctn_key {
    EVP_CIPHER_CTX *context;
    uint8_t nonce[12];
};

struct ctn_key *ctn_key_make(const uint8_t *octets, size_t length, const uint8_t salt[4], int seals)
{
    const EVP_CIPHER *cipher = length == 16 ? EVP_aes_128_gcm() : length == 32 ? EVP_aes_256_gcm() : NULL;
    struct ctn_key *key = cipher ? calloc(1, sizeof(*key)) : NULL;

    if (!key)
        return NULL;
    memcpy(key->nonce, salt, 4);
    key->context = EVP_CIPHER_CTX_new();
    if (!key->context || EVP_CipherInit_ex(key->context, cipher, NULL, octets, NULL, seals ? 1 : 0) != 1) {
        ctn_key_free(key);
        return NULL;
    }
    return key;
}

void ctn_key_free(struct ctn_key *key)
{
    if (!key)
        return;
    EVP_CIPHER_CTX_free(key->context); /* overwrites the schedule */
    OPENSSL_cleanse(key, sizeof(*key));
    free(key);
}

void ctn_wipe(void *octets, size_t count)
{
    OPENSSL_cleanse(octets, count);
}

int ctn_seal(struct ctn_key *key, const uint8_t iv[8], const uint8_t *authenticated, size_t authenticated_length, uint8_t *content,
             size_t length, uint8_t *tag)
{
    int count;

    memcpy(key->nonce + 4, iv, 8);
    /* The key stays: setting it again costs more than a small packet. */
    if (EVP_EncryptInit_ex(key->context, NULL, NULL, NULL, key->nonce) != 1 ||
        EVP_EncryptUpdate(key->context, NULL, &count, authenticated, (int)authenticated_length) != 1 ||
        EVP_EncryptUpdate(key->context, content, &count, content, (int)length) != 1 ||
        EVP_EncryptFinal_ex(key->context, content + length, &count) != 1 ||
        EVP_CIPHER_CTX_ctrl(key->context, EVP_CTRL_AEAD_GET_TAG, 16, tag) != 1)
        return -1;
    return 0;
}

int ctn_open(struct ctn_key *key, const uint8_t iv[8], const uint8_t *authenticated, size_t authenticated_length,
             const uint8_t *encrypted, uint8_t *content, size_t length, const uint8_t *tag)
{
    int count;

    memcpy(key->nonce + 4, iv, 8);
    if (EVP_DecryptInit_ex(key->context, NULL, NULL, NULL, key->nonce) != 1 ||
        EVP_DecryptUpdate(key->context, NULL, &count, authenticated, (int)authenticated_length) != 1 ||
        EVP_DecryptUpdate(key->context, content, &count, encrypted, (int)length) != 1 ||
        EVP_CIPHER_CTX_ctrl(key->context, EVP_CTRL_AEAD_SET_TAG, 16, (void *)tag) != 1 ||
        EVP_DecryptFinal_ex(key->context, content + length, &count) != 1)
        return -1;
    return 0;
}

int ctn_tap_open(const char *name, int keeps)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (tap < 0)
        return -1;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(tap, TUNSETIFF, &request) || ioctl(tap, TUNSETPERSIST, keeps ? 1 : 0)) {
        int reason = errno;

        close(tap);
        errno = reason;
        return -1;
    }
    return tap;
}

int ctn_tap_offload(int tap)
{
    const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

    if (ioctl(tap, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0)
        return 0;
    return ioctl(tap, TUNSETOFFLOAD, tcp);
}

ssize_t ctn_read(int descriptor, void *area, size_t capacity, int waits)
{
    struct iovec part = { .iov_base = area, .iov_len = capacity };
    ssize_t count;

    do
        count = waits ? read(descriptor, area, capacity) : preadv2(descriptor, &part, 1, -1, RWF_NOWAIT);
    while (count < 0 && errno == EINTR);
    /* A device that cannot be read without waiting has nothing, as far as that goes. */
    if (count < 0 && errno == EOPNOTSUPP)
        errno = EAGAIN;
    return count;
}

int ctn_udp_open(uint32_t address, uint16_t port, int shares)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = address };
    const int on = 1, discover = IP_PMTUDISC_DO, room = 8 << 20;
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int reason;

    if (udp < 0)
        return -1;
    if ((shares && setsockopt(udp, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on))) ||
        setsockopt(udp, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof(discover)) ||
        setsockopt(udp, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)) || bind(udp, (struct sockaddr *)&here, sizeof(here))) {
        reason = errno;
        close(udp);
        errno = reason;
        return -1;
    }
    /* A kernel without it gives datagrams one by one. */
    setsockopt(udp, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
    if (setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
        setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    if (setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
        setsockopt(udp, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    return udp;
}

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
};

static size_t add_control(struct msghdr *message, size_t used, int level, int type, const void *value, size_t length)
{
    struct cmsghdr *part = (struct cmsghdr *)((char *)message->msg_control + used);

    part->cmsg_level = level;
    part->cmsg_type = type;
    part->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(part), value, length);
    return used + CMSG_SPACE(length);
}

/* A train's datagrams one by one, where the way out does not take it whole (EIO: no checksum offload; EINVAL: a segment too long). */
static int send_singly(int socket, const struct ctn_train *train, const struct sockaddr_in *to, int *error)
{
    int lost = 0;

    for (uint32_t offset = 0; offset < train->length; offset += train->segment) {
        uint32_t length = train->length - offset < train->segment ? train->length - offset : train->segment;

        while (sendto(socket, train->start + offset, length, MSG_NOSIGNAL, (const struct sockaddr *)to, sizeof(*to)) < 0)
            if (errno != EINTR) {
                *error = errno;
                lost = 1;
                break;
            }
    }
    return lost;
}

void ctn_send_or_lose(int socket, const uint8_t *start, uint32_t length, uint32_t address, uint16_t port)
{
    const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = address };

    while (sendto(socket, start, length, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof(to)) < 0)
        if (errno != EINTR)
            return;
}

int ctn_send(int socket, const struct ctn_train *trains, int count, int *error)
{
    struct mmsghdr messages[CTN_TRAINS];
    struct sockaddr_in targets[CTN_TRAINS];
    struct iovec parts[CTN_TRAINS];
    union control controls[CTN_TRAINS];
    int sent = 0, lost = 0;

    if (count > CTN_TRAINS)
        count = CTN_TRAINS;
    memset(messages, 0, sizeof(messages[0]) * (size_t)count);
    for (int i = 0; i < count; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        size_t used = 0;

        targets[i] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = trains[i].port, .sin_addr.s_addr = trains[i].address };
        parts[i] = (struct iovec){ .iov_base = (void *)trains[i].start, .iov_len = trains[i].length };
        message->msg_name = &targets[i];
        message->msg_namelen = sizeof(targets[i]);
        message->msg_iov = &parts[i];
        message->msg_iovlen = 1;
        message->msg_control = &controls[i];
        if (trains[i].length > trains[i].segment)
            used = add_control(message, used, IPPROTO_UDP, UDP_SEGMENT, &trains[i].segment, sizeof(uint16_t));
        if (trains[i].tos) {
            int tos = trains[i].tos;

            used = add_control(message, used, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
        }
        message->msg_controllen = used;
        if (!used)
            message->msg_control = NULL;
    }
    while (sent < count) {
        int result = sendmmsg(socket, messages + sent, (unsigned)(count - sent), MSG_NOSIGNAL);

        if (result > 0) {
            sent += result;
            continue;
        }
        if (errno == EINTR)
            continue;
        *error = errno;
        if ((errno == EIO || errno == EINVAL) && trains[sent].length > trains[sent].segment)
            lost += send_singly(socket, &trains[sent], &targets[sent], error);
        else
            lost++;
        sent++;
    }
    return lost;
}

ssize_t ctn_receive(int socket, void *area, size_t capacity, struct ctn_arrival *arrival, int waits)
{
    struct sockaddr_in from = { 0 };
    struct iovec part = { .iov_base = area, .iov_len = capacity };
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int)) * 2];
    } control;
    struct msghdr message = {
        .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
    };
    ssize_t count;

    do
        count = recvmsg(socket, &message, waits ? 0 : MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return count;
    *arrival = (struct ctn_arrival){ .address = from.sin_addr.s_addr, .port = from.sin_port };
    for (struct cmsghdr *found = CMSG_FIRSTHDR(&message); found; found = CMSG_NXTHDR(&message, found)) {
        if (found->cmsg_level == IPPROTO_IP && found->cmsg_type == IP_TOS)
            arrival->tos = *(uint8_t *)CMSG_DATA(found);
        if (found->cmsg_level == IPPROTO_UDP && found->cmsg_type == UDP_GRO) {
            int segment;

            memcpy(&segment, CMSG_DATA(found), sizeof(segment));
            arrival->segment = segment > 0 && segment < 65536 ? (uint16_t)segment : 0;
        }
    }
    return count;
}

void ctn_name_thread(const char *name)
{
    prctl(PR_SET_NAME, name);
}

int ctn_keep_secrets(void)
{
    const struct rlimit none = { 0, 0 };
    int failed = setrlimit(RLIMIT_CORE, &none) != 0;

    failed |= prctl(PR_SET_DUMPABLE, 0) != 0;
    /* On fault: areas for whole trains are not touched before they are used. */
    failed |= mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0;
    return failed ? -1 : 0;
}

static int control_address(const char *path, struct sockaddr_un *address)
{
    if (strlen(path) >= sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    strcpy(address->sun_path, path);
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static int closed(int descriptor)
{
    int reason = errno;

    close(descriptor);
    errno = reason;
    return -1;
}

int ctn_control_listen(const char *path)
{
    struct sockaddr_un address;
    int listener = control_address(path, &address);
    mode_t former;
    int failed;

    if (listener < 0)
        return -1;
    if (unlink(path) && errno != ENOENT)
        return closed(listener);
    former = umask(0177);
    failed = bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8);
    umask(former);
    return failed ? closed(listener) : listener;
}

int ctn_control_accept(int listener)
{
    struct ucred who;
    socklen_t length = sizeof(who);
    int control;

    do
        control = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    while (control < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (control < 0)
        return -1;
    if (getsockopt(control, SOL_SOCKET, SO_PEERCRED, &who, &length) || (who.uid != 0 && who.uid != geteuid())) {
        close(control);
        errno = EACCES;
        return -1;
    }
    return control;
}
