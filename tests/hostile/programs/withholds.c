/* Keeps whoever looks at it waiting in the kernel, where no signal ends the wait: withholds KIND FOLDER LIBRARY [PROGRAM...]

   It maps the file `python2.7` of a file system of its own, which is mounted on FOLDER, in a mount namespace of its own,
   and has a thread with the name of the agent's. KIND says what is withheld:
     open   whoever opens the file waits for ever
     late   whoever opens it waits for a fifth of a second
     read   whoever reads it does
     jam    whoever needs the lock of its memory does, as a thread holds it that waits for the file
     bell   the same, from the moment at which a debugger has rung LIBRARY's bell
     epoll  whoever looks up what the epoll with descriptor 50 watches does: PROGRAM inherits it, and is what to ask
     exec   whoever reads the file does, as when executing it: PROGRAM sees the file system, and is what to ask
   Says "refused" where nothing can be mounted; else "ready" (unless PROGRAM does), and lives until it is killed. What it
   withholds, it withholds for 30 s at most. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { USER = 2002, LONGEST = 30, SIZE = 1 << 20, EPOLL = 50 };

static const char *kind;
static char *page;
static char question[65536];
static volatile uint32_t *rung;

static int is(const char *name) { return !strcmp(kind, name); }

static void must(int done)
{
    if (!done) {
        perror("withholds");
        exit(1);
    }
}

/* The file system: a folder, and the file in it. */

static void answer(int line, uint64_t number, int error, const void *words, size_t length)
{
    struct { struct fuse_out_header head; char words[512]; } all = {0};
    all.head = (struct fuse_out_header){.len = sizeof all.head + length, .error = error, .unique = number};
    if (length)
        memcpy(all.words, words, length);
    if (write(line, &all, all.head.len) < 0 && errno != ENOENT)
        _exit(1);
}

static struct fuse_attr attributes(uint64_t node)
{
    int is_folder = node == 1;
    return (struct fuse_attr){.ino = node, .size = is_folder ? 0 : SIZE,
                              .mode = is_folder ? S_IFDIR | 0755 : S_IFREG | 0755, .nlink = 1, .blksize = 4096,
                              .uid = USER, .gid = USER};
}

static void serve(int line)
{
    static char bytes[1 << 18];
    int opened = 0;
    for (;;) {
        ssize_t length = read(line, bytes, sizeof bytes);
        if (length < 0 && (errno == EINTR || errno == ENOENT))
            continue;
        if (length < (ssize_t)sizeof(struct fuse_in_header))
            _exit(0);
        const struct fuse_in_header *asked = (const void *)bytes;
        struct fuse_init_out start = {.major = 7, .minor = 31, .max_readahead = 4096, .max_write = 4096};
        struct fuse_entry_out entry = {.nodeid = 2, .entry_valid = 1000, .attr_valid = 1000, .attr = attributes(2)};
        struct fuse_attr_out attribute = {.attr_valid = 1000, .attr = attributes(asked->nodeid)};
        struct fuse_open_out open = {0};
        struct fuse_statfs_out all = {0};
        switch (asked->opcode) {
        case FUSE_INIT:
            answer(line, asked->unique, 0, &start, sizeof start);
            break;
        case FUSE_LOOKUP:
            if (strcmp((const char *)(asked + 1), "python2.7"))
                answer(line, asked->unique, -ENOENT, NULL, 0);
            else
                answer(line, asked->unique, 0, &entry, sizeof entry);
            break;
        case FUSE_GETATTR:
            answer(line, asked->unique, 0, &attribute, sizeof attribute);
            break;
        case FUSE_OPEN:
            if (is("open") && opened++ > 0)
                break;
            if (is("late") && opened++ > 0)
                usleep(200000);
            /* fall through */
        case FUSE_OPENDIR:
            answer(line, asked->unique, 0, &open, sizeof open);
            break;
        case FUSE_STATFS:
            answer(line, asked->unique, 0, &all, sizeof all);
            break;
        case FUSE_READ:
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
            break;
        default:
            answer(line, asked->unique, -ENOSYS, NULL, 0);
        }
    }
}

static void mount_on(const char *folder)
{
    char options[120];
    int line = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", line, USER, USER);
    if (line < 0 || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("withholds", folder, "fuse", MS_NOSUID | MS_NODEV, options)) {
        puts("refused");
        exit(3);
    }
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* Whatever happens to whoever waits for us: all waits end with this process. */
        alarm(LONGEST);
        serve(line);
    }
    close(line);
}

