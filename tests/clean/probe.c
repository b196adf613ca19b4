/* SPDX-License-Identifier: ISC
 *
 * probe.c - faults that memcheck must see: what an instrument does not report proves nothing if it is blind.
 *
 * Usage: probe clean | lost | beyond | unset | open
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	unsigned char *volatile bytes = malloc(10);

	if (bytes == NULL)
		return 1;
	if (strcmp(what, "beyond") == 0)
		bytes[10] = 1;
	else if (strcmp(what, "unset") == 0)
		printf("%s\n", bytes[9] == 7 ? "seven" : "another");
	else if (strcmp(what, "open") == 0 && open("/dev/null", O_RDONLY) == -1)
		return 1;
	if (strcmp(what, "lost") != 0)
		free(bytes);
	bytes = NULL;
	return 0;
}
