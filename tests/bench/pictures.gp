# SPDX-License-Identifier: ISC
#
# pictures.gp - the two pictures of the report, from medians.tsv in `dir`: table, row, size, seconds and CPU seconds
# for each message.
set terminal svg size 760,460 font "sans-serif,13" background "white"
set datafile separator "\t"
set key outside bottom center horizontal
set grid lc rgb "#dddddd"
set border 3
set tics nomirror
set logscale xy
data = dir."/medians.tsv"
pick(row) = sprintf("< awk -F'\\t' '$1 ~ /^b/ && $2 == \"%s\"' '%s'", row, data)
many(row) = sprintf("< awk -F'\\t' '$1 == \"e\" && sub(/^%s\\./, \"\", $2)' OFS='\\t' '%s'", row, data)

set output dir."/rate.svg"
set title "One producer, one consumer: rate over message size"
set xlabel "bytes of a message"
set ylabel "bytes per second"
set format x "%.0s %c"
set format y "%.0s %cB"
set style data linespoints
plot pick("mpq") using 3:($3/$4) title "mpq-put, mpq-get -a" lw 3 lc rgb "#c03020" pt 7, \
	pick("cats2") using 3:($3/$4) title "two cats" lw 2 lc rgb "#3060a0" pt 5, \
	pick("pump") using 3:($3/$4) title "C pipe pair, 64 KiB" lw 2 lc rgb "#60a0d0" pt 5, \
	pick("lib") using 3:($3/$4) title "library, each" lw 2 lc rgb "#e09080" pt 7, \
	pick("pipe") using 3:($3/$4) title "pipe, a write of each" lw 2 lc rgb "#707070" pt 9, \
	pick("boost") using 3:($3/$4) title "Boost message\\_queue" lw 2 lc rgb "#50a060" pt 11, \
	pick("posixmq") using 3:($3/$4) title "POSIX mq" lw 2 lc rgb "#a080c0" pt 13, \
	pick("redis") using 3:($3/$4) title "Redis" lw 2 lc rgb "#c0a040" pt 13, \
	pick("Queue") using 3:($3/$4) title "Python Queue" lw 2 lc rgb "#000000" pt 1

set output dir."/consumers.svg"
set title "One producer, waiting consumers: machine time of a message"
set xlabel "waiting consumers"
set ylabel "microseconds of CPU"
set format x "%g"
set format y "%g"
plot many("mpq") using 2:($5*1e6) title "library, mpq\\_get" lw 3 lc rgb "#c03020" pt 7, \
	many("share") using 2:($5*1e6) title "library, runs" lw 2 lc rgb "#e09080" pt 7, \
	many("pipe") using 2:($5*1e6) title "pipe" lw 2 lc rgb "#3060a0" pt 5
