/* Imitates the agent's thread that a signal wakes, and answers anything.

   usage: fake_answers FILE [REPEAT [COUNT [stalls]]]

   Its answer is what FILE holds, REPEAT times (1). It answers COUNT processes' worth: so many of them run
   (1), of which the others are its children. With "stalls" the last byte never comes. Each prints "pid PID", and the first one "ready" at last. It
   ends with status 7 once it has read a line. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WAKE = 58, HEADER = 24, ANSWER = 2 };

static char *answer;
static size_t length;
static uint64_t repeat = 1;
static int stalls;

static int send_all(int line, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(line, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return 0;
        bytes += sent;
        count -= sent;
    }
    return 1;
}

static void reply(uint64_t token) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int name = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "sleeper-agent-%016llx",
                        (unsigned long long)token);
    int line = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + name;
    if (connect(line, (struct sockaddr *)&address, size) == 0) {
        char question[HEADER + 1024];
        if (recv(line, question, sizeof question, 0) >= HEADER) {
            /* The header of the question, with another kind and length. */
            uint32_t kind = ANSWER;
            uint64_t whole = length * repeat + stalls;
            memcpy(question + 12, &kind, sizeof kind);
            memcpy(question + 16, &whole, sizeof whole);
            int open = send_all(line, question, HEADER);
            for (uint64_t done = 0; open && done < repeat; done++)
                open = send_all(line, answer, length);
            char end;
            if (stalls)
                recv(line, &end, 1, 0);
        }
    }
    close(line);
}

static void *wake(void *nothing) {
    (void)nothing;
    sigset_t all, one;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    prctl(PR_SET_NAME, "sleeper-agent");
    sigemptyset(&one);
    sigaddset(&one, WAKE);
    for (;;) {
        siginfo_t info;
        if (sigwaitinfo(&one, &info) == WAKE)
            reply((uint64_t)info.si_value.sival_ptr);
    }
    return NULL;
}

/* Starts the thread, and waits until it has its name. */
static void pose(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, wake, NULL);
    char name[16] = "";
    while (strcmp(name, "sleeper-agent") != 0) {
        usleep(1000);
        pthread_getname_np(thread, name, sizeof name);
    }
    usleep(20000);
    printf("pid %d\n", getpid());
    fflush(stdout);
}

int main(int count, char **arguments) {
    FILE *file = fopen(arguments[1], "rb");
    if (!file)
        return 1;
    fseek(file, 0, SEEK_END);
    length = ftell(file);
    rewind(file);
    answer = malloc(length + 1);
    if (fread(answer, 1, length, file) != length)
        return 1;
    if (count > 2)
        repeat = strtoull(arguments[2], NULL, 10);
    stalls = count > 4 && strcmp(arguments[4], "stalls") == 0;
    for (int more = count > 3 ? atoi(arguments[3]) : 1; more > 1; more--) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pose();
            for (;;)
                pause();
        }
    }
    pose();
    usleep(100000);
    printf("ready\n");
    fflush(stdout);
    char line[16];
    char *read = fgets(line, sizeof line, stdin);
    return read ? 7 : 1;
}
