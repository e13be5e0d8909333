#define _GNU_SOURCE
#include "CBPF.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/magic.h>

/* Linux 6.6; older headers lack them. */
#define CBPF_TCX_INGRESS 46
#define CBPF_LINK_TYPE_TCX 11

struct cbpf_object {
    struct bpf_object *object;
};

/* --- messages --- */

enum { log_size = 1 << 16 };
static _Thread_local char log_text[log_size];
static _Thread_local size_t log_length;

static int keep_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
    char *text = NULL;
    int length;

    if (level == LIBBPF_DEBUG)
        return 0;
    length = vasprintf(&text, format, arguments);
    if (length < 0)
        return 0;
    /* The verifier's last lines name the fault, so the end is kept. */
    size_t take = (size_t)length < log_size - 1 ? (size_t)length : log_size - 1;
    if (log_length + take > log_size - 1) {
        size_t keep = log_size - 1 - take;
        memmove(log_text, log_text + log_length - keep, keep);
        log_length = keep;
    }
    memcpy(log_text + log_length, text + length - take, take);
    log_length += take;
    log_text[log_length] = 0;
    free(text);
    return length;
}

static void install_print(void) { libbpf_set_print(keep_message); }

void cbpf_log_reset(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, install_print);
    log_length = 0;
    log_text[0] = 0;
}

const char *cbpf_log(void) { return log_text; }

/* libbpf 1 returns negative errnos and sets errno as well. */
static int failure(void) { return errno > 0 ? -errno : -EINVAL; }

/* --- objects --- */

int cbpf_object_open(const void *bytes, size_t length, struct cbpf_object **result)
{
    struct bpf_object *object = bpf_object__open_mem(bytes, length, NULL);
    struct cbpf_object *box;

    if (!object)
        return failure();
    box = malloc(sizeof(*box));
    if (!box) {
        bpf_object__close(object);
        return -ENOMEM;
    }
    box->object = object;
    *result = box;
    return 0;
}

void cbpf_object_close(struct cbpf_object *box)
{
    bpf_object__close(box->object);
    free(box);
}

