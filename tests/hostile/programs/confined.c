/* Becomes a command for which the system does less: confined [OPTION...] -- COMMAND [ARG...]

     --processes N          its user may have no more than N processes and threads (RLIMIT_NPROC)
     --refuse NUMBER:ERRNO  a system call fails with this error
     --above N:ERRNO        all system calls above this number do
     --ptrace NUMBER:ERRNO  a request to ptrace does
   Ends with status 2 if that cannot be. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 200 };
static struct sock_filter code[MOST];
static unsigned short length;

static void add(unsigned short what, unsigned int value, unsigned char yes, unsigned char no)
{
    if (length == MOST)
        exit(2);
    code[length++] = (struct sock_filter){what, yes, no, value};
}

static void load(size_t field) { add(BPF_LD | BPF_W | BPF_ABS, field, 0, 0); }

static void refuse(int error) { add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error, 0, 0); }

int main(int count, char **arguments)
{
    int at = 1;
    for (; at + 2 < count && strcmp(arguments[at], "--"); at += 2) {
        const char *option = arguments[at];
        unsigned int number;
        int error = ENOSYS;
        if (sscanf(arguments[at + 1], "%u:%d", &number, &error) < 1)
            return 2;
        if (!strcmp(option, "--processes")) {
            struct rlimit limit = {number, number};
            if (setrlimit(RLIMIT_NPROC, &limit))
                return 2;
            continue;
        }
        load(offsetof(struct seccomp_data, nr));
        if (!strcmp(option, "--refuse")) {
            add(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
        } else if (!strcmp(option, "--above")) {
            add(BPF_JMP | BPF_JGT | BPF_K, number, 0, 1);
        } else if (!strcmp(option, "--ptrace")) {
            add(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 3);
            load(offsetof(struct seccomp_data, args));
            add(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
        } else {
            return 2;
        }
        refuse(error);
    }
    if (at + 1 >= count)
        return 2;
    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    struct sock_fprog program = {length, code};
    if (length > 1
        && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)))
        return 2;
    execv(arguments[at + 1], arguments + at + 1);
    perror(arguments[at + 1]);
    return 2;
}
