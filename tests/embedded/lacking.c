/* Preloaded before the agent, it makes the C library look like one that lacks a function. Built with -shared.
 *
 * The environment variable LACKING names the function, which dlsym then finds nowhere.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *dlsym(void *handle, const char *name)
{
    static void *(*next)(void *, const char *);
    const char *lacking = getenv("LACKING");
    if (!next)
        next = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    return lacking && !strcmp(lacking, name) ? NULL : next(handle, name);
}
