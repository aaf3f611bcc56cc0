-- SPDX-License-Identifier: AGPL-3.0-or-later
ALTER TABLE imsi ADD COLUMN before TEXT NOT NULL DEFAULT '';
ALTER TABLE imsi ADD COLUMN cancel TEXT NOT NULL DEFAULT '';
ALTER TABLE imsi ADD COLUMN life BIGINT NOT NULL DEFAULT 0;
ALTER TABLE imsi ADD COLUMN issued_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE imsi ADD COLUMN auc_since BIGINT NOT NULL DEFAULT 0;
UPDATE imsi SET life = 1, issued_at = changed_at WHERE state <> 'allocated';
CREATE INDEX imsi_first ON imsi (state, life, imsi);
CREATE INDEX imsi_issued ON imsi (issued_at);
CREATE INDEX imsi_cancel ON imsi (imsi) WHERE cancel <> '';
ALTER TABLE auc ADD COLUMN rand_key BLOB NOT NULL DEFAULT x'';
CREATE TABLE block (first TEXT NOT NULL, count BIGINT NOT NULL, added_at BIGINT NOT NULL);
INSERT INTO block (first, count, added_at) SELECT MIN(imsi), COUNT(*), MIN(changed_at) FROM imsi HAVING COUNT(*) > 0;
ALTER TABLE sealed ADD COLUMN life BIGINT NOT NULL DEFAULT 1;
CREATE INDEX sealed_imsi ON sealed (imsi, life);
CREATE TABLE receipt (
  equipment TEXT NOT NULL, package TEXT NOT NULL, imsi TEXT NOT NULL, life BIGINT NOT NULL, taken_at BIGINT NOT NULL, PRIMARY KEY (equipment, package));
CREATE INDEX receipt_imsi ON receipt (imsi, life);
INSERT INTO receipt (equipment, package, imsi, life, taken_at)
  SELECT s.equipment, s.package_id, s.imsi, 1, i.changed_at FROM sealed s JOIN imsi i ON i.imsi = s.imsi WHERE i.state = 'active'
  AND s.counter = (SELECT MAX(counter) FROM sealed x WHERE x.equipment = s.equipment);
INSERT INTO errand (kind, id, state, why, due, changed)
  SELECT 'expire', i.imsi, 'waiting', '', MAX(s.expires_at) * 1000, MAX(s.sealed_at) * 1000 FROM imsi i JOIN sealed s ON s.imsi = i.imsi
  WHERE i.state = 'released' GROUP BY i.imsi;
