/* libbpf and bpf(2) for Swift: no option struct and no variadic function crosses this header.
 *
 * Functions return a descriptor, a count or 0, and on failure a negative errno.
 * What libbpf has to say about a failure, the verifier's log among it, is kept per thread: cbpf_log.
 */
#ifndef CBPF_H
#define CBPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cbpf_object;

struct cbpf_map_shape {
    uint32_t type;
    uint32_t key_size;
    uint32_t value_size;
    uint32_t max_entries;
    uint32_t flags;
};

/* The calling thread's messages since cbpf_log_reset, with the end kept when there are too many; valid until the next call here. */
const char *cbpf_log(void);
void cbpf_log_reset(void);

/* An object file in memory, copied by libbpf. Nothing is in the kernel before cbpf_object_load. */
int cbpf_object_open(const void *bytes, size_t length, struct cbpf_object **object);
void cbpf_object_close(struct cbpf_object *object);
int cbpf_object_set_max_entries(struct cbpf_object *object, const char *map, uint32_t entries);
int cbpf_object_map_shape(struct cbpf_object *object, const char *map, struct cbpf_map_shape *shape);
/* Makes the object use an existing map; `descriptor` stays the caller's. */
int cbpf_object_reuse_map(struct cbpf_object *object, const char *map, int descriptor);
int cbpf_object_load(struct cbpf_object *object);
/* Descriptors of their own, to be closed by the caller, that outlive the object. */
int cbpf_object_map(struct cbpf_object *object, const char *map);
int cbpf_object_program(struct cbpf_object *object, const char *program);

/* Where a program is attached, by the section of its source (enum bpf_attach_type). */
int cbpf_object_attach_type(struct cbpf_object *object, const char *program);

int cbpf_pin(int descriptor, const char *path);
int cbpf_get_pinned(const char *path);

/* tcx ingress (Linux 6.6) on an interface of the calling thread's network namespace. */
int cbpf_tcx_attach(int program, uint32_t ifindex);
/* 1 when the kernel has tcx, 0 when not. Attaches nothing; `program` is any that could be attached. */
int cbpf_tcx_supported(int program);
int cbpf_link_update(int link, int program);
/* Takes the program off at once, whoever holds the link; no error where the interface is gone. */
int cbpf_link_detach(int link);
/* 0 when the interface is gone; a negative errno when the descriptor is no tcx ingress link. */
int64_t cbpf_tcx_ifindex(int link);

/* A link to a control group, of which `cgroup` is an open directory. */
int cbpf_cgroup_attach(int program, int cgroup, uint32_t attach_type);
/* The number of the link's control group: 0 when that is gone, or the link is to something else. */
int cbpf_cgroup_of_link(int link, uint64_t *cgroup);

int cbpf_map_shape(int map, struct cbpf_map_shape *shape);
int cbpf_map_lookup(int map, const void *key, void *value);
int cbpf_map_update(int map, const void *key, const void *value, bool only_new);
int cbpf_map_delete(int map, const void *key);
/* Sets `count` entries. Not atomic: after a failure some are set. */
int cbpf_map_update_batch(int map, const void *keys, const void *values, uint32_t count);
/* Reads a whole map into two arrays that the caller frees. A value of a per-CPU map takes 8-byte-aligned slots, one for each possible CPU. */
int64_t cbpf_map_dump(int map, void **keys, void **values);

/* How many values a per-CPU map holds for each key. */
int cbpf_possible_cpus(void);

/* 1 when `path` lies on a mounted BPF file system, 0 when not. */
int cbpf_is_bpffs(const char *path);
/* 1 when `path` is a directory of cgroup2, 0 when not. */
int cbpf_is_cgroup2(const char *path);
int cbpf_mount_bpffs(const char *path);

/* Runs a program once over `packet` (BPF_PROG_TEST_RUN), written to `output` as it left. Returns the program's action in `action`. */
int cbpf_test_run(
    int program, const void *packet, uint32_t length, void *output, uint32_t *output_length, int32_t *action);

#endif
