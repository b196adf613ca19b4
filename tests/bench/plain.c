/* SPDX-License-Identifier: ISC
 *
 * plain.c - what there is to say of a channel that only puts and gets: processes inherit it, it gives one message at a
 * time, the last process that ends removes it, and it can do nothing else.
 */
#include "channel.h"

const char *const channel_usage = "";

void
channel_open(void)
{
}

unsigned
channel_take(int channel, void *message, size_t size)
{
	channel_get(channel, message, size);
	return 1;
}

void
channel_remove(void)
{
}

int
channel_extra(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return -1;
}
