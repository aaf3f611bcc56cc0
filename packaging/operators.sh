# SPDX-License-Identifier: Apache-2.0
# The whole of usher on this machine, for ./demo and bench/: a release build, and in a folder that is removed at the end two
# registration operators, two home operators, three visited operators and a fleet. Nothing but documented commands of usher.
# Sourced; needs: $here (the repository), $label (of the folder), and $built if the build folder is not build/. Gives: $usher $equipment $dir $pids.

built=${built:-$here/build}
[ -f "$built/build.ninja" ] || meson setup "$built" -Dtests=disabled --buildtype=release >"$built.log" 2>&1 || { cat "$built.log"; exit 1; }
ninja -C "$built" >"$built.log" 2>&1 || { cat "$built.log"; exit 1; }
usher=$built/people/usher equipment=$built/roles/equipment/usher-equipment

dir=$(mktemp -d "${TMPDIR:-/tmp}/usher-$label.XXXXXX")
pids= orders=0
stop() {
	code=$?
	trap - EXIT INT TERM
	[ -z "$pids" ] || kill $pids 2>/dev/null || :
	wait
	rm -rf "$dir"
	exit $code
}
trap stop EXIT
trap 'exit 130' INT TERM
cd "$dir"
say() { printf '\n== %s\n' "$*"; }
at() { echo "127.0.0.1:@../$1/run/ports#$2"; }       # a port that `usher run` found
peer() { "$usher" peer add "$@"; }
up() { # waits until all roles of a `usher run` are up
	i=0
	while lines=$(grep -c ' is up' "$1" 2>/dev/null || :) && [ "${lines:-0}" -lt "$2" ]; do # it may not have been made yet
		i=$((i + 1)); [ $i -lt 600 ] || { cat "$1"; exit 1; }
		sleep 0.05
	done
}
server() { # the first letters of a program's name, pid of its `usher run`: its own pid
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v name="($1" -v run="$2" 'index($0, name) { pid = $1; sub(/.*\) /, ""); if ($2 == run) print pid }'
}
enrol() { # role, folder, id, further options: a one-time invite, then keys are made and certificates fetched
	role=$1 folder=$2 id=$3; shift 3
	"$usher" --as alice ca invite "$role" "$id" >"$folder.invite"
	"$usher" setup "$role" "$folder" --id "$id" --attestation "pki.example=127.0.0.1:@pki/run/ports#peers" --roots pki/roots.pem \
		--invite-file "$folder.invite" "$@"
}

attestation_start() {
	say "attestation provider: roots, issuing CAs, OCSP"
	"$usher" setup attestation pki --id pki.example --staff alice --invite-file alice.invite
	peer pki factory acme
	"$usher" run --remove "$dir" pki >pki.out 2>&1 &
	pids=$!
	up pki.out 1
	"$usher" setup staff alice --id alice --attestation "pki.example=127.0.0.1:@pki/run/ports#peers" --roots pki/roots.pem --invite-file alice.invite
	peer alice attestation pki.example --address "$(at pki peers)"
	enrol factory fab acme
	peer fab attestation pki.example --address "$(at pki peers)"
}

operators_start() { # numbers in each operator's pool
	attestation_start
	say "operators enrol"
	enrol registration reg0 901-70 --set "allowed=[001-01, 001-02]"
	enrol registration reg1 901-71 --set "allowed=[001-01, 001-02]"
	for n in 0 1; do
		enrol hss "hss$n" "262-4$n" --set "open=[$(at dlusim$n equipment), $(at dm equipment)]"
		enrol dlusim "dlusim$n" "dlusim$n.example" --set "operator=262-4$n" --set dm=dm.example --set attestation=pki.example
	done
	enrol dm dm dm.example
	enrol visited vis1 001-01 --set lac=1
	enrol visited vis2 001-02 --set lac=2
	enrol visited vis9 001-09 --set lac=9

	say "who knows whom"
	for n in 0 1; do
		r=901-7$n h=262-4$n d=dlusim$n.example
		peer fab registration $r --address "$(at reg$n peers)"
		peer reg$n factory acme
		peer alice registration $r --address "$(at reg$n peers)"
		peer alice hss $h --address "$(at hss$n peers)"
		peer alice dlusim $d --address "$(at dlusim$n peers)"
		for f in reg$n hss$n dlusim$n; do peer $f staff alice; done
		peer hss$n dlusim $d
		peer dlusim$n hss $h --address "$(at hss$n peers)"
		peer dlusim$n dm dm.example --address "$(at dm equipment)"
		peer dm dlusim $d --address "$(at dlusim$n peers)"
		peer dlusim$n attestation pki.example --ocsp "$(at pki ocsp)"
		for m in 0 1; do # every home operator works with every registration operator
			peer reg$n dlusim dlusim$m.example
			peer dlusim$n registration 901-7$m --address "$(at reg$m peers)"
		done
		for v in 1 2 9; do
			peer reg$n visited 001-0$v
			peer hss$n visited 001-0$v
			peer vis$v hss $h --gsup "$(at hss$n gsup)" --access "$(at hss$n access)" --range 2624$n
			[ $v = 2 ] || peer vis$v registration $r --gsup "$(at reg$n gsup)" --access "$(at reg$n access)" --range 9017$n
		done
	done
	for f in vis1 vis2 vis9 dm; do peer $f staff alice; done
	peer alice dm dm.example --address "$(at dm peers)"
	for v in 1 2 9; do peer alice visited 001-0$v --address "$(at vis$v peers)"; done

	say "eleven servers start"
	roles="reg0 reg1 hss0 hss1 dlusim0 dlusim1 dm vis1 vis2 vis9"
	"$usher" run $roles >run.out 2>&1 &
	pids="$pids $!"
	up run.out 10
	cat pki.out run.out
	for n in 0 1; do
		"$usher" --as alice pool add registration 901-7$n 9017${n}0000000001 "$1"
		"$usher" --as alice pool add hss 262-4$n 2624${n}0000000001 "$1"
	done
}

fleet_make() { # folder, how many, number of the first: made, bound, and subscribed, half for each registration operator
	half=$((($2 + 1) / 2)) orders=$((orders + 1))
	say "the factory makes $2 equipments, half of them for each registration operator"
	mkdir "$1"
	"$usher" --as fab factory enrol new0 --maker acme --count $half --first "$3"
	[ "$2" -le $half ] || "$usher" --as fab factory enrol new1 --maker acme --count $(($2 - half)) --first $(($3 + half))
	for n in 0 1; do
		[ -d new$n ] || continue
		"$usher" --as fab factory order new$n --registration 901-7$n --order "order-$orders"
		"$usher" --as fab factory bind new$n --registration 901-7$n
	done
	say "their owners choose home operators"
	for n in 0 1; do
		[ -d new$n ] || continue
		[ -f token$n ] || "$usher" --as alice people add dlusim$n.example waterworks >token$n
		"$usher" owner claim new$n/labels.csv --dlusim "dlusim$n.example=127.0.0.1:@dlusim$n/run/ports#owner" --roots pki/roots.pem --token-file token$n
		mv new$n/acme_* "$1/"
		rm -r new$n
	done
	printf 'frequencies: [127.0.0.1:@../vis9/run/ports#cell, 127.0.0.1:@../vis2/run/ports#cell, 127.0.0.1:@../vis1/run/ports#cell]\n' >"$1/equipment.yaml"
}
