CREATE TABLE imsi (
  imsi TEXT PRIMARY KEY, state TEXT NOT NULL, equipment TEXT NOT NULL, k BLOB NOT NULL, opc BLOB NOT NULL,
  auc_offset BIGINT NOT NULL, changed_at BIGINT NOT NULL, visited TEXT NOT NULL, attached_at BIGINT NOT NULL);
CREATE INDEX imsi_state ON imsi (state, imsi);
CREATE TABLE booking (
  equipment TEXT PRIMARY KEY, imsi TEXT NOT NULL UNIQUE, registration TEXT NOT NULL, certificate TEXT NOT NULL, owner TEXT NOT NULL,
  serial BIGINT NOT NULL, dlusim TEXT NOT NULL, booked_at BIGINT NOT NULL);
