-- Indexes for questions about one system.

CREATE INDEX system_approved_by_system ON system_approved (system);
CREATE INDEX raise_accepted_by_system ON raise_accepted (system);
CREATE INDEX own_title_by_system ON own_title (system);
CREATE INDEX account_balance_by_asset ON account_balance (asset);
