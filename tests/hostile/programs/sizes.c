/* Looks like a program with an agent, by the name of a thread, and shows of itself what takes whoever reads it much
   memory or time.

   usage: sizes MODE [COUNT]. It prints "ready" and waits until it is killed. The modes:

   moved    its argument area is moved over 3 GB of memory, its environment over 1 GB (PR_SET_MM_MAP, prctl(2))
   words    its command line has 100,000 arguments of one letter each
   threads  it has COUNT threads */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/prctl.h>

static void check(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void *wait_for_ever(void *name)
{
    prctl(PR_SET_NAME, name);
    for (;;)
        pause();
    return NULL;
}

static unsigned long area(unsigned long size, char filled)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    check(start != MAP_FAILED, "mmap");
    if (filled)
        for (unsigned long at = 0; at < size; at += 2)
            start[at] = filled;
    return (unsigned long)start;
}

/* Words of /proc/self/stat from start_code on, which the kernel asks for again. */
static void move(unsigned long arguments, unsigned long size, unsigned long environment, unsigned long its_size)
{
    static char text[4096], auxiliary[4096];
    FILE *stat = fopen("/proc/self/stat", "r");
    check(stat && fread(text, 1, sizeof text - 1, stat) > 0, "stat");
    fclose(stat);
    unsigned long field[53] = {0};
    char *at = strrchr(text, ')') + 4;
    for (int number = 4; number <= 52; number++)
        field[number] = strtoul(at, &at, 10);
    struct prctl_mm_map map = {
        .start_code = field[26], .end_code = field[27], .start_stack = field[28],
        .start_data = field[45], .end_data = field[46], .start_brk = field[47],
        .brk = (unsigned long)sbrk(0),
        .arg_start = arguments, .arg_end = arguments + size,
        .env_start = environment, .env_end = environment + its_size,
        .auxv = (void *)auxiliary, .auxv_size = 0, .exe_fd = -1,
    };
    check(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) == 0, "PR_SET_MM_MAP");
}

int main(int count, char **arguments)
{
    check(count >= 2, "usage");
    const char *mode = arguments[1];
    pthread_t thread;
    check(pthread_create(&thread, NULL, wait_for_ever, "sleeper-agent") == 0, "pthread_create");
    if (strcmp(mode, "moved") == 0) {
        move(area(3UL << 30, 0), 3UL << 30, area(1UL << 30, 0), 1UL << 30);
    } else if (strcmp(mode, "words") == 0) {
        move(area(200000, 'a'), 200000, area(4096, 'e'), 4096);
    } else if (strcmp(mode, "threads") == 0) {
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 16384);
        for (int made = 0; made < atoi(arguments[2]); made++)
            check(pthread_create(&thread, &small, wait_for_ever, "another") == 0, "pthread_create");
    } else
        check(0, mode);
    puts("ready");
    fflush(stdout);
    wait_for_ever(arguments[0]);
}
