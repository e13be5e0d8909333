/* What a sandbox gets to see besides its root: files and directories of the host's, and file systems in memory. */
#define _GNU_SOURCE
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRETS "/run/secrets"
/* More than any host's root holds. */
#define ROOT_ENTRIES 512

static bool is_secret(const struct csb_mount *wanted)
{
    return strncmp(wanted->target, SECRETS "/", strlen(SECRETS "/")) == 0;
}

/* Makes the directories of a path, up to its last slash or all of them. Returns 0 or a negative errno value. */
static int make_directories(const char *path, bool all)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && (path[i] || !all))
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

/* The host's other mounts have no say in what a sandbox sees, and devices are the sandbox's own alone. */
static int take(const struct csb_mount *wanted)
{
    if (wanted->make_source) {
        int error = make_directories(wanted->source, true);
        if (error) {
            errno = -error;
            return -1;
        }
    }
    int tree = csb_clone(wanted->source, wanted->recursive);
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_NODEV | (wanted->read_only ? MOUNT_ATTR_RDONLY : 0),
        .propagation = wanted->slave ? 0 : MS_PRIVATE,
    };
    if (tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) < 0)
        return -1;
    return tree;
}

void csb_take_mounts(int control, const struct csb_layout *layout, int *trees)
{
    for (size_t i = 0; i < layout->mount_count; i++) {
        const struct csb_mount *wanted = &layout->mounts[i];
        trees[i] = wanted->source ? take(wanted) : -1;
        if (wanted->source && trees[i] < 0)
            csb_fail(control, 125, errno, "cannot mount", wanted->source);
    }
}

/* The file systems that are the sandbox's alone: what is made there is made nowhere else. */
struct own {
    dev_t device[ROOT_ENTRIES];
    size_t count;
};

static void own_file_system(struct own *own, const char *path)
{
    struct stat entry;
    if (own->count < ROOT_ENTRIES && stat(path, &entry) == 0)
        own->device[own->count++] = entry.st_dev;
}

/* Whether a path that is not there would be made in a file system of the sandbox's own. */
static bool is_own(const struct own *own, const char *path)
{
    char part[PATH_MAX];
    struct stat entry;
    snprintf(part, sizeof part, "%s", path);
    do {
        char *slash = strrchr(part, '/');
        if (!slash || slash == part) {
            strcpy(part, "/");
            break;
        }
        *slash = 0;
    } while (stat(part, &entry) < 0);
    if (stat(part, &entry) < 0)
        return false;
    for (size_t i = 0; i < own->count; i++)
        if (own->device[i] == entry.st_dev)
            return true;
    return false;
}

static void make_target(int control, const struct csb_layout *layout, const struct own *own, const char *target)
{
    struct stat entry;
    if (lstat(target, &entry) == 0)
        return;
    if (!is_own(own, target) && !layout->rootfs)
        csb_fail(control, 125, 0, "without a root file system of its own (--rootfs), nothing is mounted where the host has nothing:", target);
    int error = make_directories(target, false);
    if (error)
        csb_fail(control, 125, -error, "cannot make the directory for", target);
}

static void place_directory(int control, int tree, const char *target)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        csb_fail(control, 125, errno, "cannot make the directory", target);
    if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
        csb_fail(control, 125, errno, "cannot mount a directory at", target);
}

static void place_tmpfs(int control, const struct csb_mount *wanted)
{
    if (mkdir(wanted->target, 0755) < 0 && errno != EEXIST)
        csb_fail(control, 125, errno, "cannot make the directory", wanted->target);
    csb_mount_or_fail(control, "tmpfs", wanted->target,
                      MS_NOSUID | MS_NODEV | MS_NOEXEC | (wanted->read_only ? MS_RDONLY : 0), wanted->options);
}

