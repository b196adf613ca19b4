/* SPDX-License-Identifier: ISC
 *
 * cli.h - what all commands share: options, statuses, diagnostics, the environment. Nothing here knows queues' insides.
 *
 * A command is a function: it gets its arguments and where to read and write, returns its status, and never exits; so
 * a shell can call it as a builtin one day. main.c makes a program of it.
 */
#ifndef MPQ_CLI_H
#define MPQ_CLI_H

#include <getopt.h>
#include <stdbool.h>

#include "mpq.h"

struct io {
	int in, out;
};

enum status {
	ST_OK, ST_ERROR, ST_USAGE, ST_EMPTY, ST_FULL, ST_CLOSED, ST_GONE, ST_EXISTS, ST_NOTYET, ST_OVERDONE, ST_TOOBIG,
	ST_FAILED,                   /* work: some messages failed at last */
	ST_CANNOT_RUN = 126, ST_NOT_FOUND = 127,
	ST_GO_ON = -1                /* not a status: options are parsed, go on */
};

#define MPQ_VERSION_TEXT "1.0"

/* How messages are told apart on standard input and output. RAW: not at all. */
enum { RAW = MPQ_BARE };

struct cli {
	const char *command;         /* "mpq-put" */
	const char *usage;           /* as the page's SYNOPSIS, one line for each form */
	const char *letters;         /* for getopt: those of its own and of the common ones */
	const struct option *longs;
	bool operands_last;          /* options end at the first operand, since a MESSAGE or COMMAND may follow */
	bool brief;                  /* it uses one queue, starts no process, and says cli_speaks itself */
	int min, max;                /* number of operands; max -1: any */
	/* One option of its own: ST_GO_ON, or ST_USAGE after cli_misuse. */
	int (*option)(struct cli *cli, int letter, const char *value);

	/* out */
	mpq_time patience;           /* ns to wait; MPQ_NOW, MPQ_FOREVER */
	bool timed;                  /* -n or -t was given */
	int framing;                 /* enum mpq_framing */
	bool verbose;
	char **operands;
	int noperands;
	char *few[8];                /* operands, if that is enough of them */
	struct mpq_place place;
	uid_t *trusted;              /* freed by cli_end */
};

/* Common long options, for the tables of the commands (sorted by letter there). */
#define LONG_NULL    { "null", no_argument, NULL, '0' }
#define LONG_HELP    { "help", no_argument, NULL, 'h' }
#define LONG_LENGTH  { "length", no_argument, NULL, 'L' }
#define LONG_NOWAIT  { "nowait", no_argument, NULL, 'n' }
#define LONG_RAW     { "raw", no_argument, NULL, 'r' }
#define LONG_TIMEOUT { "timeout", required_argument, NULL, 't' }
#define LONG_VERBOSE { "verbose", no_argument, NULL, 'v' }
#define LONG_VERSION { "version", no_argument, NULL, 'V' }
#define LONG_END     { NULL, 0, NULL, 0 }

/* Parse options and environment. ST_GO_ON, or the status to return at once (usage, -h, -V). */
int cli_begin(struct cli *cli, int argc, char **argv, struct io *io);
void cli_end(struct cli *cli);

/* Before a descriptor is written to that may be a file: one that may not get longer is an error then, not a death, which
 * would hide what has been done. The functions here see to it; so does cli_begin, once for all, unless `brief`. */
void cli_speaks(void);

/* Say what is wrong with the arguments, and the usage. Returns ST_USAGE. */
int cli_misuse(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Report a result that is not success for the queue or end `name`, unless it is an answer and -v was not given, and
 * turn it into a status. `why` may be NULL. */
int cli_fail(const struct cli *cli, const char *name, int code, const struct mpq_why *why);
/* The status of a result, without a word. */
int cli_status(int code);
/* -v: the last line, such as "mpq-put: jobs: 12 put", but for wrong usage, where nothing was begun. Returns the status. */
int cli_count(const struct cli *cli, const char *name, uint64_t n, const char *done, int status);

/* Open a queue or end; on failure *status says how, and it has been reported. */
struct mpq *cli_open(const struct cli *cli, const char *name, unsigned flags, int *status);
/* What to say when the file of a queue has been cut short under the mapping: main.c's handler cannot format. */
extern char cli_cut_short[];
/* The deadline of something that begins now. */
mpq_time cli_deadline(const struct cli *cli);
/* The owner that -o PID or -O names: 'o' with text, 'O' for the parent. ST_GO_ON or a status. */
int cli_owner(const struct cli *cli, const char *pid, struct mpq_owner *owner);

/* ---- cli_numbers.c: values of options -------------------------------------------------------------------- */

/* A decimal number of a range; a size with K, M, G; a time in seconds. ST_GO_ON or ST_USAGE, having said why. */
int cli_number(const struct cli *cli, const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *n);
int cli_size(const struct cli *cli, const char *what, const char *text, uint64_t *n);
int cli_seconds(const struct cli *cli, const char *what, const char *text, mpq_time *ns);

/* ---- cli_users.c: users by name and number --------------------------------------------------------------- */

/* The name of a user, or his number in `buf`. */
const char *user_name(uid_t uid, char *buf, size_t size);
/* Trust the owners that a text as of MPQ_OWNER names: names or numbers between commas, or "*". */
void cli_trust(struct cli *cli, const char *text);

#endif
