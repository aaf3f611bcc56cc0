-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE TABLE owner (owner TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, made_at BIGINT NOT NULL);
CREATE TABLE subscription (
  equipment TEXT NOT NULL, serial BIGINT NOT NULL, owner TEXT NOT NULL, registration TEXT NOT NULL, proof TEXT NOT NULL,
  signer TEXT NOT NULL, certificate TEXT NOT NULL, pimsis TEXT NOT NULL, asked_at BIGINT NOT NULL, PRIMARY KEY (equipment, serial));
CREATE INDEX subscription_owner ON subscription (owner, equipment);
CREATE TABLE challenge (
  discover TEXT PRIMARY KEY, equipment TEXT NOT NULL, serial BIGINT NOT NULL, hash TEXT NOT NULL, evidence BLOB NOT NULL,
  der BLOB NOT NULL, expires_at BIGINT NOT NULL);
CREATE TABLE verification (
  id TEXT PRIMARY KEY, equipment TEXT NOT NULL, serial BIGINT NOT NULL, discover TEXT NOT NULL, answer BLOB NOT NULL,
  ocsp BLOB NOT NULL, package BLOB NOT NULL, package_id TEXT NOT NULL, counter BIGINT NOT NULL, trigger_der BLOB NOT NULL,
  job TEXT NOT NULL, asked_at BIGINT NOT NULL);
CREATE INDEX verification_job ON verification (job);
CREATE TABLE receipt (id TEXT PRIMARY KEY, equipment TEXT NOT NULL, der BLOB NOT NULL, ack BLOB NOT NULL, asked_at BIGINT NOT NULL);
