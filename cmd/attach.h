/* SPDX-License-Identifier: ISC
 *
 * attach.h - the processes of mpq-attach, grouped by file: one that sends, one that receives, and COMMAND.
 */
#ifndef MPQ_ATTACH_H
#define MPQ_ATTACH_H

#include <sys/types.h>

#include "cli.h"
#include "input.h"

/* How one direction has ended. */
struct outcome {
	int code;                    /* of mpq, or -errno of the queue */
	int error;                   /* errno of standard input (EBADMSG: cut short) or output, or 0 */
	struct mpq_why why;
};

/* In memory that the processes share. */
struct attach_shared {
	struct input in;
	uint64_t got;
	struct outcome sent, received;
};

struct attach {
	struct cli cli;
	char **command_line;         /* NULL: standard input and output */
	struct mpq *q;
	bool sends, receives;        /* END does: not both in a simplex pipe */
	struct attach_shared *shared;
	pid_t sender, receiver, command;     /* 0: not there, or no more */
	int in, out;                 /* what is sent, what receives */
	int status;                  /* COMMAND's */
	int fatal;                   /* the signal that has ended one of the two, if we did not */
	bool stopping;
};

/* ---- attach_group.c: all of them together ---------------------------------------------------------------- */

/* Start them, and make us the owner of END. ST_GO_ON, or the status, said why: then there is nothing to wait for. */
int attach_start(struct attach *a, const struct io *io);
/* Until they have all ended: by themselves, or by us, since another has or a signal came. */
void attach_wait(struct attach *a);

/* ---- attach.c: one that sends, one that receives --------------------------------------------------------- */

/* What of it is to be done, and with what. */
struct attach_job {
	const struct cli *cli;
	struct mpq *q;               /* opened for the new process; its maker leaves it alone */
	int fd;                      /* to read from or write to */
	int other;                   /* a pipe of the other process's, not to be kept open; or -1 */
	bool receives;               /* the end does; else the receiver only waits until it cannot send any more */
	bool command;                /* the descriptor is a pipe of COMMAND's */
	struct attach_shared *shared;
};

/* Each in a process of its own, that ends with us. -1: errno. */
pid_t attach_sender(const struct attach_job *job);
pid_t attach_receiver(const struct attach_job *job);

/* What COMMAND writes goes on to the sender; nobody but its descendants can write more. What is in its pipe is all. */
void attach_hurry(pid_t sender);

/* ---- attach_command.c: COMMAND --------------------------------------------------------------------------- */

/* COMMAND, with standard input from *to, if `to` is not NULL, and standard output to *from likewise. ST_GO_ON, or
 * the status, said why. */
int attach_command(char **argv, int *to, int *from, pid_t *pid);

#endif
