/* SPDX-License-Identifier: ISC
 *
 * model.c - random operations on a queue, each compared with a model so simple that it is plainly right: an array of
 * messages by ticket, each queued, in hand, held or gone. The queue's order is that of the tickets, always.
 *
 * Usage: model [seed [operations [check-every]]]. The seed is printed; the same seed does the same.
 */
#include "room.h"

enum where { QUEUED, IN_HAND, HELD, GONE };
struct message {
	uint64_t content;            /* what its bytes are made from */
	uint32_t len, attempts;
	uint8_t flavour, where, holder;
};
enum flavour { TEXT, WITH_NEWLINES, WITH_NULS, ANYTHING };

#define HANDLES 3
#define RUNS 6
#define PINS 3
#define HOLDERS 2
#define MAX_MESSAGES 60000
#define BUFFER ((size_t)12 << 20)

static struct message message[MAX_MESSAGES];
static uint64_t puts_, gets_, dones_, first_;   /* first_: no queued message before this ticket */
static uint64_t maxsize_, maxbytes_, random_state, check_every = 100;
static struct mpq *handle[HANDLES];
static struct { struct mpq_run run; int handle; bool out; } hand[RUNS], pin[PINS];
static struct { struct mpq_owner who; uint64_t taken[MAX_MESSAGES]; size_t n; } holder[HOLDERS];
static unsigned char *buffer, *other;
static char complaint[400];
static const char *operation = "";

