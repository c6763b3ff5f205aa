/* A program with an interpreter of its own. It does what its arguments say, one after another:
 *
 *   load-global, load-local   dlopen the libpython named by LIBPYTHON
 *   init, finalize            Py_Initialize, Py_Finalize
 *   init-bare                 Py_Initialize without site: hardly any bytecode runs
 *   run:CODE                  PyRun_SimpleString
 *   let-go                    make a GIL if there is none, and let go of it, as embedders do
 *   thread:CODE               run it on another thread, under PyGILState_Ensure
 *   borrowed:CODE             run it on another thread, with a thread state that a third one made, which has ended
 *   ask                       call sleeper_agent_state() and print "[" TEXT "]"
 *   ask-thread                the same on another thread, which knows nothing of Python
 *   pause                     print "ready", read a line
 *
 * Built with -DLINKED and libpython on the command line, the interpreter is there from the
 * start; without, it comes by dlopen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *library = RTLD_DEFAULT;

static void *symbol(const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "no symbol %s: %s\n", name, dlerror());
        exit(99);
    }
    return found;
}

static void load(int how)
{
    library = dlopen(getenv("LIBPYTHON"), RTLD_NOW | how);
    if (!library) {
        fprintf(stderr, "cannot load: %s\n", dlerror());
        exit(98);
    }
}

static void *ask(void *unused)
{
    const char *(*state)(void) = dlsym(RTLD_DEFAULT, "sleeper_agent_state");
    if (!state) {
        fprintf(stderr, "no agent in this process\n");
        exit(97);
    }
    printf("[%s]\n", state());
    fflush(stdout);
    return unused;
}

static void *call_back(void *code)
{
    int held = ((int (*)(void))symbol("PyGILState_Ensure"))();
    int failed = ((int (*)(const char *, void *))symbol("PyRun_SimpleStringFlags"))(code, NULL);
    ((void (*)(int))symbol("PyGILState_Release"))(held);
    return failed ? code : NULL;
}

static void *make_state(void *unused)
{
    (void)unused;
    void *head = ((void *(*)(void))symbol("PyInterpreterState_Head"))();
    return ((void *(*)(void *))symbol("PyThreadState_New"))(head);
}

static void *state;

static void *run_borrowed(void *code)
{
    ((void (*)(void *))symbol("PyEval_AcquireThread"))(state);
    int failed = ((int (*)(const char *))symbol("PyRun_SimpleString"))(code);
    ((void (*)(void *))symbol("PyThreadState_Clear"))(state);
    ((void (*)(void *))symbol("PyEval_ReleaseThread"))(state);
    ((void (*)(void *))symbol("PyThreadState_Delete"))(state);
    return failed ? "failed" : NULL;
}

static void step(const char *what)
{
    pthread_t thread;
    char line[100];

    if (!strcmp(what, "load-global")) {
        load(RTLD_GLOBAL);
    } else if (!strcmp(what, "load-local")) {
        load(RTLD_LOCAL);
    } else if (!strcmp(what, "init")) {
        ((void (*)(void))symbol("Py_Initialize"))();
    } else if (!strcmp(what, "init-bare")) {
        *(int *)symbol("Py_NoSiteFlag") = 1;
        ((void (*)(void))symbol("Py_Initialize"))();
    } else if (!strcmp(what, "finalize")) {
        ((void (*)(void))symbol("Py_Finalize"))();
    } else if (!strncmp(what, "run:", 4)) {
        int failed = ((int (*)(const char *, void *))symbol("PyRun_SimpleStringFlags"))(what + 4, NULL);
        if (failed)
            exit(96);
    } else if (!strcmp(what, "let-go")) {
        if (!((int (*)(void))symbol("PyEval_ThreadsInitialized"))()) {
            ((void (*)(void))symbol("PyEval_InitThreads"))();
            ((void *(*)(void))symbol("PyEval_SaveThread"))();
        }
    } else if (!strncmp(what, "thread:", 7)) {
        void *failed;
        pthread_create(&thread, NULL, call_back, (void *)(what + 7));
        pthread_join(thread, &failed);
        if (failed)
            exit(95);
    } else if (!strncmp(what, "borrowed:", 9)) {
        void *failed;
        pthread_attr_t large;
        pthread_create(&thread, NULL, make_state, NULL);
        pthread_join(thread, &state);
        /* Not in the memory of the thread that has ended: that would give it the same identifier. */
        pthread_attr_init(&large);
        pthread_attr_setstacksize(&large, 64 << 20);
        pthread_create(&thread, &large, run_borrowed, (void *)(what + 9));
        pthread_join(thread, &failed);
        if (failed)
            exit(95);
    } else if (!strcmp(what, "ask")) {
        ask(NULL);
    } else if (!strcmp(what, "ask-thread")) {
        pthread_create(&thread, NULL, ask, NULL);
        pthread_join(thread, NULL);
    } else if (!strcmp(what, "pause")) {
        puts("ready");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin))
            exit(95);
    } else {
        fprintf(stderr, "unknown step %s\n", what);
        exit(94);
    }
}

int main(int count, char **steps)
{
    for (int i = 1; i < count; i++)
        step(steps[i]);
    puts("done");
    return 7;
}