/* Secrets have a directory of their own, which goes with the sandbox. */
static void place_secrets(int control, struct own *own)
{
    csb_make_directory(control, "/run");
    csb_make_directory(control, SECRETS);
    csb_mount_or_fail(control, "tmpfs", SECRETS, MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=65536k");
    own_file_system(own, SECRETS);
}

static void place(int control, const struct csb_mount *wanted, int tree)
{
    if (tree < 0)
        return place_tmpfs(control, wanted);
    struct stat entry;
    if (fstat(tree, &entry) < 0)
        csb_fail(control, 125, errno, "cannot look at", wanted->source);
    if (S_ISDIR(entry.st_mode))
        place_directory(control, tree, wanted->target);
    else
        csb_place_file(control, tree, wanted->target);
    close(tree);
}

void csb_place_mounts(int control, const struct csb_layout *layout, const int *trees, bool has_own_root)
{
    struct own own = {.count = 0};
    bool has_secrets = false;
    if (has_own_root)
        own_file_system(&own, "/");
    for (size_t i = 0; i < layout->mount_count; i++) {
        const struct csb_mount *wanted = &layout->mounts[i];
        if (is_secret(wanted) && !has_secrets) {
            place_secrets(control, &own);
            has_secrets = true;
        }
        make_target(control, layout, &own, wanted->target);
        place(control, wanted, trees[i]);
        if (!wanted->source)
            own_file_system(&own, wanted->target);
    }
}

bool csb_needs_own_root(const struct csb_layout *layout)
{
    for (size_t i = 0; i < layout->mount_count; i++) {
        char top[NAME_MAX + 2];
        const char *target = layout->mounts[i].target;
        size_t length = 1 + strcspn(target + 1, "/");
        struct stat entry;
        if (length >= sizeof top)
            continue;
        memcpy(top, target, length);
        top[length] = 0;
        if (lstat(top, &entry) < 0)
            return true;
    }
    return false;
}

struct root_entry {
    char name[NAME_MAX + 1];
    char link[PATH_MAX];    /* where a symbolic link leads; else empty */
    bool is_directory;
    int tree;
};

static bool read_entry(const char *name, struct root_entry *entry)
{
    char path[NAME_MAX + 2];
    struct stat status;
    snprintf(path, sizeof path, "/%s", name);
    snprintf(entry->name, sizeof entry->name, "%s", name);
    if (lstat(path, &status) < 0)
        return false;
    entry->is_directory = S_ISDIR(status.st_mode);
    entry->tree = -1;
    ssize_t length = S_ISLNK(status.st_mode) ? readlink(path, entry->link, sizeof entry->link - 1) : 0;
    entry->link[length > 0 ? length : 0] = 0;
    if (!entry->link[0] && (entry->tree = csb_clone(path, true)) < 0)
        return false;
    return true;
}

static size_t read_root(struct root_entry *entries)
{
    DIR *root = opendir("/");
    size_t count = 0;
    struct dirent *item;
    while (root && count < ROOT_ENTRIES && (item = readdir(root)))
        if (strcmp(item->d_name, ".") && strcmp(item->d_name, "..") && read_entry(item->d_name, &entries[count]))
            count++;
    if (root)
        closedir(root);
    return count;
}

void csb_assemble_root(int control, const char *place)
{
    struct root_entry *entries = calloc(ROOT_ENTRIES, sizeof *entries);
    if (!entries)
        csb_fail(control, 125, ENOMEM, "cannot make a root", NULL);
    /* All of it before the new root is mounted somewhere in it. */
    size_t count = read_root(entries);
    csb_mount_or_fail(control, "tmpfs", place, 0, "mode=755,size=65536k");
    if (chdir(place) < 0)
        csb_fail(control, 125, errno, "cannot enter the new root", place);
    for (size_t i = 0; i < count; i++) {
        const struct root_entry *entry = &entries[i];
        if (entry->link[0]) {
            if (symlink(entry->link, entry->name) < 0)
                csb_fail(control, 125, errno, "cannot link", entry->name);
        } else if (entry->is_directory) {
            place_directory(control, entry->tree, entry->name);
        } else {
            csb_place_file(control, entry->tree, entry->name);
        }
        if (entry->tree >= 0)
            close(entry->tree);
    }
    free(entries);
    csb_change_root(control, ".");
}
