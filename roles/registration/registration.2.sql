-- SPDX-License-Identifier: AGPL-3.0-or-later
ALTER TABLE pimsi ADD COLUMN before TEXT NOT NULL DEFAULT '';
ALTER TABLE pimsi ADD COLUMN cancel TEXT NOT NULL DEFAULT '';
ALTER TABLE pimsi ADD COLUMN life BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pimsi ADD COLUMN issued_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pimsi ADD COLUMN auc_since BIGINT NOT NULL DEFAULT 0;
UPDATE pimsi SET life = 1, issued_at = changed_at WHERE state <> 'free';
CREATE INDEX pimsi_first ON pimsi (state, life, pimsi);
CREATE INDEX pimsi_issued ON pimsi (issued_at);
CREATE INDEX pimsi_cancel ON pimsi (pimsi) WHERE cancel <> '';
ALTER TABLE auc ADD COLUMN rand_key BLOB NOT NULL DEFAULT x'';
CREATE TABLE block (first TEXT NOT NULL, count BIGINT NOT NULL, added_at BIGINT NOT NULL);
INSERT INTO block (first, count, added_at) SELECT MIN(pimsi), COUNT(*), MIN(changed_at) FROM pimsi HAVING COUNT(*) > 0;
ALTER TABLE batch_item ADD COLUMN life BIGINT NOT NULL DEFAULT 1;
CREATE UNIQUE INDEX batch_item_life ON batch_item (pimsi, life);
CREATE TABLE receipt (
  equipment TEXT NOT NULL, package TEXT NOT NULL, pimsi TEXT NOT NULL, life BIGINT NOT NULL, operator TEXT NOT NULL, taken_at BIGINT NOT NULL,
  PRIMARY KEY (equipment, package, pimsi));
CREATE INDEX receipt_pimsi ON receipt (pimsi, life);
INSERT INTO receipt (equipment, package, pimsi, life, operator, taken_at)
  SELECT p.equipment, 'before upgrade, PIMSI ' || p.pimsi, p.pimsi, 1, COALESCE(r.operator, ''), p.changed_at FROM pimsi p
  LEFT JOIN route r ON r.equipment = p.equipment WHERE p.state IN ('used', 'retired');
DROP TABLE budget;
CREATE TABLE budget (
  pimsi TEXT PRIMARY KEY, day BIGINT NOT NULL, attempts BIGINT NOT NULL, octets BIGINT NOT NULL, used_ms BIGINT NOT NULL, attached_at BIGINT NOT NULL);
