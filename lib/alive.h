/* SPDX-License-Identifier: ISC
 *
 * alive.h - processes: which name spaces, when started, still there?
 */
#ifndef MPQ_ALIVE_H
#define MPQ_ALIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The number of a name space of this process, 0 if it cannot be told. */
uint64_t name_space(const char *link);
#define PID_SPACE "/proc/self/ns/pid"
#define TIME_SPACE "/proc/self/ns/time"

#define SELF ((pid_t)0)      /* this process, where a process is wanted whose file in /proc is read */

/* The state letter of a process, or of a thread, in /proc; 0 if it cannot be told. */
char process_state(pid_t pid);

/* Start time of a process in clock ticks since boot, 0 if it cannot be told (hidepid). */
uint64_t start_time(pid_t pid);

/* Is it there? `start` 0: any process of that number will do; `same_time`: start times may be compared. Dead only
 * if proven so: a zombie is dead, a process whose first thread has exited is not, one that we may not see is not. */
bool alive(pid_t pid, uint64_t start, bool same_time);

/* The 16 bytes that tell one boot from another; zeroes if unknown. */
void boot_id(uint8_t id[16]);

#endif
