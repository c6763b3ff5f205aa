/* Calls that take long; what they do with the GIL is for the caller to decide. */
#include <poll.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Returns after so many seconds, or as soon as there is such a file. */
int hold_for(double seconds, const char *path)
{
    double end = now() + seconds;
    struct timespec nap = {0, 10 * 1000 * 1000};
    while (now() < end && access(path, F_OK) != 0)
        nanosleep(&nap, NULL);
    return 0;
}

int wait_to_read(int descriptor, int milliseconds)
{
    struct pollfd one = {descriptor, POLLIN, 0};
    return poll(&one, 1, milliseconds);
}
