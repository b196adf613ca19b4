/* SPDX-License-Identifier: ISC
 *
 * signals.h - ending by a signal, but not in the middle of an account.
 */
#ifndef MPQ_SIGNALS_H
#define MPQ_SIGNALS_H

#include <stdbool.h>

/* From here on, a signal that would end the process has to wait. Two system calls with signals_die, where catching is a
 * hundred; for what cannot block. */
void signals_hold(void);

/* Are they held? */
bool signals_held(void);

/* From here on, a signal that would end the process is only noted, one that waits too. A system call that it finds
 * blocked returns EINTR; so does the next one, within a twentieth of a second, if the signal came just before it. */
void signals_catch(void);

/* The signal that was noted, or 0. */
int signals_caught(void);

/* End by the noted signal, or by one that waits, as if it had been neither caught nor held, if there is one. */
void signals_die(void);

/* In a child before exec: as they were before signals_catch. */
void signals_restore(void);

#endif
