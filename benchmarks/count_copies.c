/* Counts the bytes that a process copies in user space, for benchmarks/copies.py.
 *
 * Loaded into every process of a server (LD_PRELOAD), it takes the place of memcpy and memmove and adds the size of each
 * copy of at least COPIES_FROM_NBYTES to a counter in the file COPIES_FOLDER/<process id>: two 64-bit numbers, bytes and
 * calls. What it cannot see: copies of the kernel (sockets, copy-on-write pages), those inside libc itself, those that a
 * compiler put in line, and processes that do without libc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct counts {
    _Atomic uint64_t nbytes;
    _Atomic uint64_t calls;
};

typedef void *(*move_function)(void *, const void *, size_t);

static struct counts *counts;
static size_t from_nbytes;
static _Atomic(move_function) real_move;

__attribute__((constructor)) static void open_counts(void) {
    const char *folder = getenv("COPIES_FOLDER"), *from = getenv("COPIES_FROM_NBYTES");
    char path[4096];
    if (folder == NULL || from == NULL) return;
    from_nbytes = strtoul(from, NULL, 10);
    snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    /* Not truncated: a process that executes another program goes on counting. */
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    if (ftruncate(file, sizeof *counts) == 0) {
        void *mapped = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED) counts = mapped;
    }
    close(file);
}

/* Until the real function is found, which may itself need one. */
static void *move_bytes(void *to, const void *from, size_t nbytes) {
    unsigned char *target = to;
    const unsigned char *source = from;
    if (target < source)
        for (size_t i = 0; i < nbytes; i++) target[i] = source[i];
    else
        while (nbytes--) target[nbytes] = source[nbytes];
    return to;
}

static void *move(void *to, const void *from, size_t nbytes) {
    static _Thread_local int is_searching __attribute__((tls_model("initial-exec")));
    move_function real = atomic_load_explicit(&real_move, memory_order_acquire);
    if (real == NULL && !is_searching) {
        is_searching = 1;
        real = (move_function)dlsym(RTLD_NEXT, "memmove");
        atomic_store_explicit(&real_move, real, memory_order_release);
        is_searching = 0;
    }
    if (counts != NULL && nbytes >= from_nbytes) {
        atomic_fetch_add_explicit(&counts->nbytes, nbytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&counts->calls, 1, memory_order_relaxed);
    }
    return real != NULL ? real(to, from, nbytes) : move_bytes(to, from, nbytes);
}

void *memcpy(void *restrict to, const void *restrict from, size_t nbytes) { return move(to, from, nbytes); }

void *memmove(void *to, const void *from, size_t nbytes) { return move(to, from, nbytes); }

void *mempcpy(void *restrict to, const void *restrict from, size_t nbytes) {
    return (char *)move(to, from, nbytes) + nbytes;
}

void *__memcpy_chk(void *restrict to, const void *restrict from, size_t nbytes, size_t room) {
    if (nbytes > room) abort();
    return move(to, from, nbytes);
}

void *__memmove_chk(void *to, const void *from, size_t nbytes, size_t room) {
    if (nbytes > room) abort();
    return move(to, from, nbytes);
}
