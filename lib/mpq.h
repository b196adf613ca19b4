/* SPDX-License-Identifier: ISC
 *
 * mpq.h - the public interface of the mpq library: named queues of messages, shared by processes.
 *
 * A queue holds messages, any bytes, first in first out. A two-way pipe is two such queues under one name; its
 * ends are named NAME@1 and NAME@2 and stand wherever a queue's name does.
 *
 * Rules that hold for every call
 *
 *   Result    0 is success. A positive value is one of enum mpq_code. A negative value is -errno of a system
 *             call. Nothing is printed, nothing exits, argv and environment are not read, no signal's disposition
 *             matters or is changed, there is no global state (one thread-local: the thread's list of robust
 *             locks, see MPQ_KEEP_ROBUST; and memory for the one handle of MPQ_BRIEF).
 *   Time      Deadlines are absolute, CLOCK_MONOTONIC, in nanoseconds. MPQ_NOW never waits (it still waits for
 *             the queue's lock, which is held for about a microsecond), MPQ_FOREVER never gives up.
 *   Signals   A wait that a signal handler interrupts returns MPQ_INTR with nothing taken or changed; come
 *             back with the same deadline to go on. A handler that runs in the last microseconds before the wait is not
 *             noticed, as with any call that waits. A getter may keep signals back for a tenth of a millisecond while
 *             it looks for a message, awake. (After a handler with SA_RESTART, the kernel may continue the
 *             sleep of an mpq_wait on several handles by itself, up to its deadline.)
 *   Threads   A handle belongs to one thread at a time. Threads that share a queue open a handle each.
 *   fork      A child may use inherited handles while the parent leaves them alone, or the other way round.
 *   Kills     Each call is atomic: a process killed inside one leaves it done or not begun. What a dead
 *             process had taken, reserved or held goes back to the queue, in its old order, as soon as anybody
 *             looks (within 250 ms if anybody waits).
 *   Trust     The bytes of a segment are hostile: every offset is checked before use. A queue that fails a
 *             check is marked damaged, for good, and every call on it returns MPQ_DAMAGED.
 *   Files     A handle keeps no file descriptor open (but see MPQ_BRIEF).
 */
#ifndef MPQ_H
#define MPQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum mpq_code {
	MPQ_OK = 0,
	MPQ_EMPTY,     /* no message within the time */
	MPQ_FULL,      /* no room within the time */
	MPQ_CLOSED,    /* put: closed; take: closed, and none left or held by others */
	MPQ_GONE,      /* no such queue, or it was removed meanwhile */
	MPQ_EXISTS,    /* create: the name is taken */
	MPQ_NOTYET,    /* join, wait: not within the time */
	MPQ_OVERDONE,  /* done: more than there were */
	MPQ_TOOBIG,    /* the message can never fit the queue's bounds */
	MPQ_INTR,      /* a signal handler ran */
	MPQ_DAMAGED,   /* a check of the segment failed */
	MPQ_DENIED,    /* its owner is not trusted: why.uid */
	MPQ_NOTQUEUE,  /* the name stands for something else */
	MPQ_VERSION,   /* made by another version, word size or byte order */
	MPQ_FOREIGN,   /* in use from another PID name space */
	MPQ_STUCK,     /* the lock's owner is stopped or does not let go: why.pid */
	MPQ_WRONGEND,  /* a pipe's bare name, an end of a queue, or an end that does not go this way */
	MPQ_BADNAME,   /* not a valid name */
	MPQ_NODIR,     /* the file system cannot hold queues (a network file system, or no fallocate) */
	MPQ_NOPROC,    /* no such process */
	MPQ_STALE      /* a run or reservation that this handle does not have */
};

/* What a code alone does not say. */
struct mpq_why {
	uid_t uid;         /* MPQ_DENIED: the owner of the queue */
	pid_t pid;         /* MPQ_STUCK: the owner of the lock */
	uint64_t free;     /* -ENOSPC: bytes free on the file system */
};

/* A short text without newline for any result of a call; never NULL; static or thread-safe (strerror_r). */
const char *mpq_strerror(int code);

typedef int64_t mpq_time;
#define MPQ_NOW ((mpq_time)0)
#define MPQ_FOREVER INT64_MAX

/* Now, on the clock of the deadlines. */
mpq_time mpq_now(void);

