/* Owns a user namespace and a network namespace, and stops every process that joins them. Looks from outside like a
   program with an agent: it has a thread that a signal wakes, and which never comes. Says "ready", and lives until it is killed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile pid_t own_thread;

static void write_to(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        abort();
    close(file);
}

static void *sleeper(void *unused)
{
    sigset_t set;
    prctl(PR_SET_NAME, "sleeper-agent");
    own_thread = syscall(SYS_gettid);
    sigemptyset(&set);
    sigaddset(&set, 58);
    for (;;)
        sigwaitinfo(&set, NULL);
    return unused;
}

/* The number of the last process that was started. */
static int last_process(int file)
{
    char text[100] = "";
    if (pread(file, text, sizeof text - 1, 0) < 0)
        return 0;
    char *space = strrchr(text, ' ');
    return space ? atoi(space) : 0;
}

int main(void)
{
    char map[40];
    snprintf(map, sizeof map, "0 %d 1", getuid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
        return 1;
    write_to("/proc/self/setgroups", "deny");
    write_to("/proc/self/uid_map", map);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, sleeper, NULL);
    while (!own_thread)
        usleep(1000);
    pid_t owner = getpid();
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int file = open("/proc/loadavg", O_RDONLY);
        for (;;) {
            int last = last_process(file);
            for (int turn = 0; turn < 20; turn++)
                for (int pid = last - 3; pid < last + 6; pid++)
                    if (pid > 1 && pid != owner && pid != own_thread && pid != getpid())
                        kill(pid, SIGSTOP);
        }
    }
    usleep(50000);
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
