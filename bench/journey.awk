# SPDX-License-Identifier: Apache-2.0
# Reads what bench/journey gathered: lines "cpu.a|cpu.b|desk.a|desk.b|fleet|journey ROUND ...". Variables: N R json sign verify ecdh x25519.
function median(v, n,   i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function field(line, name,   v) {
	v = line; sub(".*\"" name "\":\"?", "", v); sub(/["}].*|,"[a-z_]+":.*/, "", v); return v
}
# Where a role's step belongs in the life of a PIMSI (DESIGN 1): the role's own words, but for the HSS, whose verify is the sealing.
function leg_of(role, step) {
	if (role == "hss" && step == "verify") return "seal"
	if (step == "fetch" || step == "done") return "provision"
	if (step == "activate" || step == "retire") return "install"
	if (step == "peers") return "desk"
	return step
}
function add(leg, role, round, us) {
	legs[leg] = 1; roles[role] = 1
	spent[leg, round] += us; cell[leg, role, round] += us
}
# The kernel's name of a process is cut to 15 octets.
function whole_name(comm,   n, i, words) {
	n = split("attestation registration visited hss dlusim dm", words, " "); sub(/^usher-/, "", comm)
	for (i = 1; i <= n; i++) if (index(words[i], comm) == 1) return words[i]
	return comm
}
$1 ~ /^cpu/ { $4 = whole_name($4); if ($1 == "cpu.a") before[$2, $3] = $5; else { by_role[$4, $2] += $5 - before[$2, $3]; names[$4] = 1; own[$2, $4] += $5 } }
$1 ~ /^desk/ && $3 == "#" { if (NF == 5 && $4 != "HELP" && $4 != "TYPE") { role = $4; id = $5 } next }
$1 ~ /^desk/ {
	if ($3 ~ /_step_cpu_microseconds_total/) { step = $3; sub(/.*step="/, "", step); sub(/".*/, "", step); key = "s " step }
	else if ($3 ~ /_cpu_microseconds_total/) key = "cpu"
	else if ($3 == "usher_attestation_ocsp_total") key = "ocsp"
	else next
	if ($1 == "desk.a") { was[$2, role, id, key] = $4; next }
	gone = $4 - was[$2, role, id, key]
	if (key == "cpu") desk[$2, role] += $4
	else if (key == "ocsp") asked[$2] = gone
	else { add(leg_of(role, step), role, $2, gone); sum[$2, role] += $4 }
}
$1 == "fleet" { fleet[$2] = (60 * ($3 + $5) + $4 + $6) * 1e6 / N } # minutes and seconds of user, then of system time
$1 == "journey" {
	line = $0; sub(/^journey [0-9]+ /, "", line)
	eq = field(line, "equipment"); step = field(line, "step"); text = field(line, "text"); at = field(line, "at_ms") + 0
	if (text ~ /^has asked about all signers/) step = "ocsp 7"
	legs_link[step] = 1
	n = split("sent received turns", what, " ")
	for (i = 1; i <= n; i++) {
		v = field(line, what[i]) + 0
		link[step, what[i]] += v - last[$2, eq, what[i]]; last[$2, eq, what[i]] = v
	}
	if (!(($2) in first) || at < first[$2]) first[$2] = at
	if (text ~ /^is operative/) { home[$2]++; if (at > done[$2]) done[$2] = at }
}
function role_median(name,   r, v) { for (r = 1; r <= R; r++) v[r] = by_role[name, r] / N; return median(v, R) }
function leg_median(leg,   r, v) { for (r = 1; r <= R; r++) v[r] = spent[leg, r] / N; return median(v, R) }
function cell_median(leg, role,   r, v) { for (r = 1; r <= R; r++) v[r] = cell[leg, role, r] / N; return median(v, R) }
function ocsp_split(   r, mine) {
	for (r = 1; r <= R; r++) { # one request of each journey is 5', the rest is 7
		mine = asked[r] > N ? N / asked[r] : 1
		add("ocsp 5'", "attestation", r, cell["ocsp", "attestation", r] * mine)
		add("ocsp 7", "attestation", r, cell["ocsp", "attestation", r] * (1 - mine))
		add("ocsp 5'", "dlusim", r, cell["ocsp", "dlusim", r])
	}
	delete legs["ocsp"]
}
function agree(   r, name, off, wrong) {
	for (r = 1; r <= R; r++)
		for (name in names) {
			off = own[r, name] - desk[r, name]
			if (off > 30000 || -off > 60000 + desk[r, name] / 50) {
				printf "usher-%s: /proc says %d us of CPU, its desk %d\n", name, own[r, name], desk[r, name]; wrong = 1
			}
			if (sum[r, name] > desk[r, name] + 1000) { printf "usher-%s: its steps are more than the whole\n", name; wrong = 1 }
		}
	return !wrong
}
END {
	for (r = 1; r <= R; r++)
		if (home[r] != N) { printf "round %d: %d of %d came home\n", r, home[r], N; exit 1 }
	ocsp_split()
	for (r = 1; r <= R; r++) { for (name in names) whole[r] += by_role[name, r] / N; rate[r] = N * 1000 / (done[r] - first[r]) }
	ours = median(whole, R); wall = median(rate, R); equipment = median(fleet, R); signed = asked[R] / N
	# Signed: discover answer, challenge, trigger, profile, acknowledgement, an OCSP answer per request, four TLS servers for the equipment.
	# Verified: discover answer, answer, OCSP, receipt by dlusim; discover answer, challenge, answer, OCSP, receipt by hss; receipt by
	# registration; the equipment's certificate by each of the three. Sealed: a key made and one agreement.
	peer = (5 + signed + 4) * sign + (4 + 5 + 1 + 3) * verify + 2 * ecdh + 4 * 2 * x25519
	if (json) {
		printf "{\"devices\":%d,\"rounds\":%d,\"us_per_provisioning\":%.0f,\"us_of_equipment\":%.0f,", N, R, ours, equipment
		printf "\"journeys_per_second\":%.2f,\"peer_us\":%.0f,\"roles\":{", wall, peer
		sep = ""; for (name in names) { printf "%s\"%s\":%.0f", sep, name, role_median(name); sep = "," }
		printf "},\"legs\":{"; sep = ""; for (leg in legs) { printf "%s\"%s\":%.0f", sep, leg, leg_median(leg); sep = "," }
		printf "},\"link\":{"; sep = ""
		for (leg in legs_link) {
			printf "%s\"%s\":{\"sent\":%.0f,\"received\":%.0f,\"turns\":%.1f}", sep, leg,
				link[leg, "sent"] / N / R, link[leg, "received"] / N / R, link[leg, "turns"] / N / R
			sep = ","
		}
		printf "}}\n"
	} else {
		printf "%d equipments at the same time, %d rounds; medians\n\nserver CPU per provisioning, by role (/proc)\n", N, R
		for (name in names) printf "  %-14s %8.0f us\n", name, role_median(name)
		printf "  %-14s %8.0f us = %.0f provisionings a second and core\n\nby leg (the desks)\n", "all", ours, 1e6 / ours
		for (leg in legs) if (leg_median(leg) >= 0.5) {
			printf "  %-14s %8.0f us ", leg, leg_median(leg)
			for (role in roles) if (cell_median(leg, role) >= 0.5) printf "  %s %.0f", role, cell_median(leg, role)
			printf "\n"
		}
		printf "\nthe equipment's own CPU (tre, modem and agent of a fleet in one process)\n  %-14s %8.0f us\n", "equipment", equipment
		printf "\non the equipment's link, by leg%24s %9s %6s\n", "sent", "received", "turns"
		n = split("attach,discover,verify,provision,ocsp 7,install", order, ",")
		for (i = 1; i <= n; i++) {
			printf "  %-12s %38.0f %9.0f %6.1f\n", order[i], link[order[i], "sent"] / N / R, link[order[i], "received"] / N / R, link[order[i], "turns"] / N / R
			s += link[order[i], "sent"]; v += link[order[i], "received"]; t += link[order[i], "turns"]
		}
		printf "  %-12s %38.0f %9.0f %6.1f\n", "all", s / N / R, v / N / R, t / N / R
		printf "\n%.1f journeys a second of wall time, equipments on the same machine\n", wall
		printf "peer: %.0f us of public-key operations (sign %.1f, verify %.1f, ECDH %.1f, X25519 %.1f us; %.0f OCSP answers)\n",
			peer, sign, verify, ecdh, x25519, signed
	}
	if (!agree()) exit 1
	printf "journey ratio=%.3f\n", peer / ours
}
