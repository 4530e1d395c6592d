-- Sequence numbers of Stellar accounts are text in facts: they go beyond 2^53 - 1.

ALTER TABLE anchor_prepared ALTER COLUMN account_sequence TYPE text USING account_sequence::text;
