/* Who a process of a sandbox is, and what it may do. Runs in the process itself, inside the sandbox, before its command. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/capability.h>
#include <unistd.h>

#define GROUPS 64
#define LINE 4096

/* A user as /etc/passwd and /etc/group have it. */
struct identity {
    uid_t uid;
    gid_t gid;
    char home[LINE];
    gid_t groups[GROUPS];
    size_t group_count;
};

static bool number(const char *text, uint32_t *value)
{
    char *end;
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return false;
    unsigned long long read = strtoull(text, &end, 10);
    if (*end || read > UINT32_MAX - 1)
        return false;
    *value = (uint32_t)read;
    return true;
}

/* Cuts a line at its colons; missing fields are empty. */
static void cut(char *line, char **fields, size_t count)
{
    static char nothing[] = "";
    line[strcspn(line, "\n")] = 0;
    for (size_t i = 0; i < count; i++)
        fields[i] = line ? strsep(&line, ":") : nothing;
}

/* Whether a comma separated list has a name in it. */
static bool lists(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (; *list; list += strcspn(list, ",") + (list[strcspn(list, ",")] == ','))
        if (strcspn(list, ",") == length && strncmp(list, name, length) == 0)
            return true;
    return false;
}

/* Looks a user up by name or number. False: /etc/passwd does not have it. */
static bool find_user(const char *wanted, struct identity *identity, char *name)
{
    FILE *file = fopen("/etc/passwd", "re");
    char line[LINE], *fields[7];
    uint32_t uid, gid, wanted_uid;
    bool is_number = number(wanted, &wanted_uid), found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        cut(line, fields, 7);
        if (!number(fields[2], &uid) || !number(fields[3], &gid))
            continue;
        found = is_number ? uid == wanted_uid : strcmp(fields[0], wanted) == 0;
        if (!found)
            continue;
        identity->uid = uid;
        identity->gid = gid;
        snprintf(identity->home, LINE, "%s", fields[5]);
        snprintf(name, LINE, "%s", fields[0]);
    }
    if (file)
        fclose(file);
    return found;
}

static bool find_group(const char *wanted, gid_t *gid)
{
    if (number(wanted, gid))
        return true;
    FILE *file = fopen("/etc/group", "re");
    char line[LINE], *fields[4];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        cut(line, fields, 4);
        found = strcmp(fields[0], wanted) == 0 && number(fields[2], gid);
    }
    if (file)
        fclose(file);
    return found;
}

static void add_group(struct identity *identity, gid_t gid)
{
    for (size_t i = 0; i < identity->group_count; i++)
        if (identity->groups[i] == gid)
            return;
    if (identity->group_count < GROUPS)
        identity->groups[identity->group_count++] = gid;
}

/* The groups that /etc/group lists a user in. */
static void add_listed_groups(struct identity *identity, const char *name)
{
    FILE *file = *name ? fopen("/etc/group", "re") : NULL;
    char line[LINE], *fields[4];
    gid_t gid;
    while (file && fgets(line, sizeof line, file)) {
        cut(line, fields, 4);
        if (number(fields[2], &gid) && lists(fields[3], name))
            add_group(identity, gid);
    }
    if (file)
        fclose(file);
}

static void resolve(int control, const struct csb_confinement *wanted, struct identity *identity)
{
    char user[LINE], name[LINE] = "";
    snprintf(user, sizeof user, "%s", wanted->user && *wanted->user ? wanted->user : "0");
    char *group = strchr(user, ':');
    if (group)
        *group++ = 0;
    /* A number need not be anybody's. */
    if (!find_user(*user ? user : "0", identity, name) && !number(*user ? user : "0", &identity->uid))
        csb_fail(control, 126, 0, "the sandbox's /etc/passwd has no user", user);
    if (!group || !*group)
        add_listed_groups(identity, name);
    else if (!find_group(group, &identity->gid))
        csb_fail(control, 126, 0, "the sandbox's /etc/group has no group", group);
    for (char *const *more = wanted->groups; more && *more; more++) {
        gid_t gid;
        if (!find_group(*more, &gid))
            csb_fail(control, 126, 0, "the sandbox's /etc/group has no group", *more);
        add_group(identity, gid);
    }
}