/* ---- names and places ------------------------------------------------------------------------------------ */

#define MPQ_NAME_MAX 200

/* Where queues live and whom to trust there. Zero it for the default place. */
struct mpq_place {
	const char *dir;         /* directory of the files mpq.NAME; NULL: /dev/shm, where owners are checked */
	const uid_t *trusted;    /* default place: owners to trust besides the caller and root */
	size_t ntrusted;
	int trust_all;           /* ... or trust everybody */
};

/* Is NAME a valid queue name (no end)? MPQ_OK or MPQ_BADNAME. */
int mpq_name_check(const char *name);

enum mpq_kind { MPQ_QUEUE, MPQ_PIPE, MPQ_SIMPLEX };

struct mpq_bounds {
	uint64_t maxsize;        /* messages; 0: no bound */
	uint64_t maxbytes;       /* bytes of messages, framing not counted; 0: no bound */
	mode_t mode;             /* exact; the umask is not applied */
	enum mpq_kind kind;
};

/* Make a queue or pipe. Atomic: the name appears with the whole segment behind it, or not at all; a kill leaves
 * nothing behind. MPQ_EXISTS, MPQ_BADNAME, MPQ_NODIR, -errno (why.free is set with -ENOSPC). `why` may be NULL
 * in every call that has it. */
int mpq_create(const struct mpq_place *place, const char *name, const struct mpq_bounds *bounds,
    struct mpq_why *why);

/* Remove the name and wake whoever waits (MPQ_GONE for them). Needs permission on the directory only. A segment
 * that cannot be opened or is damaged goes only with `force`. MPQ_GONE if there is none. */
int mpq_remove(const struct mpq_place *place, const char *name, int force, struct mpq_why *why);

/* Call `each` for every name in the place, in no order, until it returns nonzero; that value is returned.
 * Names only: what is behind them is not looked at. */
int mpq_list(const struct mpq_place *place, int (*each)(const char *name, void *arg), void *arg);

/* ---- handles --------------------------------------------------------------------------------------------- */

struct mpq;

enum {
	MPQ_KEEP_ROBUST = 1,   /* the thread uses glibc's robust mutexes: their list is put back after each call
	                        * (two system calls more); without it they lose their protection */
	MPQ_WHOLE = 2,         /* a pipe's bare name is welcome (stat, remove); such a handle moves no messages */
	MPQ_BRIEF = 4          /* the process does one thing and ends: no child of a fork uses the handle, and a descriptor
	                        * and the mapping stay until the process ends (some ten system calls fewer) */
};

/* Open NAME, or an end NAME@1, NAME@2. The handle is the caller's until mpq_detach. */
int mpq_open(const struct mpq_place *place, const char *name, unsigned flags, struct mpq **q, struct mpq_why *why);

/* Give the handle back. What it has taken and not settled returns to the queue (after MPQ_STUCK, if the lock still cannot
 * be had: when the process ends). */
void mpq_detach(struct mpq *q);

/* Details of the last error on this handle. */
const struct mpq_why *mpq_why(const struct mpq *q);

/* ---- messages: putting ----------------------------------------------------------------------------------- */

/* Put one message. It is whole in the queue when this returns 0, and not there at all otherwise.
 * MPQ_FULL, MPQ_CLOSED, MPQ_TOOBIG, MPQ_GONE, MPQ_INTR, -ENOSPC. */
int mpq_put(struct mpq *q, const void *msg, size_t len, mpq_time deadline);

/* Could a put be made at all? The deadline is for the lock only. MPQ_OK, MPQ_CLOSED, MPQ_WRONGEND, MPQ_GONE. */
int mpq_can_put(struct mpq *q, mpq_time deadline);

/* A message of more bytes than these never fits what puts go to; UINT64_MAX if any may. It is so for good. */
uint64_t mpq_most_bytes(const struct mpq *q);

/* How messages are told apart in a run of bytes. */
enum mpq_framing {
	MPQ_LINES = 1,    /* each ends with a newline */
	MPQ_NULS,         /* each ends with a NUL */
	MPQ_LENGTHS,      /* each is preceded by its length, 4 bytes big-endian, at most 0x7fffffff */
	MPQ_BARE          /* the run is one message, no framing */
};

/* A writer puts runs of messages that the caller reads straight into the queue's memory. The bytes between
 * mpq_writer_space and mpq_writer_commit are the process's own; if it dies they are freed. */
