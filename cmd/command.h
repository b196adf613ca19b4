/* SPDX-License-Identifier: ISC
 *
 * command.h - the commands as functions; each returns its exit status.
 */
#ifndef MPQ_COMMAND_H
#define MPQ_COMMAND_H

#include "cli.h"

int mpq_attach_main(int argc, char **argv, struct io *io);
int mpq_close_main(int argc, char **argv, struct io *io);
int mpq_create_main(int argc, char **argv, struct io *io);
int mpq_get_main(int argc, char **argv, struct io *io);
int mpq_join_main(int argc, char **argv, struct io *io);
int mpq_ls_main(int argc, char **argv, struct io *io);
int mpq_move_main(int argc, char **argv, struct io *io);
int mpq_pipe_main(int argc, char **argv, struct io *io);
int mpq_put_main(int argc, char **argv, struct io *io);
int mpq_rm_main(int argc, char **argv, struct io *io);
int mpq_stat_main(int argc, char **argv, struct io *io);
int mpq_task_done_main(int argc, char **argv, struct io *io);
int mpq_wait_main(int argc, char **argv, struct io *io);
int mpq_work_main(int argc, char **argv, struct io *io);

#endif
