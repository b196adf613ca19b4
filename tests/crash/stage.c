/* SPDX-License-Identifier: ISC
 *
 * stage.c - queues prepared, and operations on them. See stage.h.
 */
#include "stage.h"

struct mpq_run run;
struct mpq_writer writer;
unsigned char letters[LONG_MESSAGE];

void
need(int err)
{
	if (err != MPQ_OK) {
		fprintf(stderr, "the stage cannot be set: %s\n", mpq_strerror(err));
		abort();
	}
}

struct mpq *
open_queue(const char *name)
{
	struct mpq *q;

	need(mpq_open(&place, name, 0, &q, NULL));
	return q;
}

/* ---- building -------------------------------------------------------------------------------------------- */

void
put_text(struct mpq *q, const char *text)
{
	need(mpq_put(q, text, strlen(text), MPQ_NOW));
}

void
put_a(struct mpq *q)
{
	put_text(q, "a");
}

void
put_abcd(struct mpq *q)
{
	put_text(q, "a");
	put_text(q, "b");
	put_text(q, "c");
	put_text(q, "d");
}

void
get_many(struct mpq *q, int n)
{
	static unsigned char buffer[200000];
	size_t len;

	while (n-- > 0)
		need(mpq_get(q, buffer, sizeof buffer, &len, MPQ_NOW));
}

void
got_a(struct mpq *q)
{
	put_a(q);
	get_many(q, 1);
}

void
used(struct mpq *q)
{
	got_a(q);
	need(mpq_task_done(q, NULL, 1, 0, NULL));
}

void
long_message(struct mpq *q)
{
	need(put_letters(q, 'z', 1300000));
}

/* ---- before the act -------------------------------------------------------------------------------------- */

void
take(struct mpq *q, uint64_t n, struct mpq_run *to)
{
	struct mpq_want want = { .msgs = n, .bytes = UINT64_MAX };

	need(mpq_take(q, &want, 0, MPQ_NOW, to));
}

void
take_run(struct mpq *q, uint64_t n)
{
	take(q, n, &run);
	need(mpq_sweep(q));
}

void
take_one(struct mpq *q)
{
	take_run(q, 1);
}

void
letters_x(struct mpq *q)
{
	(void)q;
	memset(letters, 'x', sizeof letters);
}

/* The handle has found out who it is, and dead owners have been looked for just now: that is not what is tried. */
void
know_self(struct mpq *q)
{
	struct mpq_want want = { .msgs = 1 };

	if (mpq_take(q, &want, 0, in_ms(1), &run) == MPQ_OK)
		need(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL));
	need(mpq_sweep(q));
}

/* ---- acts ------------------------------------------------------------------------------------------------ */

int
act_put(struct mpq *q)
{
	return mpq_put(q, "x", 1, MPQ_NOW);
}

int
act_put_long(struct mpq *q)
{
	return mpq_put(q, letters, sizeof letters, MPQ_NOW);
}

int
act_take(struct mpq *q)
{
	struct mpq_want want = { .msgs = 1, .flags = MPQ_COUNT_ATTEMPT };

	return mpq_take(q, &want, 0, MPQ_NOW, &run);
}

int
act_settle_all(struct mpq *q)
{
	return mpq_settle(q, &run, run.msgs, run.bytes, MPQ_GOT, NULL);
}

int
act_settle_done(struct mpq *q)
{
	return mpq_settle(q, &run, run.msgs, run.bytes, MPQ_DONE, NULL);
}

int
act_settle_none(struct mpq *q)
{
	return mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL);
}

int
act_done_all(struct mpq *q)
{
	return mpq_task_done(q, &keeper, MPQ_ALL, 0, NULL);
}

int
act_close(struct mpq *q)
{
	return mpq_close(q, MPQ_CLOSE);
}

int
act_close_now(struct mpq *q)
{
	return mpq_close(q, MPQ_CLOSE_NOW);
}

int
act_remove(struct mpq *q)
{
	(void)q;
	return mpq_remove(&place, QUEUE, 0, NULL);
}
