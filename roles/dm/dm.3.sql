-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE INDEX errand_fetching ON errand (state) WHERE kind = 'job' AND state = 'fetching';
UPDATE errand SET due = changed + 604800000 WHERE due = 0;
