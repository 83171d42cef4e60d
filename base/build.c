/* build: see build.h. First call before threads start. */
#include "base/build.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifndef WOS_VERSION
#error "WOS_VERSION comes from CMakeLists.txt"
#endif

enum { ID_BYTES_MAX = 32 };

struct found {
    unsigned char bytes[ID_BYTES_MAX];
    size_t len;
};

static size_t align4(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

/* Looks for the build id among the notes of one segment. */
static void read_notes(const unsigned char *at, size_t len, struct found *found)
{
    while (len >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        size_t name = sizeof note;
        size_t desc = name + align4(note.n_namesz);
        size_t end = desc + align4(note.n_descsz);
        if (end > len) {
            return;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(at + name, "GNU", 4) == 0 && note.n_descsz <= ID_BYTES_MAX) {
            memcpy(found->bytes, at + desc, note.n_descsz);
            found->len = note.n_descsz;
            return;
        }
        at += end;
        len -= end;
    }
}

static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    struct found *found = arg;
    for (size_t i = 0; i < info->dlpi_phnum && found->len == 0; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_NOTE) {
            /* The loader maps the segment at this address; it has no other type. */
            uintptr_t start = (uintptr_t)(info->dlpi_addr + header->p_vaddr);
            read_notes((const unsigned char *)start, header->p_memsz, found);
        }
    }
    return 1; /* the executable comes first; the rest are libraries */
}

const char *build_version(void)
{
    return WOS_VERSION;
}

const char *build_id(void)
{
    static char id[sizeof WOS_VERSION + (size_t)2 * ID_BYTES_MAX + 2];
    if (id[0] != '\0') {
        return id;
    }
    struct found found = {.len = 0};
    (void)dl_iterate_phdr(on_object, &found);
    size_t len = (size_t)snprintf(id, sizeof id, "%s+", WOS_VERSION);
    if (found.len == 0) {
        /* Linked without --build-id: tell files apart by their time instead. */
        struct stat st = {0};
        (void)stat("/proc/self/exe", &st);
        (void)snprintf(id + len, sizeof id - len, "t%llx.%llx", (unsigned long long)st.st_mtime,
                       (unsigned long long)st.st_size);
    }
    for (size_t i = 0; i < found.len; i++) {
        (void)snprintf(id + len + 2 * i, sizeof id - len - 2 * i, "%02x", found.bytes[i]);
    }
    return id;
}