#define MUST(condition, ...)                                                                                     \
	do {                                                                                                     \
		if (!(condition)) {                                                                              \
			int n_ = snprintf(complaint, sizeof complaint, "%s: %s: ", operation, #condition);       \
			snprintf(complaint + n_, sizeof complaint - (size_t)n_, __VA_ARGS__);                    \
			return false;                                                                            \
		}                                                                                                \
	} while (0)
#define GOOD(call)                                                                                               \
	do {                                                                                                     \
		int err_ = (call);                                                                               \
		MUST(err_ == MPQ_OK, "%s", mpq_strerror(err_));                                                  \
	} while (0)

static uint64_t
roll(uint64_t n)
{
	return next_random(&random_state) % n;
}

/* ---- contents -------------------------------------------------------------------------------------------- */

static uint32_t
some_length(void)
{
	static const uint32_t edges[] = { 0, 0, 1, 2, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 4097, 4100, 16383,
		16384, 65531, 65532, 65535, 65536, 65537, 65541, 131072 };
	uint64_t kind = roll(1000);

	if (kind < 700)
		return (uint32_t)roll(60);
	if (kind < 900)
		return (uint32_t)roll(5000);
	if (kind < 985)
		return edges[roll(sizeof edges / sizeof edges[0])];
	if (kind < 998)
		return (uint32_t)roll(300000);
	return (uint32_t)roll((uint64_t)5 << 20);
}

static void
make_bytes(const struct message *m, unsigned char *to)
{
	uint64_t state = m->content, word = 0;

	for (uint32_t i = 0; i < m->len; i++) {
		if (i % 8 == 0)
			word = next_random(&state);
		to[i] = (unsigned char)(word >> i % 8 * 8);
		if (m->flavour == TEXT || m->flavour == WITH_NULS)
			to[i] = to[i] == '\n' ? 'n' : to[i];
		if (m->flavour == TEXT || m->flavour == WITH_NEWLINES)
			to[i] = to[i] == '\0' ? 'z' : to[i];
	}
}

static struct message
new_message(enum mpq_framing framing)
{
	struct message m = { .content = next_random(&random_state), .len = some_length(), .where = QUEUED };

	m.flavour = (uint8_t)(framing == MPQ_LINES ? (roll(2) ? TEXT : WITH_NULS) : framing == MPQ_NULS ?
	    (roll(2) ? TEXT : WITH_NEWLINES) : roll(3) ? TEXT : ANYTHING);
	return m;
}

/* ---- the model ------------------------------------------------------------------------------------------- */

static uint64_t
next_queued(uint64_t ticket)
{
	while (ticket < puts_ && message[ticket].where != QUEUED)
		ticket++;
	return ticket;
}

static uint64_t
front(void)
{
	return first_ = next_queued(first_);
}

static void
come_back(uint64_t ticket)
{
	message[ticket].where = QUEUED;
	if (ticket < first_)
		first_ = ticket;
}

static struct mpq_stat
totals(void)
{
	struct mpq_stat t = { .puts = puts_, .gets = gets_, .dones = dones_, .unfinished = puts_ - dones_ };

	for (uint64_t i = 0; i < puts_; i++) {
		t.size += message[i].where == QUEUED;
		t.bytes += message[i].where == QUEUED ? message[i].len : 0;
		t.held += message[i].where == IN_HAND || message[i].where == HELD;
	}
	return t;
}

static void
count_done(uint64_t n)
{
	dones_ += n < puts_ - dones_ ? n : puts_ - dones_;
}

static bool
compare_totals(struct mpq *q)
{
	struct mpq_stat want = totals(), got;

	GOOD(mpq_stat(q, &got));
	MUST(got.size == want.size, "%llu, not %llu", (long long)got.size, (long long)want.size);
	MUST(got.bytes == want.bytes, "%llu, not %llu", (long long)got.bytes, (long long)want.bytes);
	MUST(got.held == want.held, "%llu, not %llu", (long long)got.held, (long long)want.held);
	MUST(got.puts == want.puts && got.gets == want.gets, "puts %llu gets %llu, not %llu", (long long)got.puts,
	    (long long)got.gets, (long long)want.gets);
	MUST(got.unfinished == want.unfinished, "%llu, not %llu", (long long)got.unfinished,
	    (long long)want.unfinished);
	MUST(got.getters == 0 && got.putters == 0, "somebody waits");
	return true;
}

/* What put must answer now. */
static int
room_for(uint32_t len)
{
	struct mpq_stat t;

	if (maxbytes_ != 0 && len > maxbytes_)
		return MPQ_TOOBIG;
	if (maxsize_ == 0 && maxbytes_ == 0)
		return MPQ_OK;
	t = totals();
	return (maxsize_ != 0 && t.size >= maxsize_) || (maxbytes_ != 0 && t.bytes + len > maxbytes_) ? MPQ_FULL :
	    MPQ_OK;
}

/* ---- putting --------------------------------------------------------------------------------------------- */

static bool
do_put(struct mpq *q)
{
	struct message m = new_message(MPQ_LENGTHS);
	int want = room_for(m.len), got;

	make_bytes(&m, buffer);
	got = mpq_put(q, buffer, m.len, MPQ_NOW);
	MUST(got == want, "length %u: %s, not %s", m.len, mpq_strerror(got), mpq_strerror(want));
	if (got == MPQ_OK)
		message[puts_++] = m;
	return true;
}

static size_t
frame(const struct message *m, enum mpq_framing framing, unsigned char *to)
{
	if (framing == MPQ_LENGTHS) {
		for (int i = 0; i < 4; i++)
			to[i] = (unsigned char)(m->len >> (24 - 8 * i));
		make_bytes(m, to + 4);
		return m->len + 4;
	}
	make_bytes(m, to);
	if (framing == MPQ_BARE)
		return m->len;
	to[m->len] = framing == MPQ_LINES ? '\n' : '\0';
	return m->len + 1;
}

/* Commit all that was written; how many the bounds let in. */
static bool
commit_some(struct mpq_writer *w, const struct message *m, const size_t *bytes, size_t n, size_t *done)
{
	uint64_t put, put_bytes, all = 0, fit = 0, fit_bytes = 0;
	int want = n > 0 ? room_for(m[0].len) : MPQ_OK, got;
	struct mpq_stat t = totals();

	for (size_t i = 0; i < n; i++)
		all += bytes[i];
	for (size_t i = 0; i < n; i++, fit++) {
		if ((maxsize_ != 0 && t.size + i >= maxsize_) || (maxbytes_ != 0 && t.bytes + m[i].len > maxbytes_))
			break;
		t.bytes += m[i].len;
		fit_bytes += bytes[i];
	}
	if (fit < n && fit > 0)
		want = maxbytes_ != 0 && m[fit].len > maxbytes_ ? MPQ_TOOBIG : MPQ_FULL;
	got = mpq_writer_commit(w, n, all, 0, &put, &put_bytes);
	MUST(got == want, "%zu messages: %s, not %s", n, mpq_strerror(got), mpq_strerror(want));
	MUST(put == fit && put_bytes == fit_bytes, "%llu of %zu, not %llu", (long long)put, n, (long long)fit);
	*done = put;
	return true;
}

static bool
do_write(struct mpq *q)
{
	enum mpq_framing framing = (enum mpq_framing)(1 + roll(4));
	size_t n = framing == MPQ_BARE ? 1 : roll(20) == 0 ? 1 + roll(400) : 1 + roll(20), bytes[400], done;
	struct message m[400];
	struct mpq_writer w;
	bool good;

	mpq_writer_init(&w, q, framing);
	for (unsigned rounds = framing == MPQ_BARE ? 1 : 1 + (unsigned)roll(3); rounds > 0; rounds--) {
		for (size_t i = 0; i < n; i++) {
			do
				m[i] = new_message(framing);
			while (n > 20 && m[i].len > 5000);
			if (framing == MPQ_BARE && m[i].len == 0)
				m[i].len = 1;
			bytes[i] = frame(&m[i], framing, buffer);
			GOOD(mpq_writer_append(&w, buffer, bytes[i]));
		}
		good = commit_some(&w, m, bytes, n, &done);
		for (size_t i = 0; good && i < done; i++)
			message[puts_++] = m[i];
		if (!good || done < n)
			break;
	}
	mpq_writer_reset(&w);
	return good;
}

/* ---- taking ---------------------------------------------------------------------------------------------- */

static bool
collect(struct mpq *q, const struct mpq_run *run)
{
	struct iovec iov[7];
	uint64_t at = 0;
	int n;

	MUST(run->bytes <= BUFFER, "%llu bytes", (long long)run->bytes);
	while (at < run->bytes) {
		GOOD(mpq_run_map(q, run, at, iov, 7, &n));
		MUST(n > 0, "no bytes at %llu", (long long)at);
		for (int i = 0; i < n; at += iov[i++].iov_len)
			memcpy(other + at, iov[i].iov_base, iov[i].iov_len);
	}
	MUST(at == run->bytes, "%llu bytes", (long long)at);
	return true;
}

/* The run's bytes are those of the messages from its ticket on. */
static bool
verify_run(struct mpq *q, const struct mpq_run *run, uint64_t msgs, uint64_t *bytes)
{
	size_t n;

	*bytes = 0;
	if (!collect(q, run))
		return false;
	for (uint64_t i = 0; i < msgs; i++, *bytes += n) {
		n = frame(&message[run->seq + i], run->framing, buffer);
		MUST(*bytes + n <= run->bytes, "message %llu too long", (long long)i);
		MUST(memcmp(other + *bytes, buffer, n) == 0, "message %llu of run at %llu differs", (long long)i,
		    (long long)run->seq);
	}
	return true;
}

static bool
do_get(struct mpq *q)
{
	uint64_t t = front();
	size_t size = roll(4) == 0 ? roll(5000) : BUFFER, len = 12345;
	int got = mpq_get(q, other, size, &len, MPQ_NOW);
	struct message *m = &message[t];

	if (t == puts_) {
		MUST(got == MPQ_EMPTY, "%s", mpq_strerror(got));
		return true;
	}
	if (m->len > size) {
		MUST(got == MPQ_TOOBIG && len == m->len, "%s, length %zu", mpq_strerror(got), len);
		return true;
	}
	MUST(got == MPQ_OK && len == m->len, "%s, length %zu, not %u", mpq_strerror(got), len, m->len);
	make_bytes(m, buffer);
	MUST(memcmp(other, buffer, len) == 0, "ticket %llu differs", (long long)t);
	m->where = GONE;
	gets_++;
	return true;
}

static bool
do_take(struct mpq *q, int which)
{
	uint64_t t = front(), whole;
	struct mpq_want want = { .msgs = 1 + roll(roll(3) ? 4 : 500), .bytes = roll(2) ? UINT64_MAX : roll(100000) };
	int slot = 0, got;
	struct mpq_run run;

	while (slot < RUNS && hand[slot].out)
		slot++;
	if (slot == RUNS)
		return true;
	if (roll(4) == 0)
		want.msgs = 1, want.flags = MPQ_COUNT_ATTEMPT;
	want.flags |= roll(2) ? MPQ_SHARE : 0;
	got = mpq_take(q, &want, roll(100), MPQ_NOW, &run);
	if (t == puts_) {
		MUST(got == MPQ_EMPTY, "%s", mpq_strerror(got));
		return true;
	}
	MUST(got == MPQ_OK, "%s", mpq_strerror(got));
	MUST(run.seq == t && run.msgs >= 1 && run.msgs <= want.msgs, "ticket %llu, not %llu; %llu messages",
	    (long long)run.seq, (long long)t, (long long)run.msgs);
	MUST(run.bytes <= want.bytes || run.msgs == 1, "%llu bytes", (long long)run.bytes);
	for (uint64_t i = 0; i < run.msgs; i++) {
		struct message *m = &message[t + i];

		MUST(t + i < puts_ && m->where == QUEUED, "message %llu is not queued", (long long)i);
		m->where = IN_HAND;
		m->attempts += (want.flags & MPQ_COUNT_ATTEMPT) != 0;
		MUST(m->attempts == run.attempts, "attempts %u, not %u", run.attempts, m->attempts);
	}
	hand[slot].run = run, hand[slot].handle = which, hand[slot].out = true;
	return verify_run(q, &run, run.msgs, &whole) && whole == run.bytes;
}

static bool
do_settle(int slot)
{
	struct mpq_run run = hand[slot].run;
	struct mpq *q = handle[hand[slot].handle];
	uint64_t n = roll(3) == 0 ? 0 : roll(2) ? run.msgs : roll(run.msgs + 1), bytes;
	enum mpq_fate fate = (enum mpq_fate)roll(3);
	unsigned h = (unsigned)roll(HOLDERS);

	if (!verify_run(q, &run, n, &bytes))
		return false;
	GOOD(mpq_settle(q, &hand[slot].run, n, bytes, fate, &holder[h].who));
	hand[slot].out = false;
	for (uint64_t i = 0; i < run.msgs; i++) {
		uint64_t t = run.seq + i;

		if (i >= n) {
			come_back(t);
			continue;
		}
		message[t].where = fate == MPQ_HOLD ? HELD : GONE;
		message[t].holder = (uint8_t)h;
		if (fate == MPQ_HOLD)
			holder[h].taken[holder[h].n++] = t;
	}
	gets_ += n;
	if (fate == MPQ_DONE)
		count_done(n);
	return true;
}

/* ---- looking --------------------------------------------------------------------------------------------- */

static bool
do_peek(struct mpq *q, int which)
{
	uint64_t after = roll(3) ? 0 : puts_ - roll(puts_ + 1), t = next_queued(after), whole;
	struct mpq_want want = { .msgs = 1 + roll(50), .bytes = roll(2) ? UINT64_MAX : roll(100000), .flags = MPQ_PEEK };
	struct mpq_run run;
	int slot = 0, got;

	while (slot < PINS && pin[slot].out)
		slot++;
	if (slot == PINS)
		return true;
	got = mpq_take(q, &want, after, MPQ_NOW, &run);
	if (t == puts_) {
		MUST(got == MPQ_EMPTY, "%s", mpq_strerror(got));
		return true;
	}
	MUST(got == MPQ_OK, "%s", mpq_strerror(got));
	MUST(run.seq == t && run.msgs >= 1 && run.msgs <= want.msgs, "ticket %llu, not %llu; %llu messages",
	    (long long)run.seq, (long long)t, (long long)run.msgs);
	pin[slot].run = run, pin[slot].handle = which, pin[slot].out = true;
	return verify_run(q, &run, run.msgs, &whole) && whole == run.bytes;
}

/* What was looked at is still there, whatever has become of the messages. */
static bool
do_unpin(int slot)
{
	struct mpq_run *run = &pin[slot].run;
	uint64_t whole;

	if (!verify_run(handle[pin[slot].handle], run, run->msgs, &whole))
		return false;
	GOOD(mpq_settle(handle[pin[slot].handle], run, 0, 0, MPQ_GOT, NULL));
	pin[slot].out = false;
	return true;
}

/* ---- tasks ----------------------------------------------------------------------------------------------- */

static bool
do_count(struct mpq *q)
{
	struct mpq_stat t = totals();
	uint64_t open = t.unfinished > t.held ? t.unfinished - t.held : 0, did = 0;
	uint64_t n = roll(4) == 0 ? MPQ_ALL : roll(10);
	int got = mpq_task_done(q, NULL, n, 0, &did);

	if (n != MPQ_ALL && n > open) {
		MUST(got == MPQ_OVERDONE, "%s", mpq_strerror(got));
		return true;
	}
	n = n == MPQ_ALL ? open : n;
	MUST(got == MPQ_OK && did == n, "%s: %llu, not %llu", mpq_strerror(got), (long long)did, (long long)n);
	count_done(n);
	return true;
}

static bool
do_held(struct mpq *q)
{
	unsigned h = (unsigned)roll(HOLDERS);
	size_t have = holder[h].n, n = roll(3) == 0 ? have : roll(10);
	bool all = roll(3) == 0;
	int requeue = (int)roll(2), got;
	uint64_t did = 0;

	got = mpq_task_done(q, &holder[h].who, all ? MPQ_ALL : n, requeue, &did);
	if (!all && n > have) {
		MUST(got == MPQ_OVERDONE, "%s", mpq_strerror(got));
		return true;
	}
	n = all ? have : n;
	MUST(got == MPQ_OK && did == n, "%s: %llu, not %zu", mpq_strerror(got), (long long)did, n);
	for (size_t i = 0; i < n; i++) {
		if (requeue)
			come_back(holder[h].taken[i]);
		else
			message[holder[h].taken[i]].where = GONE;
	}
	memmove(holder[h].taken, holder[h].taken + n, (have - n) * sizeof holder[h].taken[0]);
	holder[h].n -= n;
	if (!requeue)
		count_done(n);
	return true;
}

/* ---- handles and processes that go ----------------------------------------------------------------------- */

static bool
do_detach(int which)
{
	mpq_detach(handle[which]);
	handle[which] = room_open("model");
	for (int i = 0; i < RUNS; i++) {
		if (!hand[i].out || hand[i].handle != which)
			continue;
		for (uint64_t t = 0; t < hand[i].run.msgs; t++)
			come_back(hand[i].run.seq + t);
		hand[i].out = false;
	}
	for (int i = 0; i < PINS; i++)
		if (pin[i].handle == which)
			pin[i].out = false;
	return true;
}

static void
die_with_things(uint64_t seed)
{
	struct mpq *q = room_open("model");
	struct mpq_writer w;
	struct mpq_run run;
	void *space;
	size_t size;

	random_state = seed;
	mpq_writer_init(&w, q, MPQ_LINES);
	for (unsigned n = (unsigned)roll(4); n > 0; n--) {
		struct mpq_want want = { .msgs = 1 + roll(30), .bytes = UINT64_MAX, .flags = roll(2) ? MPQ_PEEK : 0 };

		mpq_take(q, &want, 0, MPQ_NOW, &run);
		if (roll(3) == 0 && mpq_writer_space(&w, &space, &size) == MPQ_OK)
			mpq_writer_fill(&w, size);
	}
	raise(SIGKILL);
}

/* All that a dead process had comes back. */
static bool
do_die(struct mpq *q)
{
	uint64_t seed = next_random(&random_state);
	pid_t pid = child();

	if (pid == 0)
		die_with_things(seed);
	MUST(reap_child(pid) == 256 + SIGKILL, "the child did not get there");
	GOOD(mpq_sweep(q));
	return true;
}

/* ---- the run --------------------------------------------------------------------------------------------- */

static bool
one_operation(void)
{
	int which = (int)roll(HANDLES), slot = (int)roll(RUNS);
	struct mpq *q = handle[which];
	uint64_t kind = roll(1000);

#define DO(share, name, call)                                                                                    \
	if (kind < (share)) {                                                                                    \
		operation = (name);                                                                              \
		return (call);                                                                                   \
	}                                                                                                        \
	kind -= (share)
	DO(250, "put", do_put(q));
	DO(60, "write", do_write(q));
	DO(180, "get", do_get(q));
	DO(150, "take", do_take(q, which));
	DO(180, "settle", !hand[slot].out || do_settle(slot));
	DO(40, "peek", do_peek(q, which));
	DO(50, "unpin", !pin[slot % PINS].out || do_unpin(slot % PINS));
	DO(25, "task-done", do_count(q));
	DO(50, "task-done -o", do_held(q));
	DO(10, "detach", do_detach(which));
	DO(5, "die", do_die(q));
#undef DO
	return true;
}

/* Operations on one queue. */
static bool
episode(uint64_t operations)
{
	operation = "begin";
	maxsize_ = roll(3) == 0 ? 1 + roll(300) : 0;
	maxbytes_ = roll(3) == 0 ? 1 + roll(1000000) : 0;
	puts_ = gets_ = dones_ = first_ = 0;
	memset(hand, 0, sizeof hand);
	memset(pin, 0, sizeof pin);
	for (int h = 0; h < HOLDERS; h++)
		holder[h].n = 0;
	handle[0] = room_queue("model", maxsize_, maxbytes_, MPQ_QUEUE);
	for (int i = 1; i < HANDLES; i++)
		handle[i] = room_open("model");
	for (uint64_t i = 0; i < operations && puts_ < MAX_MESSAGES - 2000; i++) {
		if (!one_operation())
			return false;
		if (i % check_every != check_every - 1)
			continue;
		GOOD(mpq_check(handle[0]));
		if (!compare_totals(handle[roll(HANDLES)]))
			return false;
	}
	for (int i = 0; i < HANDLES; i++)
		mpq_detach(handle[i]);
	return true;
}

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	uint64_t left = argc > 2 ? strtoull(argv[2], NULL, 0) : 20000, done = 0;
	pid_t pid[HOLDERS];
	bool good = true;

	check_every = argc > 3 ? strtoull(argv[3], NULL, 0) : check_every;
	room_make();
	buffer = malloc(2 * BUFFER);
	other = buffer + BUFFER;
	random_state = seed;
	for (int h = 0; h < HOLDERS; h++) {
		if ((pid[h] = child()) == 0)
			for (;;)
				pause();
		mpq_owner_of(pid[h], &holder[h].who);
	}
	for (uint64_t n; good && left > 0; left -= n, done += n) {
		n = left < 2000 ? left : 2000;
		good = episode(n);
	}
	OK(good, "%llu random operations agree with the model (seed %llu)", (long long)done, (long long)seed);
	if (!good)
		diag("%s (maxsize %llu, maxbytes %llu)", complaint, (long long)maxsize_, (long long)maxbytes_);
	for (int h = 0; h < HOLDERS; h++)
		kill_child(pid[h]);
	return tap_end();
}
