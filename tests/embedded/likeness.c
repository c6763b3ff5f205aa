/* Exports a Python version but is not Python: built with -DVERSION="…" and -rdynamic. It asks the
 * agent twice and prints each answer, then prints "ready" and waits for a line. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

const char *Py_GetVersion(void)
{
    return VERSION;
}

int main(void)
{
    const char *(*state)(void) = dlsym(RTLD_DEFAULT, "sleeper_agent_state");
    char line[100];
    if (!state)
        return 1;
    printf("%s", state());
    printf("%s", state());
    puts("ready");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) ? 7 : 2;
}
