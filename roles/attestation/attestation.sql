-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE TABLE certificate (
  serial TEXT PRIMARY KEY, issuer TEXT NOT NULL, role TEXT NOT NULL, id TEXT NOT NULL, use TEXT NOT NULL,
  sha256 TEXT NOT NULL, der BLOB NOT NULL, issued_at BIGINT NOT NULL, until BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX certificate_party ON certificate (role, id);
CREATE TABLE invite (
  hash TEXT PRIMARY KEY, role TEXT NOT NULL, id TEXT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT NOT NULL);
