/* A program that is no Python, where the agent has no thread, and that notices whatever is done to it: its
 * registers, its flags, what lies below its stack pointer, its system calls. Built with -mno-red-zone.
 *
 * usage: restless KIND   Says "ready", works until SIGTERM, says "intact" and ends with status 7.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ending, alarms;

static void on_term(int number) { (void)number; ending = 1; }
static void on_alarm(int number) { (void)number; alarms++; }

static void damaged(const char *what, long value)
{
    printf("damaged: %s %ld (errno %d)\n", what, value, errno);
    fflush(stdout);
    _exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

struct registers {
    uint64_t general[14];
    uint64_t red_zone[16];
    unsigned char vectors[16][32];
    double stack[4];
    uint64_t flags;
};

/* The data of the assembly below, which has no register left for an address. */
static struct {
    const struct registers *given;
    struct registers *found;
    uint64_t rounds;
} at;

#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) \
    DO(13) DO(14) DO(15)
#define LOAD_Y(n) asm volatile("vmovups %0, %%ymm" #n ::"m"(at.given->vectors[n]));
#define SAVE_Y(n) asm volatile("vmovups %%ymm" #n ", %0" : "=m"(at.found->vectors[n]));
#define LOAD_X(n) asm volatile("movups %0, %%xmm" #n ::"m"(at.given->vectors[n]));
#define SAVE_X(n) asm volatile("movups %%xmm" #n ", %0" : "=m"(at.found->vectors[n]));
#define LOAD_RED(n) "mov 112+8*" #n "(%%rcx), %%rax\n mov %%rax, -8-8*" #n "(%%rsp)\n"
#define SAVE_RED(n) "mov -8-8*" #n "(%%rsp), %%rax\n mov %%rax, 112+8*" #n "(%%rcx)\n"

/* Loads all registers from `given`, spins, and saves them to `found`. */
static void spin(int avx)
{
    uint32_t before, after, rounding = 0x3f80; /* towards minus infinity */
    uint64_t flags;
    asm volatile("stmxcsr %0" : "=m"(before));
    asm volatile("ldmxcsr %0" ::"m"(rounding));
    for (int one = 0; one < 4; one++)
        asm volatile("fldl %0" ::"m"(at.given->stack[one]));
    if (avx) { EACH(LOAD_Y) } else { EACH(LOAD_X) }
    asm volatile(
        "push %%rbp\n"
        "mov %1, %%rcx\n"
        EACH(LOAD_RED)
        "mov (%%rcx), %%rax\n mov 8(%%rcx), %%rbx\n mov 16(%%rcx), %%rdx\n mov 24(%%rcx), %%rsi\n"
        "mov 32(%%rcx), %%rdi\n mov 40(%%rcx), %%r8\n mov 48(%%rcx), %%r9\n mov 56(%%rcx), %%r10\n"
        "mov 64(%%rcx), %%r11\n mov 72(%%rcx), %%r12\n mov 80(%%rcx), %%r13\n"
        "mov 88(%%rcx), %%r14\n mov 96(%%rcx), %%r15\n mov 104(%%rcx), %%rbp\n"
        "mov %3, %%rcx\n"
        "stc\n std\n"
        /* None of these changes a flag. */
        "1: jrcxz 2f\n lea -1(%%rcx), %%rcx\n jmp 1b\n"
        "2: mov %2, %%rcx\n"
        "mov %%rax, (%%rcx)\n mov %%rbx, 8(%%rcx)\n mov %%rdx, 16(%%rcx)\n mov %%rsi, 24(%%rcx)\n"
        "mov %%rdi, 32(%%rcx)\n mov %%r8, 40(%%rcx)\n mov %%r9, 48(%%rcx)\n mov %%r10, 56(%%rcx)\n"
        "mov %%r11, 64(%%rcx)\n mov %%r12, 72(%%rcx)\n mov %%r13, 80(%%rcx)\n"
        "mov %%r14, 88(%%rcx)\n mov %%r15, 96(%%rcx)\n mov %%rbp, 104(%%rcx)\n"
        EACH(SAVE_RED)
        "pushfq\n pop %%rax\n cld\n"
        "pop %%rbp\n"
        : "=a"(flags)
        : "m"(at.given), "m"(at.found), "m"(at.rounds)
        : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
          "memory", "cc");
    if (avx) { EACH(SAVE_Y) } else { EACH(SAVE_X) }
    for (int one = 3; one >= 0; one--)
        asm volatile("fstpl %0" : "=m"(at.found->stack[one]));
    at.found->flags = flags & 0x401; /* direction and carry */
    asm volatile("stmxcsr %0" : "=m"(after));
    asm volatile("ldmxcsr %0" ::"m"(before));
    if ((after & 0x7f80) != rounding)
        damaged("rounding", after);
}

