#ifndef CSANDBOX_INTERNAL_H
#define CSANDBOX_INTERNAL_H

#include "CSandbox.h"

/* Reports a failure on the control socket ("what subject: error") and ends the process with `code`. */
_Noreturn void csb_fail(int control, int code, int error, const char *what, const char *subject);
/* Gives a new sandbox its network settings, host name and mounts; ends the process on failure. */
void csb_enter_layout(int control, const struct csb_layout *layout);
int csb_write_file(const char *path, const char *text);

#endif
