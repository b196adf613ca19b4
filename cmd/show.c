/* SPDX-License-Identifier: ISC
 *
 * show.c - the keys and values of a queue or end. See show.h.
 *
 * No value needs escaping in JSON: names have few letters, and users' names are taken as /etc/passwd has them, with
 * anything odd in them replaced.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "show.h"

const char *const show_keys[KEYS] = { "name", "kind", "state", "size", "bytes", "held", "unfinished", "maxsize",
	"maxbytes", "puts", "gets", "dones", "getters", "putters", "memory", "mode", "owner", "created" };

static void
set_number(struct show *show, int key, uint64_t n)
{
	snprintf(show->value[key], sizeof show->value[key], "%llu", (unsigned long long)n);
}

static void
set_file(struct show *show, mode_t mode, uid_t owner)
{
	snprintf(show->value[KEY_MODE], sizeof show->value[KEY_MODE], "%04o", mode & 07777);
	user_name(owner, show->value[KEY_OWNER], sizeof show->value[KEY_OWNER]);
	for (char *p = show->value[KEY_OWNER]; *p != '\0'; p++)
		if (!isprint((unsigned char)*p) || *p == '"' || *p == '\\')
			*p = '?';
}

/* What cannot be opened: name, mode and owner of the file. */
static int
show_file(const struct cli *cli, const char *name, const char *state, struct show *show)
{
	const char *dir = cli->place.dir != NULL ? cli->place.dir : "/dev/shm";
	char path[4096];
	struct stat st;

	snprintf(path, sizeof path, "%s/mpq.%.*s", dir, (int)strcspn(name, "@"), name);
	if (lstat(path, &st) == -1)
		return cli_fail(cli, name, errno == ENOENT ? MPQ_GONE : -errno, NULL);
	strcpy(show->value[KEY_STATE], state);
	set_file(show, st.st_mode, st.st_uid);
	show->status = ST_ERROR;
	return ST_OK;
}

int
show_fill(const struct cli *cli, const char *name, bool whole, struct show *show)
{
	struct mpq_stat *st = &show->st;
	struct mpq_why why = { 0 };
	struct mpq *q;
	int err = mpq_open(&cli->place, name, whole ? MPQ_WHOLE : 0, &q, &why);

	memset(show, 0, sizeof *show);
	snprintf(show->value[KEY_NAME], sizeof show->value[KEY_NAME], "%s", name);
	if (err == MPQ_OK) {
		if ((err = mpq_stat(q, st)) != MPQ_OK)
			why = *mpq_why(q);
		mpq_detach(q);
	}
	show->code = err, show->why = why;
	if (err == MPQ_BADNAME)
		return cli_misuse(cli, "%s: %s", name, mpq_strerror(err));
	if (err == MPQ_DENIED || err == -EACCES || err == -EPERM)
		return show_file(cli, name, "denied", show);
	if (err == MPQ_DAMAGED || err == MPQ_NOTQUEUE || err == MPQ_VERSION)
		return show_file(cli, name, "damaged", show);
	if (err != MPQ_OK)
		return cli_fail(cli, name, err, &why);
	strcpy(show->value[KEY_KIND], st->kind == MPQ_QUEUE ? "queue" : "pipe");
	strcpy(show->value[KEY_STATE], st->closed ? "closed" : "open");
	const uint64_t numbers[] = { st->size, st->bytes, st->held, st->unfinished, st->maxsize, st->maxbytes, st->puts,
		st->gets, st->dones, st->getters, st->putters, st->memory };

	for (int i = 0; i < (int)(sizeof numbers / sizeof numbers[0]); i++)
		set_number(show, KEY_SIZE + i, numbers[i]);
	set_file(show, st->mode, st->owner);
	set_number(show, KEY_CREATED, (uint64_t)st->created);
	return ST_OK;
}

static bool
is_text(int key)
{
	return key <= KEY_STATE || key == KEY_MODE || key == KEY_OWNER;
}

void
show_json(const struct show *show, FILE *out)
{
	const char *comma = "";

	fputc('{', out);
	for (int key = 0; key < KEYS; key++) {
		const char *quote = is_text(key) ? "\"" : "";

		if (show->value[key][0] == '\0')
			continue;
		fprintf(out, "%s\"%s\":%s%s%s", comma, show_keys[key], quote, show->value[key], quote);
		comma = ",";
	}
	fputc('}', out);
}
