/* Looks like a program with an agent, by the name of a thread, and has files mapped that keep whoever opens or
   reads them.

   usage: mapper MODE FOLDER. It prints "ready" and waits until it is killed. The modes:

   leases   holds write leases on four files, which are named as the library and as Python
   sparse   sixteen ELF files whose tables claim 2 GB each, or have headers without end
   elves    two hundred sound interpreters with 40 MB of texts each
   deleted  20,000 files, removed as soon as they were mapped
   paths    60,000 mappings of files whose paths have 3,500 bytes; and NAME, if there is one: usage: mapper paths
            FOLDER NAME
   rooted   a damaged file, in a root of its own, where its name leads to NAME: usage: mapper rooted FOLDER NAME;
            NAME may be "pipe", for a pipe that is exchanged for a file all the time */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void *wait_for_ever(void *name)
{
    prctl(PR_SET_NAME, name);
    for (;;)
        pause();
    return NULL;
}

static int create(const char *name)
{
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    check(file >= 0, name);
    return file;
}

static void map(int file)
{
    check(ftruncate(file, lseek(file, 0, SEEK_END) < 4096 ? 4096 : lseek(file, 0, SEEK_END)) == 0, "ftruncate");
    check(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED, "mmap");
}

/* A shared object with a symbol table, its names, section names and texts, in this order. */
static void write_elf(int file, unsigned long symbols, unsigned long names, unsigned long texts, unsigned sections)
{
    static const char sectionNames[] = "\0.rodata";
    unsigned long at = 4096;
    Elf64_Ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
        .e_ehsize = sizeof header, .e_shoff = 1024, .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = sections, .e_shstrndx = 4, .e_phentsize = sizeof(Elf64_Phdr),
    };
    Elf64_Shdr table[5] = {
        {.sh_size = 1 << 26},
        {.sh_type = SHT_DYNSYM, .sh_offset = at, .sh_size = symbols, .sh_link = 2, .sh_entsize = sizeof(Elf64_Sym)},
        {.sh_type = SHT_STRTAB, .sh_offset = at + symbols, .sh_size = names},
        {.sh_type = SHT_PROGBITS, .sh_name = 1, .sh_offset = at + symbols + names, .sh_size = texts},
        {.sh_type = SHT_STRTAB, .sh_offset = 2048, .sh_size = sizeof sectionNames},
    };
    Elf64_Sym found = {.st_name = names - 16, .st_info = STT_FUNC, .st_shndx = 1, .st_value = 64};
    check(pwrite(file, &header, sizeof header, 0) > 0, "pwrite");
    check(pwrite(file, table, sizeof table, 1024) > 0, "pwrite");
    check(pwrite(file, sectionNames, sizeof sectionNames, 2048) > 0, "pwrite");
    /* The last of its symbols is Python's. */
    check(pwrite(file, &found, sizeof found, at + symbols - sizeof found) > 0, "pwrite");
    check(pwrite(file, "Py_GetVersion", 14, at + symbols + names - 16) > 0, "pwrite");
    check(ftruncate(file, at + symbols + names + texts) == 0, "ftruncate");
}

static void leases(void)
{
    static const char *names[] = {"libsleeper.so", "libsleeper-2.so", "libpython2.7.so", "python2.7"};
    for (unsigned i = 0; i < 4; i++) {
        int file = create(names[i]);
        map(file);
        check(fcntl(file, F_SETLEASE, F_WRLCK) == 0, "F_SETLEASE");
    }
    signal(SIGIO, SIG_IGN);
}

static void sparse(void)
{
    char name[64];
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "libsleeper-python%d.so", i);
        int file = create(name);
        unsigned long huge = (2UL << 30) / sizeof(Elf64_Sym) * sizeof(Elf64_Sym);
        switch (i % 3) {
        case 0: write_elf(file, huge, 32, 4096, 5); break;
        case 1: write_elf(file, 2400, huge, 4096, 5); break;
        /* The number of sections stands in the first section. */
        case 2: write_elf(file, 2400, 32, huge * 4, 0); break;
        }
        map(file);
    }
}

