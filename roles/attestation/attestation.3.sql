-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE INDEX certificate_sha256 ON certificate (sha256);
