/* SPDX-License-Identifier: ISC
 *
 * cli_users.c - users by name and number, and whom MPQ_OWNER trusts.
 *
 * Names are looked up in /etc/passwd, not by NSS: static programs cannot, and need not wait for a network.
 */
#include <bsd/stdlib.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Call `each` for the entries of /etc/passwd until it says true. */
static bool
scan_users(bool (*each)(const struct passwd *, void *), void *arg)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry;
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && (entry = fgetpwent(file)) != NULL)
		found = each(entry, arg);
	fclose(file);
	return found;
}

struct user {
	uid_t uid;
	const char *name;
	char *buf;
	size_t size;
};

static bool
has_uid(const struct passwd *entry, void *arg)
{
	struct user *user = arg;

	if (entry->pw_uid != user->uid)
		return false;
	snprintf(user->buf, user->size, "%s", entry->pw_name);
	return true;
}

static bool
has_name(const struct passwd *entry, void *arg)
{
	struct user *user = arg;

	user->uid = entry->pw_uid;
	return strcmp(entry->pw_name, user->name) == 0;
}

const char *
user_name(uid_t uid, char *buf, size_t size)
{
	struct user user = { .uid = uid, .buf = buf, .size = size };

	if (!scan_users(has_uid, &user))
		snprintf(buf, size, "%u", uid);
	return buf;
}

/* Nobody is trusted for a name that is not found. */
void
cli_trust(struct cli *cli, const char *text)
{
	size_t room = 1;
	char *copy, *rest, *word;

	for (const char *p = text; *p != '\0'; p++)
		room += *p == ',';
	cli->trusted = calloc(room, sizeof *cli->trusted);
	copy = rest = strdup(text);
	while (cli->trusted != NULL && copy != NULL && (word = strsep(&rest, ",")) != NULL) {
		struct user user = { .name = word };
		const char *error;

		if (strcmp(word, "*") == 0)
			cli->place.trust_all = 1;
		else if (*word != '\0' && scan_users(has_name, &user))
			cli->trusted[cli->place.ntrusted++] = user.uid;
		else if (*word >= '0' && *word <= '9') {
			user.uid = (uid_t)strtonum(word, 0, UINT_MAX - 1, &error);
			if (error == NULL)
				cli->trusted[cli->place.ntrusted++] = user.uid;
		}
	}
	free(copy);
	cli->place.trusted = cli->trusted;
}
