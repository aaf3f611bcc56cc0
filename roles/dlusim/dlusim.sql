CREATE TABLE owner (owner TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, made_at BIGINT NOT NULL);
CREATE TABLE subscription (
  equipment TEXT NOT NULL, serial BIGINT NOT NULL, owner TEXT NOT NULL, registration TEXT NOT NULL, proof TEXT NOT NULL,
  signer TEXT NOT NULL, certificate TEXT NOT NULL, pimsis TEXT NOT NULL, asked_at BIGINT NOT NULL, PRIMARY KEY (equipment, serial));
CREATE INDEX subscription_owner ON subscription (owner, equipment);
