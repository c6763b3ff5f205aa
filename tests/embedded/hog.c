/* A library whose thread takes all the memory that the process may have, gives it back, and takes it again, for some
   seconds: without the GIL, so also while the agent makes an answer. Then it says so.
   To be preloaded, with HOG_MEGABYTES in the environment: how much more the process may have than at the start. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static long megabytes;

static void pause_for(long microseconds) {
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static long pages_mapped(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld", &pages) != 1) abort();
    fclose(file);
    return pages;
}

static void *hog(void *unused) {
    (void)unused;
    pause_for(1000000);
    struct rlimit before, limit;
    getrlimit(RLIMIT_AS, &before);
    limit = before;
    limit.rlim_cur = pages_mapped() * sysconf(_SC_PAGESIZE) + (megabytes << 20);
    if (setrlimit(RLIMIT_AS, &limit)) abort();
    time_t end = time(NULL) + 5;
    while (time(NULL) < end) {
        /* Each block holds the address of the one before it. */
        void **last = NULL, **block;
        for (size_t size = 8192; size >= 16; size /= 2)
            while ((block = malloc(size))) {
                *block = last;
                last = block;
            }
        pause_for(300);
        while (last) {
            block = *last;
            free(last);
            last = block;
        }
        pause_for(300);
    }
    setrlimit(RLIMIT_AS, &before);
    if (write(1, "sated\n", 6) != 6) abort();
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("HOG_MEGABYTES");
    pthread_t thread;
    if (text && (megabytes = atol(text))) pthread_create(&thread, NULL, hog, NULL);
}
