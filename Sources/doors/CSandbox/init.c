/* The first process of a sandbox that is to have an init: it hands on signals, and reaps what nobody else waits for. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reaps all that has ended. The exit code of the command, in the shell's manner, once it is among that; else -1. */
static int reap(pid_t command)
{
    int code = -1, status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == command)
            code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return code;
}

static _Noreturn void look_after(pid_t command, const sigset_t *signals)
{
    for (;;) {
        int number = sigwaitinfo(signals, NULL);
        if (number == SIGCHLD) {
            int code = reap(command);
            if (code >= 0)
                _exit(code);
        } else if (number > 0) {
            kill(command, number);
        }
    }
}

void csb_split_init(int control, bool terminal)
{
    sigset_t signals, none;
    sigfillset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    pid_t command = fork();
    if (command < 0)
        csb_fail(control, 125, errno, "cannot fork in the sandbox", NULL);
    if (command > 0) {
        prctl(PR_SET_NAME, "weft-init", 0, 0, 0);
        /* Whoever reads what the command writes is to see its end, and the supervisor that it runs. */
        syscall(SYS_close_range, 0U, ~0U, 0U);
        look_after(command, &signals);
    }
    /* Signals of the terminal are for the command, and reach it once. */
    setpgid(0, 0);
    if (terminal)
        tcsetpgrp(0, getpid());
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
