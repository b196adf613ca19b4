/* SPDX-License-Identifier: ISC
 *
 * cli_numbers.c - what options have as values: decimal numbers, sizes, times.
 *
 * Digits, a unit behind those of sizes and times, and in a time one point: no sign, no blank, and no hexadecimal, which
 * strtod(3) would take.
 */
#include <bsd/stdlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define NSEC 1000000000
#define YEARS ((double)INT64_MAX / NSEC / 4)     /* seconds; longer is for ever */

int
cli_number(const struct cli *cli, const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *n)
{
	const char *error = NULL;

	if (*text < '0' || *text > '9')
		error = "not a number";
	else
		*n = (uint64_t)strtonum(text, (long long)min, (long long)(max < LLONG_MAX ? max : LLONG_MAX), &error);
	return error == NULL ? ST_GO_ON : cli_misuse(cli, "%s: %s: %s", what, text, error);
}

int
cli_size(const struct cli *cli, const char *what, const char *text, uint64_t *n)
{
	static const char units[] = "KMG";
	size_t digits = strspn(text, "0123456789");
	const char *unit = text[digits] != '\0' && text[digits + 1] == '\0' ? strchr(units, text[digits]) : NULL;
	unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
	char number[24];
	const char *error = NULL;

	if (digits == 0 || digits >= sizeof number || (text[digits] != '\0' && unit == NULL))
		return cli_misuse(cli, "%s: %s: not a size", what, text);
	memcpy(number, text, digits);
	number[digits] = '\0';
	*n = (uint64_t)strtonum(number, 0, LLONG_MAX >> shift, &error) << shift;
	return error == NULL ? ST_GO_ON : cli_misuse(cli, "%s: %s: %s", what, text, error);
}

int
cli_seconds(const struct cli *cli, const char *what, const char *text, mpq_time *ns)
{
	static const char units[] = "smhd";
	static const double seconds[] = { 1, 60, 3600, 86400 };
	size_t n = strspn(text, "0123456789."), digits = strspn(text, "0123456789");
	const char *unit = text[n] != '\0' && text[n + 1] == '\0' ? strchr(units, text[n]) : NULL;
	double value;

	if (text[digits] == '.')             /* at most one point, and a digit somewhere */
		digits += 1 + strspn(text + digits + 1, "0123456789");
	if (n == 0 || digits != n || (n == 1 && text[0] == '.') || (text[n] != '\0' && unit == NULL))
		return cli_misuse(cli, "%s: %s: not a number of seconds", what, text);
	value = strtod(text, NULL) * (unit != NULL ? seconds[unit - units] : 1);
	*ns = value > YEARS ? MPQ_FOREVER : (mpq_time)(value * NSEC);
	if (*ns == 0 && value > 0)
		*ns = 1;                     /* less than a nanosecond still is not "never wait" */
	return ST_GO_ON;
}
