/* SPDX-License-Identifier: ISC
 *
 * posixmq.c - POSIX message queues as a channel: 10 messages of at most 8 KiB, the kernel's default limits.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"

const size_t channel_limit = 8192;

static mqd_t queues[CHANNELS];

void
channel_make(size_t size)
{
	struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = (long)size };
	char name[64];
	int i;

	for (i = 0; i < CHANNELS; i++) {
		snprintf(name, sizeof(name), "/mpq-bench.%d.%d", (int)getpid(), i);
		if ((queues[i] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr)) == (mqd_t)-1)
			fail("mq_open", strerror(errno));
		mq_unlink(name);
	}
}

void
channel_put(int channel, const void *message, size_t size)
{
	if (mq_send(queues[channel], message, size, 0) == -1)
		fail("mq_send", strerror(errno));
}

void
channel_get(int channel, void *message, size_t size)
{
	if (mq_receive(queues[channel], message, size, NULL) == -1)
		fail("mq_receive", strerror(errno));
}
