/* Looks from outside like programs with an agent, and has none: fake_agent KIND COUNT LIBRARY

   COUNT processes, of which the first is this one. Each maps LIBRARY as data, with a bell in its place that
   nobody listens to, and has threads with the names of the agent's. KIND says what they do:
     deaf     the parked thread takes its signal, and nobody comes
     trickle  it comes, and answers a byte at a time
     vfork    it waits for a vfork to end, in which no debugger can stop it
     exec     the process is about to replace its program, for ever: a thread of it cannot end, as a child traces it
   Says "ready", and lives until it is killed. */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static const char *kind;
static char question[65536];
static volatile pid_t told;

static void named(const char *name) { prctl(PR_SET_NAME, name); }

/* The address of the library's section for the bell. */
static size_t bell_in(const char *library)
{
    int file = open(library, O_RDONLY);
    off_t length = lseek(file, 0, SEEK_END);
    const char *text = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
    if (text == MAP_FAILED)
        abort();
    const Elf64_Ehdr *head = (const void *)text;
    const Elf64_Shdr *sections = (const void *)(text + head->e_shoff);
    const char *names = text + sections[head->e_shstrndx].sh_offset;
    size_t found = 0;
    for (int number = 0; number < head->e_shnum; number++)
        if (!strcmp(names + sections[number].sh_name, ".sleeper_agent"))
            found = sections[number].sh_addr;
    munmap((void *)text, length);
    close(file);
    return found;
}

static void ring_nowhere(const char *library)
{
    size_t bell = bell_in(library);
    int file = open(library, O_RDONLY);
    /* The bell may lie behind the end of the file. */
    size_t length = lseek(file, 0, SEEK_END), all = (length > bell ? length : bell) + 8192;
    char *mapped = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!bell || mapped == MAP_FAILED ||
        mmap(mapped, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
        abort();
    close(file);
    memset(mapped + bell, 0, 128);
    memcpy(mapped + bell, "SLEEPER4", 8);
    *(uint32_t *)(mapped + bell + 8) = 1;
    *(uint64_t *)(mapped + bell + 40) = (uintptr_t)question;
}

static void *trickle(void *token)
{
    named("sleeper-answer");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[40];
    int length = snprintf(name, sizeof name, "sleeper-agent-%016llx", (unsigned long long)(uintptr_t)token);
    memcpy(address.sun_path + 1, name, length);
    int line = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(line, (void *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + length))
        return NULL;
    struct { char magic[8]; uint32_t version, kind; uint64_t length; } header = {"SLEEPER:", 1, 2, 1 << 20};
    memcpy(header.magic, "SLEEPER:", 8);
    send(line, &header, sizeof header, MSG_NOSIGNAL);
    do
        usleep(10000);
    while (send(line, "x", 1, MSG_NOSIGNAL) == 1);
    close(line);
    return NULL;
}

static void *parked(void *unused)
{
    sigset_t set;
    siginfo_t info;
    pthread_t thread;
    named("sleeper-agent");
    if (!strcmp(kind, "vfork") && vfork() == 0)
        for (;;)
            pause();
    sigemptyset(&set);
    sigaddset(&set, 58);
    for (;;)
        if (sigwaitinfo(&set, &info) == 58 && !strcmp(kind, "trickle"))
            pthread_create(&thread, NULL, trickle, info.si_value.sival_ptr);
    return unused;
}

static void *never_ends(void *unused)
{
    told = syscall(SYS_gettid);
    for (;;)
        pause();
    return unused;
}

static void exec_for_ever(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, never_ends, NULL);
    while (!told)
        usleep(1000);
    int line[2];
    char byte;
    if (pipe(line))
        abort();
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_SEIZE, told, 0, PTRACE_O_TRACEEXIT) || write(line[1], "x", 1) != 1)
            abort();
        for (;;)
            pause();
    }
    if (read(line[0], &byte, 1) != 1)
        abort();
    named("sleeper-agent");
    puts("ready");
    fflush(stdout);
    execl("/bin/true", "true", NULL);
    abort();
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    kind = arguments[1];
    int processes = atoi(arguments[2]), number = 0;
    pid_t first = getpid();
    while (++number < processes && getpid() == first)
        if (fork() == 0)
            prctl(PR_SET_PDEATHSIG, SIGKILL);
    ring_nowhere(arguments[3]);
    if (!strcmp(kind, "exec"))
        exec_for_ever();
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, parked, NULL);
    usleep(20000);
    if (getpid() == first) {
        usleep(100000);
        puts("ready");
        fflush(stdout);
    }
    for (;;)
        pause();
}
