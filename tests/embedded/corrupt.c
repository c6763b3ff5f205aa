/* Writes nonsense over what the walk reads, asks, looks at the answer, and mends it again.
 * Called with the GIL held, so that nobody else moves or looks meanwhile. Built with -shared,
 * and with MAGIC, HEADER and LENGTH_AT as the library's AnswerHeader has them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define MOST_OBJECTS 4000
#define MOST_LINKS 40000
#define MOST_POKES 8
/* The walk allows itself 2 s; the rest is for a loaded machine. */
#define LONGEST_MS 5000
#define HANGS_SECONDS 60

/* Memory that may be overwritten; with size 0, only a target for overwritten pointers. */
struct object { char *start; size_t size; };
static struct object objects[MOST_OBJECTS];
static size_t object_count, solid_count;

/* The words in the objects that hold the address of another object. */
struct link { char *at; size_t target; };
static struct link links[MOST_LINKS];
static size_t link_count;

struct poke { char *at; size_t width; uint64_t before; };

/* The Python side reads this; all fields are eight bytes wide. */
struct statistics { uint64_t rounds, differed, torn, largest; double longest, total; };

static const char *(*state)(void);
static uint64_t seed, round_number;
static char *edge;     /* the first byte that cannot be read, behind pages that can */
static char *clones;   /* 16 pages for copies of objects */
static char *gone;     /* a page that was unmapped */
static char *past_end; /* in a mapping, but behind the end of its file */

static void give_up(const char *what)
{
    char line[600];
    int length = snprintf(line, sizeof line, "%.300s in round %llu of seed %llu\n", what,
                          (unsigned long long)round_number, (unsigned long long)seed);
    if (write(2, line, length) < 0)
        _exit(98);
    _exit(99);
}

static void on_signal(int number)
{
    give_up(number == SIGALRM ? "no answer" : "a fault");
}

static uint64_t random_state;

static uint64_t any(void) /* splitmix64 */
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(size_t limit)
{
    return limit ? any() % limit : 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void prepare(void)
{
    const int rw = PROT_READ | PROT_WRITE, private = MAP_PRIVATE | MAP_ANONYMOUS;
    struct sigaction action = { .sa_handler = on_signal };
    static char alternate[65536];
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
    FILE *file;

    if (edge)
        return;
    state = dlsym(RTLD_DEFAULT, "sleeper_agent_state");
    file = tmpfile();
    if (!state || !file || ftruncate(fileno(file), PAGE) != 0)
        give_up("no agent, or no temporary file");
    edge = (char *)mmap(0, 3 * PAGE, rw, private, -1, 0) + 2 * PAGE;
    clones = mmap(0, 16 * PAGE, rw, private, -1, 0);
    gone = (char *)mmap(0, 3 * PAGE, rw, private, -1, 0) + PAGE;
    past_end = (char *)mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fileno(file), 0) + PAGE;
    if (mprotect(edge, PAGE, PROT_NONE) != 0 || munmap(gone, PAGE) != 0)
        give_up("no memory");
    sigaltstack(&stack, 0);
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGSEGV, &action, 0);
    sigaction(SIGBUS, &action, 0);
    sigaction(SIGALRM, &action, 0);
}

static double took;

/* Asks, and gives up unless the answer is whole. */
static const char *ask(void)
{
    const char *text;
    uint64_t length, at;
    double begun = now();

    alarm(HANGS_SECONDS);
    text = state();
    alarm(0);
    took = now() - begun;
    if (!text)
        give_up("a null pointer");
    if (memcmp(text - HEADER, MAGIC, sizeof MAGIC - 1) != 0)
        give_up("another magic");
    memcpy(&length, text - HEADER + LENGTH_AT, sizeof length);
    if (length != strlen(text))
        give_up("a length that is not the text's");
    if (strncmp(text, "### Read from memory", 20) != 0 && !strstr(text, "were found in memory"))
        give_up(text);
    for (at = 0; at < length; at++)
        if ((text[at] >= 0 && text[at] < 32 && text[at] != '\n' && text[at] != '\t') || text[at] == 127)
            give_up("a control character");
    return text;
}

/* A damaged object: a part of a copy at the edge, or a copy with a word changed. */
static char *copy_of(struct object *object, int whole)
{
    size_t size = object->size < PAGE ? object->size : PAGE;
    char *place;

    if (whole) {
        place = clones + 8 * below((15 * PAGE) / 8);
        memcpy(place, object->start, size);
        if (size >= 8)
            memcpy(place + 8 * below(size / 8), &(uint64_t){ any() >> below(64) }, 8);
        return place;
    }
    size = below(size + 1);
    if (below(8))
        size &= ~7;
    place = edge - size;
    memcpy(place, object->start, size);
    return place;
}

