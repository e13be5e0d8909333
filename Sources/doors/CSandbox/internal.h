#ifndef CSANDBOX_INTERNAL_H
#define CSANDBOX_INTERNAL_H

#include "CSandbox.h"

#include <stdbool.h>

/* Reports a failure on the control socket ("what subject: error") and ends the process with `code`. */
_Noreturn void csb_fail(int control, int code, int error, const char *what, const char *subject);
/* Gives a new sandbox its network settings, host name and mounts; ends the process on failure. */
void csb_enter_layout(int control, const struct csb_layout *layout);
/* Returns 0 or a negative errno value. */
int csb_write_file(const char *path, const char *text);

/* Makes this process one of the control groups that it is to be in, by their paths on the host. */
void csb_join_groups(int control, const struct csb_confinement *wanted);
/* Makes this process who it is to be, with no more than it may do. Returns its environment. */
char *const *csb_confine(int control, const struct csb_confinement *wanted, char *const *envp);
/* Returns in a child of this process, which looks after it from then on and ends as it does. */
void csb_split_init(int control, bool terminal);

/* The parts of the layout that others have a share in. */
int csb_clone(const char *path, bool recursive);
void csb_make_directory(int control, const char *path);
void csb_mount_or_fail(int control, const char *type, const char *target, unsigned long flags, const char *options);
/* Puts a detached file over `target`, which is made if it is missing. */
void csb_place_file(int control, int tree, const char *target);

/* Takes what a sandbox gets to see of the host, while the host's tree is still in sight: a descriptor for each mount, -1 for a tmpfs. */
void csb_take_mounts(int control, const struct csb_layout *layout, int *trees);
/* `has_own_root`: what is not in the root may be made there. */
void csb_place_mounts(int control, const struct csb_layout *layout, const int *trees, bool has_own_root);
/* Whether something has its place below a directory that the host's root does not have. */
bool csb_needs_own_root(const struct csb_layout *layout);
/* Makes a directory in memory that has in it what the host's root has, at `place`, and then the root. */
void csb_assemble_root(int control, const char *place);
/* Makes a directory at which something is mounted the root, and takes the old one away. */
void csb_change_root(int control, const char *root);

#endif
