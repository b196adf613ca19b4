// SPDX-License-Identifier: ISC
//
// boost.cpp - Boost.Interprocess message_queue as a channel: 1000 messages deep. Not crash-safe: who dies inside it
// keeps its lock.
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>

extern "C" {
#include "channel.h"

extern const size_t channel_limit = 16u << 20;
}

using boost::interprocess::message_queue;

static message_queue *queues[CHANNELS];
static char names[CHANNELS][64];

extern "C" void
channel_make(size_t size)
{
	const size_t depth = size <= 65536 ? 1000 : 64;

	for (int i = 0; i < CHANNELS; i++) {
		std::snprintf(names[i], sizeof(names[i]), "mpq-bench-boost.%d.%d", static_cast<int>(getpid()), i);
		try {
			queues[i] = new message_queue(boost::interprocess::create_only, names[i], depth, size);
		} catch (const boost::interprocess::interprocess_exception &e) {
			fail("message_queue", e.what());
		}
		// The mapping stays: the name is not needed any more, and nothing is left behind by a kill.
		message_queue::remove(names[i]);
	}
}

extern "C" void
channel_put(int channel, const void *message, size_t size)
{
	queues[channel]->send(message, size, 0);
}

extern "C" void
channel_get(int channel, void *message, size_t size)
{
	message_queue::size_type got;
	unsigned priority;

	queues[channel]->receive(message, size, got, priority);
	if (got != size)
		fail("receive", "another size");
}