static void elves(void)
{
    char name[64];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "python%d", i);
        int file = create(name);
        write_elf(file, 2400, 32, 40 << 20, 5);
        map(file);
        close(file);
    }
}

static void deleted(void)
{
    char name[64];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "sleeper%d.so", i);
        int file = create(name);
        map(file);
        unlink(name);
        close(file);
    }
}

static void paths(void)
{
    char part[251], name[64];
    memset(part, 'p', 250);
    part[250] = 0;
    for (int i = 0; i < 14; i++) {
        check(mkdir(part, 0755) == 0 || errno == EEXIST, "mkdir");
        check(chdir(part) == 0, "chdir");
    }
    for (int i = 0; i < 60000; i++) {
        snprintf(name, sizeof name, "libpython%d.so", i % 20);
        int file = i < 20 ? create(name) : open(name, O_RDONLY);
        check(file >= 0, name);
        if (i < 20)
            check(ftruncate(file, 4096) == 0, "ftruncate");
        check(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED, "mmap");
        close(file);
    }
}

static int inside_root;

static void *exchange(void *unused)
{
    /* Now the name is a pipe's, now a regular file's. */
    for (;;)
        renameat2(inside_root, "libsleeper.so", inside_root, "other", RENAME_EXCHANGE);
    return unused;
}

static void rooted(const char *folder, const char *leads_to)
{
    char inside[PATH_MAX], command[2 * PATH_MAX];
    int file = create("libsleeper.so");
    check(write(file, "\177ELF\2\1\1", 7) == 7, "write");
    map(file);
    snprintf(inside, sizeof inside, "%s/root%s", folder, folder);
    snprintf(command, sizeof command, "mkdir -p '%s'", inside);
    check(system(command) == 0, command);
    check(chdir(inside) == 0, inside);
    if (strcmp(leads_to, "pipe") == 0) {
        check(mkfifo("libsleeper.so", 0666) == 0, "mkfifo");
        close(create("other"));
        inside_root = open(".", O_PATH | O_DIRECTORY);
        pthread_t thread;
        check(pthread_create(&thread, NULL, exchange, NULL) == 0, "pthread_create");
    } else {
        check(symlink(leads_to, "libsleeper.so") == 0, "symlink");
    }
}

int main(int count, char **arguments)
{
    check(count >= 3, "usage");
    const char *mode = arguments[1], *folder = arguments[2];
    pthread_t thread;
    /* To change the root needs a user namespace, and a process with several threads cannot make one. */
    if (strcmp(mode, "rooted") == 0)
        check(unshare(CLONE_NEWUSER) == 0, "unshare");
    check(chdir(folder) == 0, folder);
    check(pthread_create(&thread, NULL, wait_for_ever, "sleeper-agent") == 0, "pthread_create");
    if (strcmp(mode, "leases") == 0)
        leases();
    else if (strcmp(mode, "sparse") == 0)
        sparse();
    else if (strcmp(mode, "elves") == 0)
        elves();
    else if (strcmp(mode, "deleted") == 0)
        deleted();
    else if (strcmp(mode, "paths") == 0) {
        paths();
        /* What is mapped last has the lowest address, and is listed first. */
        if (arguments[3]) {
            int file = open(arguments[3], O_RDONLY | O_CLOEXEC);
            check(file >= 0, arguments[3]);
            check(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED, "mmap");
        }
    }
    else if (strcmp(mode, "rooted") == 0) {
        rooted(folder, arguments[3]);
        check(chdir(folder) == 0 && chroot("root") == 0, "chroot");
    } else
        check(0, mode);
    puts("ready");
    fflush(stdout);
    wait_for_ever(arguments[0]);
}
