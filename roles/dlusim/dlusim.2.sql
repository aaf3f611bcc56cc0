-- SPDX-License-Identifier: AGPL-3.0-or-later
UPDATE errand SET due = (SELECT asked_at * 1000 FROM verification v WHERE v.id = errand.id) + 2592000000 WHERE kind = 'verify' AND state = 'sealed';
