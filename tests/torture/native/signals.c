/* Signal masks of a thread, and waiting for signals. */
#include <signal.h>
#include <stddef.h>

/* The signals this thread blocks; bit 0 is signal 1. */
unsigned long blocked_signals(void)
{
    sigset_t set;
    unsigned long bits = 0;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    for (int number = 1; number <= 64; number++)
        if (sigismember(&set, number) == 1)
            bits |= 1UL << (number - 1);
    return bits;
}

unsigned long block_signal(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return blocked_signals();
}

int wait_for_signal(int one, int other)
{
    sigset_t set;
    int got = -1;
    sigemptyset(&set);
    sigaddset(&set, one);
    sigaddset(&set, other);
    sigwait(&set, &got);
    return got;
}

int send_signal(int process, int number)
{
    union sigval none = {0};
    return sigqueue(process, number, none);
}