static uint64_t nasty(struct object *self, uint64_t before, size_t target)
{
    static const uint64_t numbers[] = {
        0, 1, -1, -2, 7, 8, 16, 4095, 4096, 1u << 31, 0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 40,
        1ull << 47, (1ull << 47) - 8, 1ull << 62, 1ull << 63, ~(1ull << 63), ~7ull, 0xffffffffff600000,
    };
    struct object *other = &objects[below(object_count)];
    struct object *solid = &objects[below(solid_count)];
    struct object *aim = target < solid_count ? &objects[target] : solid;
    char *places[] = { edge, edge - 8, edge - 1, gone, gone - 8, past_end, past_end - 8, clones,
                       (char *)&random_state, (char *)give_up, (char *)&places };

    switch (below(13)) {
    case 0: return any();
    case 1: return any() >> below(64);
    case 2: return numbers[below(sizeof numbers / sizeof *numbers)];
    case 3: return (uint64_t)self->start;
    case 4: return (uint64_t)other->start;
    case 5: return (uint64_t)other->start + 1 + below(16);
    case 6: return (uint64_t)solid->start + below(solid->size + 1);
    case 7: return before + (1 - (int)below(3)) * (1ll << below(16));
    case 8: return before ^ 1ull << below(64);
    case 9: return (uint64_t)places[below(sizeof places / sizeof *places)];
    case 10: return (uint64_t)copy_of(aim, 0);
    case 11: return (uint64_t)copy_of(aim, 1);
    /* Probably of the same kind: this makes circles. */
    default: return (uint64_t)objects[target < object_count && below(4) ? (target + below(9)) % object_count
                                                                        : below(object_count)].start;
    }
}

static void poke(struct poke *poke)
{
    struct object *object = &objects[below(solid_count)];
    size_t target = object_count;
    uint64_t value;

    poke->width = 8;
    if (below(2) && link_count) {
        struct link *link = &links[below(link_count)];
        poke->at = link->at;
        target = link->target;
    } else {
        static const size_t widths[] = { 8, 8, 8, 4, 4, 2, 1 };
        poke->width = widths[below(sizeof widths / sizeof *widths)];
        if (poke->width > object->size)
            poke->width = 1;
        poke->at = object->start + below(object->size - poke->width + 1);
        if (below(8))
            poke->at = object->start + (poke->at - object->start) / poke->width * poke->width;
    }
    poke->before = 0;
    memcpy(&poke->before, poke->at, poke->width);
    value = nasty(object, poke->before, target);
    memcpy(poke->at, &value, poke->width);
}

/* Objects as pairs of address and size, those of size 0 last. */
void know(const size_t *pairs, size_t count)
{
    size_t index, other, word;

    prepare();
    if (count > MOST_OBJECTS)
        give_up("too many objects");
    object_count = count;
    solid_count = link_count = 0;
    memcpy(objects, pairs, count * sizeof *objects);
    while (solid_count < count && objects[solid_count].size)
        solid_count++;
    for (index = 0; index < solid_count; index++)
        for (word = 0; word + 8 <= objects[index].size; word += 8)
            for (other = 0; other < count; other++)
                if (!memcmp(objects[index].start + word, &objects[other].start, 8) && link_count < MOST_LINKS)
                    links[link_count++] = (struct link){ objects[index].start + word, other };
}

/* The round depends only on the seed and its number: each can be repeated alone. */
static void one_round(const char *whole, struct statistics *statistics)
{
    struct poke pokes[MOST_POKES];
    size_t count, made;
    const char *text;

    random_state = seed * 0xff51afd7ed558ccdu + round_number;
    count = below(2) ? 1 : 2 + below(MOST_POKES - 1);
    for (made = 0; made < count; made++)
        poke(&pokes[made]);
    text = ask();
    if (took > LONGEST_MS)
        give_up("an answer that came late");
    while (made--)
        memcpy(pokes[made].at, &pokes[made].before, pokes[made].width);
    statistics->rounds++;
    statistics->differed += strcmp(text, whole) != 0;
    statistics->torn += strstr(text, "could not be") || strstr(text, "circle")
                        || strstr(text, "were found in memory");
    statistics->total += took;
    if (took > statistics->longest)
        statistics->longest = took;
    if (strlen(text) > statistics->largest)
        statistics->largest = strlen(text);
}

void run_rounds(uint64_t the_seed, uint64_t first, uint64_t count, double seconds, struct statistics *statistics)
{
    double end = now() + seconds * 1e3;
    char *whole = strdup(ask());

    seed = the_seed;
    for (round_number = first; round_number < first + count && now() < end; round_number++) {
        one_round(whole, statistics);
        /* The agent keeps nothing of corrupt memory. */
        if (round_number % 500 == 0 && strcmp(ask(), whole) != 0)
            give_up("another answer once all was mended");
    }
    if (strcmp(ask(), whole) != 0)
        give_up("another answer once all was mended");
    free(whole);
}

/* Asks with overwritten words, given as pairs of address and value. */
const char *ask_with(const size_t *pairs, size_t count, double *milliseconds)
{
    size_t before[MOST_POKES], index;
    const char *text;

    prepare();
    for (index = 0; index < count; index++) {
        before[index] = *(size_t *)pairs[2 * index];
        *(size_t *)pairs[2 * index] = pairs[2 * index + 1];
    }
    text = ask();
    while (index--)
        *(size_t *)pairs[2 * index] = before[index];
    *milliseconds = took;
    return text;
}
