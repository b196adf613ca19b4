/* SPDX-License-Identifier: ISC
 *
 * empty.c - what a program costs that does nothing: the C library's start-up, and the kernel's exec and exit.
 */
int
main(void)
{
	return 0;
}
