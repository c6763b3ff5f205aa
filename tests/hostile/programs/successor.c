/* Two programs, of which the second takes the number of the first: successor [PID | LIBRARY]

   Without PID it looks from outside like a program with an agent: its only thread has the name of the agent's, and waits
   for its signal, in a network namespace of its own; or it has mapped LIBRARY, whose path begins with "/". Says "ready",
   and lives until it is killed.

   With PID it takes that number once it is free, and becomes `sleep` for 3 s. Says "ready" when it has it, or "refused";
   and at last "ended by SIGNAL", or by 0. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int first(const char *library)
{
    sigset_t set;
    if (library) {
        int file = open(library, O_RDONLY | O_CLOEXEC);
        if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED)
            return 1;
    } else if (unshare(CLONE_NEWNET))
        return 1;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_NAME, "sleeper-agent");
    puts("ready");
    fflush(stdout);
    sigemptyset(&set);
    sigaddset(&set, 58);
    for (;;)
        sigwaitinfo(&set, NULL);
}

int main(int count, char **arguments)
{
    if (count != 2 || *arguments[1] == '/')
        return first(arguments[1]);
    pid_t number = atoi(arguments[1]);
    struct clone_args how = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&number, .set_tid_size = 1};
    long child;
    /* The one that has it may not be reaped yet. */
    while ((child = syscall(SYS_clone3, &how, sizeof how)) < 0 && errno == EEXIST)
        usleep(1000);
    if (child < 0) {
        puts("refused");
        return 3;
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("sleep", "sleep", "3", NULL);
        _exit(1);
    }
    puts("ready");
    fflush(stdout);
    int status;
    if (waitpid(child, &status, 0) != number)
        return 1;
    printf("ended by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return 0;
}
