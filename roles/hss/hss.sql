-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE TABLE imsi (
  imsi TEXT PRIMARY KEY, state TEXT NOT NULL, equipment TEXT NOT NULL, k BLOB NOT NULL, opc BLOB NOT NULL,
  auc_offset BIGINT NOT NULL, changed_at BIGINT NOT NULL, visited TEXT NOT NULL, attached_at BIGINT NOT NULL);
CREATE INDEX imsi_state ON imsi (state, imsi);
CREATE TABLE booking (
  equipment TEXT PRIMARY KEY, imsi TEXT NOT NULL UNIQUE, registration TEXT NOT NULL, certificate TEXT NOT NULL, owner TEXT NOT NULL,
  serial BIGINT NOT NULL, dlusim TEXT NOT NULL, booked_at BIGINT NOT NULL);
CREATE TABLE sealed (
  answer TEXT PRIMARY KEY, equipment TEXT NOT NULL, imsi TEXT NOT NULL, package_id TEXT NOT NULL, counter BIGINT NOT NULL,
  der BLOB NOT NULL, sealed_at BIGINT NOT NULL, expires_at BIGINT NOT NULL);
CREATE INDEX sealed_equipment ON sealed (equipment, counter);
CREATE TABLE auc (one BIGINT PRIMARY KEY, mark BIGINT NOT NULL);
