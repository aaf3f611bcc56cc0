-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE TABLE pimsi (
  pimsi TEXT PRIMARY KEY, state TEXT NOT NULL, equipment TEXT NOT NULL, k BLOB NOT NULL, opc BLOB NOT NULL,
  auc_offset BIGINT NOT NULL, changed_at BIGINT NOT NULL, visited TEXT NOT NULL, attached_at BIGINT NOT NULL);
CREATE INDEX pimsi_state ON pimsi (state, pimsi);
CREATE INDEX pimsi_equipment ON pimsi (equipment);
CREATE TABLE batch (id TEXT NOT NULL, maker TEXT NOT NULL, request TEXT NOT NULL, made_at BIGINT NOT NULL, PRIMARY KEY (maker, id));
CREATE TABLE batch_item (
  maker TEXT NOT NULL, id TEXT NOT NULL, n BIGINT NOT NULL, equipment TEXT NOT NULL, pimsi TEXT NOT NULL, der BLOB NOT NULL,
  PRIMARY KEY (maker, id, n));
CREATE TABLE equipment (equipment TEXT PRIMARY KEY, certificate TEXT NOT NULL, claim_key BLOB NOT NULL, bound_at BIGINT NOT NULL);
CREATE TABLE route (
  equipment TEXT PRIMARY KEY, operator TEXT NOT NULL, owner TEXT NOT NULL, serial BIGINT NOT NULL, proof BLOB NOT NULL,
  dlusim TEXT NOT NULL, dlusim_address TEXT NOT NULL, dm_address TEXT NOT NULL, ocsp TEXT NOT NULL, signer BLOB NOT NULL,
  booked_at BIGINT NOT NULL, discovered BIGINT NOT NULL DEFAULT 0);
CREATE TABLE auc (one BIGINT PRIMARY KEY, mark BIGINT NOT NULL);
CREATE TABLE budget (
  pimsi TEXT PRIMARY KEY, day BIGINT NOT NULL, attempts BIGINT NOT NULL, octets BIGINT NOT NULL, since BIGINT NOT NULL);
