-- SPDX-License-Identifier: AGPL-3.0-or-later
ALTER TABLE certificate ADD COLUMN key TEXT NOT NULL DEFAULT '';
CREATE INDEX certificate_key ON certificate (key) WHERE key <> '';