/* What is withheld. */

static void *holds_the_lock(void *unused)
{
    char byte;
    int memory = open("/proc/self/mem", O_RDONLY);
    if (pread(memory, &byte, 1, (off_t)(uintptr_t)page) < 0)
        return NULL;
    return unused;
}

static void *wants_the_lock(void *unused)
{
    /* A lock that somebody waits for to write is closed to further readers. */
    usleep(200000);
    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return unused;
}

static void jam(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, holds_the_lock, NULL);
    pthread_create(&thread, NULL, wants_the_lock, NULL);
}

static void *jams_when_rung(void *unused)
{
    while (*rung == 0)
        usleep(1000);
    usleep(100000);
    jam();
    return unused;
}

static void *holds_the_epoll(void *unused)
{
    int line[2];
    must(!pipe(line) && write(line[1], "x", 1) == 1);
    must(dup2(epoll_create1(0), EPOLL) == EPOLL);
    struct epoll_event event = {.events = EPOLLIN};
    must(!epoll_ctl(EPOLL, EPOLL_CTL_ADD, line[0], &event));
    /* It holds the epoll's lock while it writes to our memory. */
    epoll_wait(EPOLL, (void *)page, 16, -1);
    return unused;
}

/* What makes it look like a program with an agent. */

/* The address of the library's section for the bell. */
static size_t bell_in(const char *text)
{
    const Elf64_Ehdr *head = (const void *)text;
    const Elf64_Shdr *sections = (const void *)(text + head->e_shoff);
    const char *names = text + sections[head->e_shstrndx].sh_offset;
    for (int number = 0; number < head->e_shnum; number++)
        if (!strcmp(names + sections[number].sh_name, ".sleeper_agent"))
            return sections[number].sh_addr;
    exit(1);
}

static void hang_bell(const char *library)
{
    int file = open(library, O_RDONLY);
    size_t length = lseek(file, 0, SEEK_END);
    const char *text = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
    must(text != MAP_FAILED);
    /* The bell may lie behind the end of the file. */
    size_t bell = bell_in(text), all = (length > bell ? length : bell) + 8192;
    char *mapped = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(mapped != MAP_FAILED);
    must(mmap(mapped, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == mapped);
    close(file);
    memset(mapped + bell, 0, 128);
    memcpy(mapped + bell, "SLEEPER4", 8);
    *(uint32_t *)(mapped + bell + 8) = 1;
    *(uint64_t *)(mapped + bell + 40) = (uintptr_t)question;
    rung = (volatile uint32_t *)(mapped + bell + 12);
}

static void *parked(void *unused)
{
    sigset_t set;
    prctl(PR_SET_NAME, "sleeper-agent");
    sigemptyset(&set);
    sigaddset(&set, 58);
    for (;;)
        sigwaitinfo(&set, &(siginfo_t){0});
    return unused;
}

int main(int count, char **arguments)
{
    if (count < 4)
        return 2;
    kind = arguments[1];
    /* Without an environment: whoever reads that of every process need not wait for ours. */
    if (*environ)
        return execve("/proc/self/exe", arguments, (char *[]){NULL});
    mount_on(arguments[2]);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    must(is("exec") || (!setgid(USER) && !setuid(USER)));
    prctl(PR_SET_DUMPABLE, 1);
    /* A change of users calls this off. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    must(!chdir(arguments[2]));
    int file = open("python2.7", O_RDONLY);
    must(file >= 0 && !chdir("/"));
    page = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    must(page != MAP_FAILED);
    hang_bell(arguments[3]);
    pthread_t thread;
    if (is("epoll") || is("exec")) {
        if (is("epoll"))
            pthread_create(&thread, NULL, holds_the_epoll, NULL);
        usleep(200000);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            sigemptyset(&all);
            sigprocmask(SIG_SETMASK, &all, NULL);
            execv(arguments[4], arguments + 4);
            _exit(1);
        }
    } else {
        pthread_create(&thread, NULL, parked, NULL);
        usleep(50000);
        if (is("jam"))
            jam();
        if (is("bell"))
            pthread_create(&thread, NULL, jams_when_rung, NULL);
        usleep(400000);
        puts("ready");
        fflush(stdout);
    }
    for (;;)
        pause();
}
