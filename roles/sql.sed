# SPDX-License-Identifier: AGPL-3.0-or-later
# A line of SQL becomes a line of a C string.
s/[\"]/\\&/g
s/^/"/
s/$/\\n"/
