/* Connects to every socket of a command's, under the name that everybody reads in /proc/net/unix, as fast as it can:
   flood PROCESSES. Says "ready", and lives until it is killed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NAME = 30 };

static char list[1 << 20];
static int lines[8192];

/* Fills the queue of this socket until it is gone. */
static void fill(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name, NAME);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + NAME;
    int count = 0;
    for (;;) {
        int line = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (line < 0)
            break;
        if (connect(line, (void *)&address, length)) {
            close(line);
            if (errno != EAGAIN)
                break;
        } else if (count < 8192)
            lines[count++] = line;
        else
            close(line);
    }
    while (count)
        close(lines[--count]);
}

int main(int count, char **arguments)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    pid_t first = getpid();
    for (int more = count > 1 ? atoi(arguments[1]) : 1; more > 1 && getpid() == first; more--)
        if (fork() == 0)
            prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getpid() == first) {
        puts("ready");
        fflush(stdout);
    }
    for (;;) {
        int file = open("/proc/net/unix", O_RDONLY);
        size_t length = 0;
        ssize_t more;
        while ((more = read(file, list + length, sizeof list - 1 - length)) > 0)
            length += more;
        close(file);
        list[length] = 0;
        const char *found = strstr(list, "@sleeper-agent-");
        if (found)
            fill(found + 1);
    }
}
