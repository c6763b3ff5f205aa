/* The C API of CPython 2, as threads of C and programs with many interpreters use it. */
#include <pthread.h>
#include <stddef.h>

extern int PyGILState_Ensure(void);
extern void PyGILState_Release(int state);
extern void *PyObject_CallObject(void *function, void *arguments);
extern void Py_DecRef(void *object);
extern void *Py_NewInterpreter(void);
extern void Py_EndInterpreter(void *thread);
extern void *PyThreadState_Get(void);
extern void *PyThreadState_Swap(void *thread);
extern int PyRun_SimpleStringFlags(const char *code, void *flags);

struct calls {
    void *function;
    int count;
    int done;
};

static void *call_often(void *given)
{
    struct calls *calls = given;
    for (int turn = 0; turn < calls->count; turn++) {
        int state = PyGILState_Ensure();
        void *result = PyObject_CallObject(calls->function, NULL);
        if (result) {
            calls->done++;
            Py_DecRef(result);
        }
        PyGILState_Release(state);
    }
    return NULL;
}

/* Not holding the GIL. Returns how many calls succeeded. */
int call_from_threads(int threads, int count, void *function)
{
    enum { MOST = 16 };
    pthread_t handles[MOST];
    struct calls calls[MOST];
    int started = 0, done = 0;
    while (started < threads && started < MOST) {
        calls[started] = (struct calls){function, count, 0};
        if (pthread_create(&handles[started], NULL, call_often, &calls[started]) != 0)
            break;
        started++;
    }
    for (int one = 0; one < started; one++) {
        pthread_join(handles[one], NULL);
        done += calls[one].done;
    }
    return done;
}

/* Holding the GIL. Returns 0 if the code raised nothing. */
int run_inside(const char *code)
{
    void *outside = PyThreadState_Get();
    void *inside = Py_NewInterpreter();
    int result = -1;
    if (inside) {
        result = PyRun_SimpleStringFlags(code, NULL);
        Py_EndInterpreter(inside);
    }
    PyThreadState_Swap(outside);
    return result;
}
