-- The same without what only keeps the journal sound and readable: no foreign keys, no index by
-- account. A lower bound of what a trade costs PostgreSQL, not a book to keep.

ALTER TABLE request DROP CONSTRAINT request_trade;
ALTER TABLE entry
    DROP CONSTRAINT entry_trade, DROP CONSTRAINT entry_debit, DROP CONSTRAINT entry_credit;
DROP INDEX entry_by_debit, entry_by_credit;
