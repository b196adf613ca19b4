/* SPDX-License-Identifier: ISC
 *
 * replay.c - the fuzz target segment.c without libFuzzer: the inputs of the tree, then as many made from them by chance as
 * wanted, always the same for a seed. For builds that libFuzzer is not made for: with counters of branches, with gcc's
 * analysis at run time.
 *
 * usage: replay [-n MADE] [-s SEED] FILE ...       FILE: an input; or NAME.hex, inputs in hexadecimal, one a line
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/tap.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 300u
#define LIMIT 10                             /* seconds, for one input: then it hangs */

struct input {
	uint8_t bytes[INPUT_MAX];
	size_t n;
};

static struct input *inputs;
static size_t ninputs;
static uint64_t seed = 1;

/* splitmix64 */
static size_t
roll(size_t n)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (size_t)((z ^ z >> 31) % n);
}

/* ---- the inputs of the tree ------------------------------------------------------------------------------ */

static struct input *
input_new(void)
{
	struct input *more = realloc(inputs, (ninputs + 1) * sizeof *inputs);

	if (more == NULL)
		abort();
	inputs = more;
	return memset(&inputs[ninputs++], 0, sizeof *inputs);
}

static void
read_hex(FILE *f)
{
	char line[2 * INPUT_MAX + 2];

	while (fgets(line, sizeof line, f) != NULL) {
		struct input *in;

		if (line[0] == '#')
			continue;
		in = input_new();
		for (const char *p = line; in->n < INPUT_MAX && sscanf(p, "%2" SCNx8, &in->bytes[in->n]) == 1; p += 2)
			in->n++;
	}
}

static bool
read_file(const char *path)
{
	const char *suffix = strrchr(path, '.');
	FILE *f = fopen(path, "rb");
	struct input *in;

	if (f == NULL)
		return false;
	if (suffix != NULL && strcmp(suffix, ".hex") == 0)
		read_hex(f);
	else {
		in = input_new();
		in->n = fread(in->bytes, 1, sizeof in->bytes, f);
	}
	fclose(f);
	return true;
}

/* ---- new ones -------------------------------------------------------------------------------------------- */

static void
insert(struct input *in, size_t at, uint8_t byte)
{
	if (in->n == INPUT_MAX)
		return;
	memmove(in->bytes + at + 1, in->bytes + at, in->n - at);
	in->bytes[at] = byte;
	in->n++;
}

/* The operations of one, the changes of another, and a few bytes different. */
static void
make(struct input *in)
{
	const struct input *a = &inputs[roll(ninputs)], *b = &inputs[roll(ninputs)];
	size_t cut = a->n != 0 ? roll(a->n) : 0, from = b->n != 0 ? roll(b->n) : 0;

	*in = *a;
	if (roll(2) == 0) {
		in->n = cut + (b->n - from) < INPUT_MAX ? cut + (b->n - from) : cut;
		memmove(in->bytes + cut, b->bytes + from, in->n - cut);
	}
	for (size_t i = 1 + roll(4); i > 0 && in->n != 0; i--) {
		size_t at = roll(in->n);

		switch (roll(5)) {
		case 0:
			insert(in, at, (uint8_t)roll(256));
			break;
		case 1:
			memmove(in->bytes + at, in->bytes + at + 1, in->n - at - 1);
			in->n--;
			break;
		case 2:
			in->bytes[at] = (uint8_t)(in->bytes[at] ^ 1u << roll(8));
			break;
		default:
			in->bytes[at] = (uint8_t)roll(256);
		}
	}
}

static void
run(const struct input *in)
{
	alarm(LIMIT);                        /* its signal ends the program, and that is the finding */
	LLVMFuzzerTestOneInput(in->bytes, in->n);
}

int
main(int argc, char **argv)
{
	unsigned long made = 0;
	struct input in;
	int option;

	while ((option = getopt(argc, argv, "n:s:")) != -1)
		if (option == 'n')
			made = strtoul(optarg, NULL, 10);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 10);
		else
			return 2;
	for (int i = optind; i < argc; i++)
		if (!read_file(argv[i])) {
			perror(argv[i]);
			return 2;
		}
	if (ninputs == 0)
		return 2;
	LLVMFuzzerInitialize(&argc, &argv);
	for (size_t i = 0; i < ninputs; i++)
		run(&inputs[i]);
	OK(true, "%zu inputs of the tree: no signal, no hang", ninputs);
	for (unsigned long i = 0; i < made; i++) {
		make(&in);
		run(&in);
	}
	OK(true, "%lu made from them: no signal, no hang", made);
	return tap_end();
}