/* Pipes and a terminal are root's, and /dev/stderr, or a terminal by its name, is opened anew. Anything else is not the sandbox's own. */
static void own_streams(const struct identity *identity)
{
    struct stat found;
    for (int fd = 0; fd < 3; fd++)
        if (fstat(fd, &found) == 0 && (S_ISFIFO(found.st_mode) || isatty(fd)) && fchown(fd, identity->uid, (gid_t)-1) < 0)
            continue;
}

static bool has_variable(char *const *envp, const char *name)
{
    size_t length = strlen(name);
    for (; *envp; envp++)
        if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=')
            return true;
    return false;
}

/* The environment with the user's home in it, if it says nothing of one. */
static char *const *with_home(char *const *envp, const struct identity *identity)
{
    size_t count = 0;
    while (envp[count])
        count++;
    char **result = calloc(count + 2, sizeof *result);
    if (!result || has_variable(envp, "HOME"))
        return envp;
    memcpy(result, envp, count * sizeof *result);
    if (asprintf(&result[count], "HOME=%s", identity->home[0] ? identity->home : "/") < 0)
        result[count] = NULL;
    return result;
}

/* Those that the process may ever have. */
static void bound_capabilities(int control, uint64_t kept)
{
    for (int capability = 0; capability < 64; capability++) {
        if (kept >> capability & 1 || prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            break;      /* beyond the last one this kernel knows */
        csb_fail(control, 125, errno, "cannot drop capabilities", NULL);
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/* Those that it has now. */
static void keep_capabilities(int control, uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        csb_fail(control, 125, errno, "cannot read the capabilities", NULL);
    for (int part = 0; part < 2; part++) {
        data[part].permitted &= (uint32_t)(kept >> (32 * part));
        data[part].effective = data[part].permitted;
        data[part].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        csb_fail(control, 125, errno, "cannot drop capabilities", NULL);
}

static void set_limits(int control, const struct csb_confinement *wanted)
{
    for (size_t i = 0; i < wanted->limit_count; i++) {
        const struct csb_limit *limit = &wanted->limits[i];
        struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
        if (setrlimit((__rlimit_resource_t)limit->resource, &value) < 0)
            csb_fail(control, 125, errno, "cannot set the limit", limit->name);
    }
}

void csb_join_groups(int control, const struct csb_confinement *wanted)
{
    for (char *const *path = wanted->cgroups; path && *path; path++) {
        int error = csb_write_file(*path, "0");
        if (error)
            csb_fail(control, 125, -error, "cannot join the control group", *path);
    }
}

char *const *csb_confine(int control, const struct csb_confinement *wanted, char *const *envp)
{
    struct identity *identity = calloc(1, sizeof *identity);
    if (!identity)
        csb_fail(control, 125, ENOMEM, "cannot look up the user", NULL);
    resolve(control, wanted, identity);
    envp = with_home(envp, identity);
    set_limits(control, wanted);
    char adjustment[16];
    snprintf(adjustment, sizeof adjustment, "%d", wanted->oom_score_adj);
    /* Without a word of it the supervisor's own protection ends here, too: it is not for the command. */
    int error = csb_write_file("/proc/self/oom_score_adj", adjustment);
    if (error && wanted->oom_score_adj)
        csb_fail(control, 125, -error, "cannot set the OOM score to", adjustment);
    bound_capabilities(control, wanted->capabilities);
    own_streams(identity);
    if (setgroups(identity->group_count, identity->groups) < 0 || setresgid(identity->gid, identity->gid, identity->gid) < 0
        || setresuid(identity->uid, identity->uid, identity->uid) < 0)
        csb_fail(control, 125, errno, "cannot become the user", wanted->user);
    keep_capabilities(control, wanted->capabilities);
    if (wanted->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        csb_fail(control, 125, errno, "cannot give up new privileges", NULL);
    /* The kernel forgets it with another user or less capabilities. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    free(identity);
    return envp;
}