static void registers(void)
{
    struct registers given, found;
    unsigned char *bytes = (unsigned char *)&given;
    int avx = __builtin_cpu_supports("avx");
    for (size_t one = 0; one < sizeof given; one++)
        bytes[one] = rand();
    for (int one = 0; one < 4; one++)
        given.stack[one] = rand() / 3.0;
    given.flags = 0x401;
    found = given;
    memset(&found, 0, avx ? sizeof found : 0);
    at.given = &given, at.found = &found, at.rounds = 3000000;
    spin(avx);
    for (size_t one = 0; one < sizeof given; one++)
        if (bytes[one] != ((unsigned char *)&found)[one])
            damaged("register byte", one);
}

/* A call that no signal of the program interrupts carries on undisturbed. */
static void expect(const char *what, long result, long wanted, double least, double began, int before)
{
    if (result == -1 && errno == EINTR && (alarms != before || ending))
        return;
    if (result != wanted || now() - began < least)
        damaged(what, result);
}

static void calls(void)
{
    static int ends[2] = {-1, -1};
    if (ends[0] < 0) {
        if (pipe(ends))
            damaged("pipe", 0);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            signal(SIGTERM, SIG_DFL);
            for (;;) {
                usleep(7000);
                if (write(ends[1], "x", 1) != 1)
                    _exit(0);
            }
        }
    }
    char byte;
    double began = now();
    int before = alarms;
    struct timespec pause = {0, 20000000};
    expect("nanosleep", nanosleep(&pause, NULL), 0, 0.02, began, before);
    began = now(), before = alarms;
    expect("read", read(ends[0], &byte, 1), 1, 0, began, before);
    began = now(), before = alarms;
    struct timeval time = {0, 15000};
    expect("select", select(0, NULL, NULL, NULL, &time), 0, 0.014, began, before);
    began = now(), before = alarms;
    expect("poll", poll(NULL, 0, 15), 0, 0.014, began, before);
}

/* Calls that the kernel never makes again by itself when a stop has ended them (signal(7)). */
static void unrepeated_calls(void)
{
    struct epoll_event event;
    struct timeval limit = {0, 20000};
    struct sembuf take = {0, -1, 0};
    struct timespec pause = {0, 20000000};
    char byte;
    int ends[2], events = epoll_create(1), set = semget(IPC_PRIVATE, 1, 0600);
    if (events < 0 || set < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        damaged("opening", 0);
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    double began = now();
    int before = alarms;
    expect("epoll_wait", epoll_wait(events, &event, 1, 20), 0, 0.019, began, before);
    began = now(), before = alarms;
    long result = recv(ends[0], &byte, 1, 0);
    expect("recv", result == -1 && errno == EAGAIN ? 0 : result, 0, 0.019, began, before);
    began = now(), before = alarms;
    result = semtimedop(set, &take, 1, &pause);
    expect("semtimedop", result == -1 && errno == EAGAIN ? 0 : result, 0, 0.019, began, before);
    semctl(set, 0, IPC_RMID);
    close(ends[0]), close(ends[1]), close(events);
}

/* The same on another thread, which no signal of the program reaches. */
static void *endless(void *unused)
{
    struct epoll_event event;
    (void)unused;
    epoll_wait(epoll_create(1), &event, 1, -1);
    damaged("endless epoll_wait", 0);
    return NULL;
}

static void start_endless(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, endless, NULL))
        damaged("thread", 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A signal that only sigsuspend unblocks always ends it. */
static void suspended(void)
{
    sigset_t alarm, none;
    sigemptyset(&none);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm, NULL);
    struct itimerval once = {{0, 0}, {0, 10000}};
    int before = alarms;
    double began = now();
    setitimer(ITIMER_REAL, &once, NULL);
    while (alarms == before && !ending) {
        if (sigsuspend(&none) != -1 || errno != EINTR)
            damaged("sigsuspend", 0);
        if (now() - began > 20)
            damaged("sigsuspend slept through a signal", 0);
    }
    sigprocmask(SIG_UNBLOCK, &alarm, NULL);
}

int main(int count, char **arguments)
{
    const char *kind = count > 1 ? arguments[1] : "";
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    if (strstr(kind, "storm")) {
        struct itimerval often = {{0, 1000}, {0, 1000}};
        setitimer(ITIMER_REAL, &often, NULL);
    }
    if (strstr(kind, "unrepeated"))
        start_endless();
    puts("ready");
    fflush(stdout);
    while (!ending)
        if (strstr(kind, "registers"))
            registers();
        else if (strstr(kind, "unrepeated"))
            unrepeated_calls();
        else if (strstr(kind, "calls"))
            calls();
        else
            suspended();
    puts("intact");
    fflush(stdout);
    return 7;
}
