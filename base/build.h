/* build: which build of wos this process runs. */
#ifndef WOS_BASE_BUILD_H
#define WOS_BASE_BUILD_H

/* "0.1.0" */
const char *build_version(void);
/* Version and the GNU build id of this executable ("0.1.0+3f9c…"): two
 * processes with equal ids run the same binary. Computed once, from
 * /proc/self/exe's notes (dl_iterate_phdr); call it before threads start. */
const char *build_id(void);

#endif