struct mpq_writer {
	struct mpq *q;
	enum mpq_framing framing;
	uint32_t reservation;    /* private to the library, as all below */
	uint32_t first, from;    /* where the uncommitted bytes begin */
	uint32_t last, fill;     /* where the next bytes go */
	uint64_t pending;        /* uncommitted bytes */
	uint32_t attempts;
	mpq_time patience;       /* may be set: how long space and append wait for the lock of a stopped owner; at first
	                          * MPQ_FOREVER */
};

/* Begin. Never fails, takes nothing. */
void mpq_writer_init(struct mpq_writer *w, struct mpq *q, enum mpq_framing framing);

/* Memory for the next bytes: at least one, aligned to 64 as long as whole spaces are filled. Grows the
 * reservation when needed. -ENOSPC, MPQ_GONE, ... */
int mpq_writer_space(struct mpq_writer *w, void **space, size_t *size);

/* `n` bytes have been stored at the space. */
void mpq_writer_fill(struct mpq_writer *w, size_t n);

/* Copy bytes in: space and fill in a loop. On an error what was copied before stays pending. */
int mpq_writer_append(struct mpq_writer *w, const void *bytes, size_t n);

/* Put the first `msgs` messages, `bytes` long with their framing, of what is pending; wait for room as long as
 * the deadline of each allows (it is taken anew for every wait from `patience`, in ns; MPQ_FOREVER: no limit).
 * What was put is counted in *put and *put_bytes, whatever is returned; the rest stays pending. */
int mpq_writer_commit(struct mpq_writer *w, uint64_t msgs, uint64_t bytes, mpq_time patience, uint64_t *put,
    uint64_t *put_bytes);

/* Pending bytes [skip, skip + n) copied out, to give them back to where they came from. */
void mpq_writer_peek(const struct mpq_writer *w, uint64_t skip, void *to, size_t n);

/* Drop what is pending and release the reservation. The writer can be used again. */
void mpq_writer_reset(struct mpq_writer *w);

/* ---- messages: taking ------------------------------------------------------------------------------------ */

/* A run of messages of one framing that this process has taken (or looks at) and not yet settled. */
struct mpq_run {
	uint64_t msgs;
	uint64_t bytes;             /* with framing */
	uint64_t seq;               /* ticket of the first: grows by one for each message put */
	enum mpq_framing framing;
	uint32_t attempts;          /* how often it was taken with MPQ_COUNT_ATTEMPT, this time included */
	uint32_t id;                /* private to the library */
	uint32_t chunk, from;       /* private to the library */
};

/* A process that holds messages: pid and start time, since pids come back. */
struct mpq_owner {
	pid_t pid;
	uint64_t start;
};

/* Identify a process. MPQ_NOPROC if it is not there (a zombie is not). */
int mpq_owner_of(pid_t pid, struct mpq_owner *owner);

struct mpq_want {
	uint64_t msgs;              /* at most so many messages, at least 1 */
	uint64_t bytes;             /* and about so many bytes with framing; one message is taken however long */
	const struct mpq_owner *owner;  /* whose holds do not stand in the way of MPQ_CLOSED; may be NULL */
	unsigned flags;
};

enum {
	MPQ_SHARE = 1,              /* leave others their share of what is there: those who wait, and all handles that have
	                               taken so and are not detached yet */
	MPQ_COUNT_ATTEMPT = 2,      /* one more attempt at it (msgs must be 1) */
	MPQ_PEEK = 4                /* look, do not take: the run stays in the queue; `after` tells where to go on */
};

/* Take the oldest messages. The run belongs to this process until mpq_settle; many runs may be out.
 * MPQ_EMPTY, MPQ_CLOSED, MPQ_GONE, MPQ_INTR.
 * MPQ_PEEK: the first run whose ticket is >= `after`; `after` is ignored otherwise. */
int mpq_take(struct mpq *q, const struct mpq_want *want, uint64_t after, mpq_time deadline, struct mpq_run *run);

/* The bytes of a run from `offset` on, as at most `n` pieces; *got pieces. The memory stays where it is until the
 * run is settled. Its contents are hostile: they may change between two looks. */
int mpq_run_map(struct mpq *q, const struct mpq_run *run, uint64_t offset, struct iovec *iov, int n, int *got);

