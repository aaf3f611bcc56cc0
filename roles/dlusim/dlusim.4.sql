-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE INDEX verification_discover ON verification (discover);
