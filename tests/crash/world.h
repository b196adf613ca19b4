/* SPDX-License-Identifier: ISC
 *
 * world.h - a queue in a directory of its own, which can be put back to a saved image; and the judge, a process that
 * looks at what a killed one has left and says it in words.
 */
#ifndef WORLD_H
#define WORLD_H

#include "../unit/room.h"

#define QUEUE "q"
#define OTHER "r"                    /* of the scenes that have two */
#define TEXT 600

struct image {
	unsigned char *bytes;
	size_t size;                 /* 0: there is no queue */
};

/* This process works in a directory of its own below `top`, "w0", "w1", ...: `place`. */
extern struct mpq_place place;
void world_enter(const char *top, int n);
void world_leave(const char *top, int n);
/* A running process that may hold messages, alive as long as the program. */
extern struct mpq_owner keeper;

/* What is there now, and making it so again. */
void image_load(struct image *image, const char *name);
void image_restore(const struct image *image, const char *name);

/* Two runs of an act are compared, one of them by single steps, a thousand times slower. What follows from the time must
 * be the same in both: whether a look for dead owners is due, when a wait is over, how often the vDSO tries to read the
 * kernel's clock between two of its ticks. So for the process that is stepped, and for the one that builds the queue, the
 * clock goes on by a tick each time that it is asked (clock_gettime is wrapped). It begins with the true time, for the
 * kernel has deadlines from it; the queue was built LONG_AGO. */
#define LONG_AGO (10 * SECOND)
extern mpq_time clock_says;                  /* 0: the kernel's clock */
/* The kernel's clock. */
mpq_time kernel_now(void);

/* One letter, `len` times, or a short text as it is. */
int put_letters(struct mpq *q, char letter, size_t len);

/* The judge's words: "closed? shut? unfinished held attempts : messages ended?" for each name, or "gone". Of ends only:
 * it is shut if nothing can be put, and ended if nothing will come. A complaint begins with '!'. What must hold of any
 * queue is tried: the lock can be had within a second, dead owners are swept, all is checked, a message can be put and
 * got. */
enum judged { ONE_QUEUE, BOTH_ENDS, TWO_QUEUES };
struct verdict {
	char text[TEXT];
	mpq_time lock;               /* how long open and sweep took */
};
void judge(enum judged what, struct verdict *verdict);

/* Does it agree with what is expected? */
static inline bool
says(const struct verdict *v, const char *expected)
{
	return strcmp(v->text, expected) == 0;
}

#endif