/* Of the first `limit` bytes of a run: how many whole messages, how many bytes they are. */
int mpq_run_whole(struct mpq *q, const struct mpq_run *run, uint64_t limit, uint64_t *msgs, uint64_t *bytes);

enum mpq_fate {
	MPQ_GOT,                    /* it leaves the queue; it stays unfinished until task-done */
	MPQ_DONE,                   /* it leaves the queue and is counted done */
	MPQ_HOLD                    /* it stays held by `owner` until mpq_task_done */
};

/* The first `msgs` messages, `bytes` long, of the run meet their fate; the rest goes back to its old place. The
 * run is over. For a peek all arguments but the run are ignored. */
int mpq_settle(struct mpq *q, struct mpq_run *run, uint64_t msgs, uint64_t bytes, enum mpq_fate fate,
    const struct mpq_owner *owner);

/* One more attempt at the message of a run in hand (msgs 1), as if it had been taken with MPQ_COUNT_ATTEMPT again:
 * run->attempts grows by one, here and in the queue. */
int mpq_attempt(struct mpq *q, struct mpq_run *run);

/* Take one message and copy it out in one step: *len is its length; if it is longer than `size`, only *len is
 * set, nothing is taken, and MPQ_TOOBIG is returned. */
int mpq_get(struct mpq *q, void *buf, size_t size, size_t *len, mpq_time deadline);

/* ---- the account of tasks -------------------------------------------------------------------------------- */

#define MPQ_ALL UINT64_MAX

/* `count` messages are done with. owner NULL: they are only counted, and never those that others hold; else the
 * hold of `owner` ends on the `count` it took first (MPQ_ALL: on all, none being 0), and with `requeue` they go
 * back first instead of being done. MPQ_OVERDONE: there are not so many, nothing was changed.
 * *did (may be NULL) is the number. */
int mpq_task_done(struct mpq *q, const struct mpq_owner *owner, uint64_t count, int requeue, uint64_t *did);

/* Wait until nothing is unfinished (and, with `closed`, the queue is closed too). MPQ_NOTYET, MPQ_INTR. */
int mpq_join(struct mpq *q, int closed, mpq_time deadline);

enum mpq_closing {
	MPQ_CLOSE,                  /* no more puts; of a pipe's end: both directions, what was sent to it drops */
	MPQ_CLOSE_NOW,              /* and what is left is dropped, as done; what comes back from holders too */
	MPQ_CLOSE_WRITE             /* only what this end sends */
};
int mpq_close(struct mpq *q, enum mpq_closing how);

/* The end belongs to the process: when it ends, the end is closed as by MPQ_CLOSE. */
int mpq_own_end(struct mpq *q, const struct mpq_owner *owner);

/* ---- looking --------------------------------------------------------------------------------------------- */

struct mpq_stat {
	enum mpq_kind kind;
	int closed;
	uint64_t size, bytes, held, unfinished, maxsize, maxbytes, puts, gets, dones, getters, putters;
	uint64_t memory;            /* bytes of shared memory, of the whole segment */
	mode_t mode;
	uid_t owner;
	int64_t created;            /* seconds since 1970 */
};

/* All figures of one instant. Of an end: size, bytes, held, gets, getters of what it receives; puts, dones, unfinished,
 * putters of what it sends; closed if neither direction can be used any more. */
int mpq_stat(struct mpq *q, struct mpq_stat *st);

/* Look for dead owners now, whatever the clock says. */
int mpq_sweep(struct mpq *q);

enum mpq_ready { MPQ_READY_GET = 1, MPQ_READY_PUT, MPQ_READY_JOIN };
struct mpq_watch {
	struct mpq *q;
	enum mpq_ready what;
	int ready;                  /* out: 0 not, 1 ready, MPQ_GONE it was removed, or another code: an error */
};

/* Wait until at least one is ready. MPQ_NOTYET, MPQ_INTR. Any number; beyond 127, threads help (their signals blocked) that
 * are gone on return. A handle may be watched for several things. */
int mpq_wait(struct mpq_watch *watches, size_t n, mpq_time deadline);

/* Walk all of the segment under its lock: every invariant. MPQ_OK or MPQ_DAMAGED (and it is marked so). For
 * tests and the first opener after a restart; takes time in proportion to what is queued. */
int mpq_check(struct mpq *q);

#endif
