/* Traces the given process, as a debugger or strace does, until it is killed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    if (count < 2 || ptrace(PTRACE_SEIZE, atoi(arguments[1]), 0, 0) != 0) {
        fprintf(stderr, "cannot trace: %s\n", strerror(errno));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
