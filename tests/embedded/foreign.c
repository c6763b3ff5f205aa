/* A library that starts threads unknown to Python. Built with -shared. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

static void *body(void *callback)
{
    if (callback)
        ((void (*)(void))callback)();
    for (;;)
        pause();
    return 0;
}

void start_thread(void *callback)
{
    pthread_t thread;
    pthread_create(&thread, 0, body, callback);
    pthread_detach(thread);
}

static void *ask_without_end(void *state)
{
    for (;;)
        ((const char *(*)(void))state)();
    return 0;
}

void start_asking(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, ask_without_end, dlsym(RTLD_DEFAULT, "sleeper_agent_state"));
    pthread_detach(thread);
}
