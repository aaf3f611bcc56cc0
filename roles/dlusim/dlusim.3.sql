-- SPDX-License-Identifier: AGPL-3.0-or-later
ALTER TABLE verification ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE receipt ADD COLUMN counter BIGINT NOT NULL DEFAULT 0;
UPDATE receipt SET counter = COALESCE((SELECT MAX(counter) FROM verification v WHERE v.equipment = receipt.equipment AND v.asked_at <= receipt.asked_at), 0);
CREATE INDEX challenge_expires ON challenge (expires_at);
CREATE INDEX verification_equipment ON verification (equipment, counter);
CREATE INDEX receipt_equipment ON receipt (equipment, counter);
UPDATE errand SET due = changed + 2592000000 WHERE due = 0;
