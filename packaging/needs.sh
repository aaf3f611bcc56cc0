# SPDX-License-Identifier: Apache-2.0
# need KIND...: installs the Debian packages of these kinds that are missing; says the sudo command first.
needs_build="gcc meson ninja-build pkg-config libevent-dev libcurl4-openssl-dev libssl-dev libsqlite3-dev libjansson-dev libexpat1-dev libyaml-dev"
needs_test="libcmocka-dev python3 tshark openssl curl groff-base"

need() {
	missing=
	for kind in "$@"; do
		eval "list=\$needs_$kind"
		for p in $list; do
			dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
		done
	done
	[ -z "$missing" ] && return 0
	if [ "${USHER_NO_INSTALL:-}" ]; then
		echo "missing packages:$missing; run: sudo apt-get install$missing" >&2
		return 1
	fi
	sudo=
	if [ "$(id -u)" != 0 ]; then
		sudo=sudo
		[ -t 0 ] || sudo="sudo -n"
	fi
	echo "installing what is missing: $sudo apt-get install --no-install-recommends$missing" >&2
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 update >&2
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing >&2
}
