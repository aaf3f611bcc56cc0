-- SPDX-License-Identifier: AGPL-3.0-or-later
CREATE INDEX budget_day ON budget (day);
