/* SPDX-License-Identifier: ISC
 *
 * stage.h - queues prepared for what is tried with them, and the operations that are tried: those which are killed
 * (scenes.c) as well as held up (pause.c).
 *
 * What prepares a queue ends the process if it cannot. An operation's result is returned.
 */
#ifndef STAGE_H
#define STAGE_H

#include "world.h"

#define LONG_MESSAGE 70000           /* longer than a chunk */

/* What the process has in hand. */
extern struct mpq_run run;
extern struct mpq_writer writer;
extern unsigned char letters[LONG_MESSAGE];

/* It must be MPQ_OK. */
void need(int err);
struct mpq *open_queue(const char *name);

/* In the process that builds the queue. */
void put_text(struct mpq *q, const char *text);
void put_a(struct mpq *q);
void put_abcd(struct mpq *q);
void get_many(struct mpq *q, int n);
void got_a(struct mpq *q);               /* one is unfinished, none is there */
void used(struct mpq *q);                /* empty, with room for more */
void long_message(struct mpq *q);        /* most of its memory is given back when it has gone and nothing else is there */

/* In the process that is killed or held up, before. */
void take(struct mpq *q, uint64_t n, struct mpq_run *to);
void take_run(struct mpq *q, uint64_t n);
void take_one(struct mpq *q);
void letters_x(struct mpq *q);
void know_self(struct mpq *q);

/* What it is killed or held up in. */
int act_put(struct mpq *q);
int act_put_long(struct mpq *q);
int act_take(struct mpq *q);
int act_settle_all(struct mpq *q);
int act_settle_done(struct mpq *q);
int act_settle_none(struct mpq *q);
int act_done_all(struct mpq *q);
int act_close(struct mpq *q);
int act_close_now(struct mpq *q);
int act_remove(struct mpq *q);

#endif