int cbpf_object_set_max_entries(struct cbpf_object *box, const char *name, uint32_t entries)
{
    struct bpf_map *map = bpf_object__find_map_by_name(box->object, name);

    return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

int cbpf_object_map_shape(struct cbpf_object *box, const char *name, struct cbpf_map_shape *shape)
{
    struct bpf_map *map = bpf_object__find_map_by_name(box->object, name);

    if (!map)
        return -ENOENT;
    shape->type = bpf_map__type(map);
    shape->key_size = bpf_map__key_size(map);
    shape->value_size = bpf_map__value_size(map);
    shape->max_entries = bpf_map__max_entries(map);
    shape->flags = bpf_map__map_flags(map);
    return 0;
}

int cbpf_object_reuse_map(struct cbpf_object *box, const char *name, int descriptor)
{
    struct bpf_map *map = bpf_object__find_map_by_name(box->object, name);

    return map ? bpf_map__reuse_fd(map, descriptor) : -ENOENT;
}

int cbpf_object_load(struct cbpf_object *box) { return bpf_object__load(box->object); }

static int duplicate(int descriptor)
{
    int copy = descriptor < 0 ? descriptor : fcntl(descriptor, F_DUPFD_CLOEXEC, 3);

    return copy < 0 ? failure() : copy;
}

int cbpf_object_map(struct cbpf_object *box, const char *name)
{
    struct bpf_map *map = bpf_object__find_map_by_name(box->object, name);

    return map ? duplicate(bpf_map__fd(map)) : -ENOENT;
}

int cbpf_object_program(struct cbpf_object *box, const char *name)
{
    struct bpf_program *program = bpf_object__find_program_by_name(box->object, name);

    return program ? duplicate(bpf_program__fd(program)) : -ENOENT;
}

int cbpf_object_attach_type(struct cbpf_object *box, const char *name)
{
    struct bpf_program *program = bpf_object__find_program_by_name(box->object, name);

    return program ? (int)bpf_program__expected_attach_type(program) : -ENOENT;
}

/* --- pins and links --- */

int cbpf_pin(int descriptor, const char *path) { return bpf_obj_pin(descriptor, path); }
int cbpf_get_pinned(const char *path) { return bpf_obj_get(path); }

int cbpf_tcx_attach(int program, uint32_t ifindex)
{
    return bpf_link_create(program, (int)ifindex, CBPF_TCX_INGRESS, NULL);
}

int cbpf_tcx_supported(int program)
{
    /* No interface has index 0: a kernel that knows the attach type misses the interface, another one refuses the type. */
    int result = cbpf_tcx_attach(program, 0);

    return result == -ENODEV ? 1 : result == -EINVAL ? 0 : result;
}

int cbpf_link_update(int link, int program) { return bpf_link_update(link, program, NULL); }

int cbpf_link_detach(int link) { return bpf_link_detach(link); }

int64_t cbpf_tcx_ifindex(int link)
{
    struct bpf_link_info info;
    uint32_t length = sizeof(info);
    int error;

    memset(&info, 0, sizeof(info));
    error = bpf_obj_get_info_by_fd(link, &info, &length);
    if (error)
        return error;
    if (info.type != CBPF_LINK_TYPE_TCX)
        return -EMEDIUMTYPE;
    /* struct { __u32 ifindex; __u32 attach_type; } tcx, at the same place as xdp's index. */
    return info.xdp.ifindex;
}

int cbpf_cgroup_attach(int program, int cgroup, uint32_t attach_type)
{
    return bpf_link_create(program, cgroup, (enum bpf_attach_type)attach_type, NULL);
}

int cbpf_cgroup_of_link(int link, uint64_t *cgroup)
{
    struct bpf_link_info info;
    uint32_t length = sizeof(info);
    int error;

    memset(&info, 0, sizeof(info));
    error = bpf_obj_get_info_by_fd(link, &info, &length);
    if (error)
        return error;
    *cgroup = info.type == BPF_LINK_TYPE_CGROUP ? info.cgroup.cgroup_id : 0;
    return 0;
}

/* --- maps --- */

int cbpf_map_shape(int map, struct cbpf_map_shape *shape)
{
    struct bpf_map_info info;
    uint32_t length = sizeof(info);
    int error;

    memset(&info, 0, sizeof(info));
    error = bpf_obj_get_info_by_fd(map, &info, &length);
    if (error)
        return error;
    shape->type = info.type;
    shape->key_size = info.key_size;
    shape->value_size = info.value_size;
    shape->max_entries = info.max_entries;
    shape->flags = info.map_flags;
    return 0;
}

int cbpf_map_lookup(int map, const void *key, void *value) { return bpf_map_lookup_elem(map, key, value); }

int cbpf_map_update(int map, const void *key, const void *value, bool only_new)
{
    return bpf_map_update_elem(map, key, value, only_new ? BPF_NOEXIST : BPF_ANY);
}

int cbpf_map_delete(int map, const void *key) { return bpf_map_delete_elem(map, key); }

int cbpf_map_update_batch(int map, const void *keys, const void *values, uint32_t count)
{
    DECLARE_LIBBPF_OPTS(bpf_map_batch_opts, options);

    return bpf_map_update_batch(map, keys, values, &count, &options);
}

static bool is_per_cpu(uint32_t type)
{
    return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
           type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

int64_t cbpf_map_dump(int map, void **all_keys, void **all_values)
{
    DECLARE_LIBBPF_OPTS(bpf_map_batch_opts, options);
    struct cbpf_map_shape shape;
    char *keys = NULL, *values = NULL;
    /* The cursor is a bucket number for a hash, a key for the rest. */
    char in[64], out[64];
    uint32_t batch = 1024;
    size_t stored = 0, capacity = 0, value_size;
    bool first = true;
    int error = cbpf_map_shape(map, &shape);

    if (error)
        return error;
    if (shape.key_size > sizeof(in))
        return -EMSGSIZE;
    value_size = shape.value_size;
    if (is_per_cpu(shape.type)) {
        int cpus = libbpf_num_possible_cpus();
        if (cpus < 0)
            return cpus;
        value_size = (value_size + 7) / 8 * 8 * (size_t)cpus;
    }
    for (;;) {
        uint32_t count = batch;

        if (stored + batch > capacity) {
            size_t wanted = (stored + batch) * 2;
            char *more_keys = realloc(keys, wanted * shape.key_size);
            if (more_keys)
                keys = more_keys;
            char *more_values = realloc(values, wanted * value_size);
            if (more_values)
                values = more_values;
            if (!more_keys || !more_values) {
                error = -ENOMEM;
                break;
            }
            capacity = wanted;
        }
        error = bpf_map_lookup_batch(
            map, first ? NULL : in, out, keys + stored * shape.key_size, values + stored * value_size, &count,
            &options);
        /* One bucket holds more than the batch: nothing was copied of it. */
        if (error == -ENOSPC && batch < 1u << 24) {
            batch *= 2;
            continue;
        }
        if (error && error != -ENOENT)
            break;
        stored += count;
        if (error == -ENOENT) {
            *all_keys = keys;
            *all_values = values;
            return (int64_t)stored;
        }
        memcpy(in, out, sizeof(in));
        first = false;
    }
    free(keys);
    free(values);
    return error;
}

int cbpf_possible_cpus(void) { return libbpf_num_possible_cpus(); }

/* --- file systems --- */

static int has_file_system(const char *path, uint32_t magic)
{
    struct statfs information;

    if (statfs(path, &information) != 0)
        return failure();
    return (uint32_t)information.f_type == magic;
}

int cbpf_is_bpffs(const char *path) { return has_file_system(path, BPF_FS_MAGIC); }

int cbpf_is_cgroup2(const char *path) { return has_file_system(path, CGROUP2_SUPER_MAGIC); }

int cbpf_mount_bpffs(const char *path)
{
    return mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700") ? failure() : 0;
}

int cbpf_test_run(
    int program, const void *packet, uint32_t length, void *output, uint32_t *output_length, int32_t *action)
{
    DECLARE_LIBBPF_OPTS(bpf_test_run_opts, options);
    int error;

    options.data_in = packet;
    options.data_size_in = length;
    options.data_out = output;
    options.data_size_out = *output_length;
    options.repeat = 1;
    error = bpf_prog_test_run_opts(program, &options);
    if (error)
        return error;
    *output_length = options.data_size_out;
    *action = (int32_t)options.retval;
    return 0;
}
