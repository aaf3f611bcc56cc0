-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE TABLE job (
  user TEXT PRIMARY KEY, dlusim TEXT NOT NULL, job TEXT NOT NULL, state TEXT NOT NULL, equipment TEXT NOT NULL,
  client_hash TEXT NOT NULL, client_nonce BLOB NOT NULL, server_hash TEXT NOT NULL, server_nonce BLOB NOT NULL,
  package BLOB NOT NULL, package_id TEXT NOT NULL, result BIGINT NOT NULL, failures BIGINT NOT NULL, expires_at BIGINT NOT NULL);
