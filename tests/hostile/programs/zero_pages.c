/* Imitates an agent, and answers with pages of zeros, which take it no memory.

   usage: zero_pages MEGABYTES [text|state]. It is compiled with -rdynamic, prints "ready" and waits until it is
   killed. An answer that shall pass for a state begins as one. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* preload/protocol/src/bell.rs */
struct bell {
    char magic[8];
    unsigned listens;
    volatile unsigned rung, answered;
    unsigned asked;
    char *text;
    unsigned long number;
    char *question, *detours;
    unsigned long resume[8];
};

/* preload/protocol/src/answer.rs */
struct header {
    char magic[8];
    unsigned long length, number, question;
};

static char question[4096];

__attribute__((section(".sleeper_agent"))) struct bell bell = {
    .magic = {'S', 'L', 'E', 'E', 'P', 'E', 'R', '4'}, .listens = 1, .number = 1, .question = question,
};

const char *sleeper_agent_state(void)
{
    return bell.text;
}

static void *answer(void *unused)
{
    prctl(PR_SET_NAME, "sleeper-agent");
    for (;;) {
        usleep(1000);
        bell.answered = bell.rung;
    }
    return unused;
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    unsigned long length = strtoul(arguments[1], NULL, 10) << 20;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *pages = mmap(NULL, length + 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
    struct header header = {.magic = {'S', 'L', 'E', 'E', 'P', 'E', 'R', '3'}, .length = length, .number = 1};
    pthread_t thread;
    if (pages == MAP_FAILED)
        return 3;
    memcpy(pages, &header, sizeof header);
    bell.text = pages + sizeof header;
    strcpy(bell.text, strcmp(arguments[2], "state") == 0 ? "SLEEPER FACTS 2\n{" : "### Thread 1:\n");
    if (pthread_create(&thread, NULL, answer, NULL) != 0)
        return 4;
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
