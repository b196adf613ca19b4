# SPDX-License-Identifier: ISC
#
# table.awk - one table from the rows, goals and figures of tests/bench/run, in Markdown that also reads as text.
#
#   row ID UNIT PEER SIZE LABEL     UNIT is ns, us, ms: of time; else that of `value`
#   goal ID KIND LIMIT PEER         see run
#   fig ID ROUND N WALL CPU VALUE   or: fig ID ROUND none WHY
#
# Fields are separated by tabs. Ratios are taken within a round; what is printed is the median over the rounds.
# Variables: medians and verdicts, files to append to; table, the table's id.

BEGIN { FS = "\t"; scale["ns"] = 1e9; scale["us"] = 1e6; scale["ms"] = 1e3 }
$1 == "row" { rows[++nrows] = $2; unit[$2] = $3; peer[$2] = $4; size[$2] = $5; label[$2] = $6; if ($5) sized = 1 }
$1 == "goal" { goals[$2, ++ngoals[$2]] = $3 FS $4 FS $5 }
$1 == "fig" && $4 == "none" { why[$2] = $5 }
$1 == "fig" && $4 != "none" {
	wall[$2, $3] = $5 / $4; cpu[$2, $3] = $6 / $4; value[$2, $3] = $7; count[$2] = $4
	if ($3 > rounds) rounds = $3
}

function median(a, n,    i, j, x) {
	if (n == 0) return ""
	for (i = 2; i <= n; i++) {
		x = a[i]
		for (j = i - 1; j > 0 && a[j] > x; j--) a[j + 1] = a[j]
		a[j + 1] = x
	}
	return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}

# Median of one figure, or of its ratio to another row's in the same round.
function middle(what, id, other,    a, n, r, x, y) {
	n = 0
	for (r = 1; r <= rounds; r++) {
		if (!((id, r) in wall) || (other != "" && !((other, r) in wall))) continue
		x = what == "wall" ? wall[id, r] : what == "cpu" ? cpu[id, r] : value[id, r]
		if (other != "") {
			y = what == "wall" ? wall[other, r] : what == "cpu" ? cpu[other, r] : value[other, r]
			if (y <= 0) continue
			x /= y
		}
		a[++n] = x
	}
	return median(a, n)
}

function number(x) {
	if (x == "") return "-"
	return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.2f", x)
}

function amount(x) {
	if (x == "") return "-"
	return x >= 1e6 ? number(x / 1e6) " M" : x >= 1e3 ? number(x / 1e3) " k" : number(x)
}

# Each kind: what is measured, whether more is better, how it is said.
function judge(id, kind, limit, other,    x, more, said, met, also) {
	more = 0
	if (kind == "rate") { x = middle("wall", id, other); x = x ? 1 / x : ""; more = 1; said = "x the rate of " label[other] }
	else if (kind == "wall") { x = middle("wall", id, other); said = "x the time of " label[other] }
	else if (kind == "cpu") { x = middle("cpu", id, other); said = "x the CPU of " label[other] }
	else if (kind == "per-second") { x = middle("wall", id, ""); x = x ? 1e-6 / x : ""; more = 1; said = " M/s" }
	else if (kind == "cpu-ns") { x = middle("cpu", id, ""); x = x == "" ? "" : x * 1e9; said = " ns CPU" }
	else if (kind == "wall-ms") { x = middle("wall", id, ""); x = x == "" ? "" : x * 1e3; said = " ms" }
	else if (kind == "value") { x = middle("value", id, ""); said = " " unit[id] }
	else { print "table.awk: goal " kind "?" > "/dev/stderr"; exit 1 }
	if (x == "") return "not measured"
	met = more ? x >= limit : x <= limit
	if (!met && (kind == "rate" || kind == "wall")) {
		also = middle("cpu", id, other)
		if (also != "") {
			if (kind == "rate" && also > 0) also = 1 / also
			if (more ? also >= limit : also <= limit) also = " (by CPU met: " number(also) ")"
			else also = " (by CPU too: " number(also) ")"
		}
	}
	print (met ? "met" : "missed") "\t" table "\t" label[id] ": " number(x) said ", goal " (more ? ">= " : "<= ") limit also >>verdicts
	return number(x) said " (" (more ? ">= " : "<= ") limit "): " (met ? "met" : "**missed**" also)
}

function cell(c, text) {
	cells[line, c] = text
	if (length(text) > width[c]) width[c] = length(text)
}

function ratio(what, id) {
	if (peer[id] == "" || !(id in count)) return "-"
	return number(middle(what, id, peer[id]))
}

function figures(id,    w, c, u) {
	u = scale[unit[id]]
	if (!(id in count)) return cell(3, "-") cell(4, "-")
	if (!u) {
		cell(3, amount(middle("value", id, "")) " " unit[id])
		cell(4, "-")
		return
	}
	w = middle("wall", id, ""); c = middle("cpu", id, "")
	cell(3, number(w * u) " " unit[id])
	cell(4, number(c * u) " " unit[id])
	if (sized && w > 0) cell(2, amount(1 / w) "/s, " number(size[id] / w / 1e9) " GB/s")
	printf "%s\t%s\t%s\t%.9g\t%.9g\n", table, id, size[id], w, c >>medians
}

END {
	ncols = 7
	line = 0
	cell(1, "row"); cell(2, "rate"); cell(3, "wall"); cell(4, "CPU"); cell(5, "wall ratio"); cell(6, "CPU ratio"); cell(7, "goal")
	for (line = 1; line <= nrows; line++) {
		id = rows[line]
		for (c = 1; c <= ncols; c++) cell(c, "-")
		cell(1, label[id])
		figures(id)
		if (scale[unit[id]]) { cell(5, ratio("wall", id)); cell(6, ratio("cpu", id)) }
		text = id in why ? why[id] : ""
		for (g = 1; g <= ngoals[id]; g++) {
			split(goals[id, g], part, FS)
			text = text (text == "" ? "" : "; ") judge(id, part[1], part[2], part[3])
		}
		cell(7, text)
	}
	for (line = 0; line <= nrows; line++) {
		out = "|"
		rule = "|"
		for (c = 1; c <= ncols; c++) {
			if (c == 2 && !sized) continue
			out = out sprintf(c == 1 || c == 7 ? " %-*s |" : " %*s |", c == 7 ? 0 : width[c], cells[line, c])
			dashes = sprintf("%*s", c == 7 ? 4 : width[c] - (c != 1), "")
			gsub(/ /, "-", dashes)
			rule = rule " " dashes (c == 1 || c == 7 ? "" : ":") " |"
		}
		print out
		if (line == 0) print rule
	}
}
