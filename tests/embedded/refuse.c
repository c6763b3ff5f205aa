/* Preloaded before the agent, it refuses the agent what the system might: a thread, memory, a
 * look at memory; or it keeps whoever starts a thread waiting (`late`). Built with -shared.
 *
 * The environment variable REFUSE says what, from the start, as KIND:SKIP:TIMES, separated by
 * commas; a program changes it with refuse(KIND, SKIP, TIMES): let the next SKIP calls pass, then
 * refuse TIMES of them (-1: all that come). The kinds stand in `names`. Only what is called from
 * within libsleeper.so is ever refused.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { THREAD, PAGE, COPY, READV, OPEN, LATE, KINDS };
static const char *const names[KINDS] = {"thread", "page", "copy", "readv", "open", "late"};
static int skip[KINDS], times[KINDS];

/* Smaller blocks are granted: only the copy of the answer is refused. */
static const size_t LARGE = 50000;

void refuse(const char *kind, int skipped, int refused)
{
    for (int one = 0; one < KINDS; one++)
        if (!strcmp(kind, names[one])) {
            skip[one] = skipped;
            times[one] = refused;
            return;
        }
    fprintf(stderr, "refuse: there is no kind %s\n", kind);
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    char kind[16];
    int skipped, refused;
    for (const char *next = getenv("REFUSE"); next; next = strchr(next, ',')) {
        next += *next == ',';
        if (sscanf(next, "%15[a-z]:%d:%d", kind, &skipped, &refused) == 3)
            refuse(kind, skipped, refused);
    }
}

/* By the file's name alone: a folder may have any. */
static int is_ours(const char *path)
{
    const char *name = strrchr(path, '/');
    return !strcmp(name ? name + 1 : path, "libsleeper.so");
}

static int is_refused(int kind, void *caller)
{
    Dl_info info;
    if (!times[kind] || !dladdr(caller, &info) || !is_ours(info.dli_fname))
        return 0;
    if (skip[kind] > 0)
        return skip[kind]--, 0;
    if (times[kind] > 0)
        times[kind]--;
    return 1;
}
#define REFUSED(kind) is_refused(kind, __builtin_return_address(0))

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    if (REFUSED(THREAD))
        return EAGAIN;
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    int result = next(thread, attributes, body, argument);
    if (REFUSED(LATE))
        sleep(1);
    return result;
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    if (REFUSED(PAGE)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *malloc(size_t size)
{
    extern void *__libc_malloc(size_t);
    if (size >= LARGE && REFUSED(COPY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
                         const struct iovec *remote, unsigned long remote_count, unsigned long flags)
{
    if (REFUSED(READV)) {
        errno = EPERM;
        return -1;
    }
    return syscall(SYS_process_vm_readv, pid, local, local_count, remote, remote_count, flags);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    if (REFUSED(OPEN)) {
        errno = EACCES;
        return -1;
    }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
