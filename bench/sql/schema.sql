-- A double-entry book for trades of energy against money, as one who knows PostgreSQL would keep it,
-- with the promises that ours makes: a request has an id that its client made, and a repeat of it
-- changes nothing and is answered as the first was; balances are kept, each checked not to fall
-- below zero; a journal row says for each movement which account gave and which received, both of
-- which exist; statements of an account are read by an index; a trade has a status.

CREATE TYPE trade_status AS ENUM ('open', 'executed', 'cancelled', 'expired');

CREATE TABLE account (
    id      bigint PRIMARY KEY,             -- 4 * member + kind: 0 money, 1 energy, 2 energy held
    balance bigint NOT NULL CHECK (balance >= 0)
) WITH (fillfactor = 50);                   -- room for new versions of a row beside the old one

CREATE TABLE trade (
    id            bigint PRIMARY KEY,
    seller        bigint NOT NULL,
    buyer         bigint NOT NULL CHECK (buyer <> seller),
    energy_wh     bigint NOT NULL CHECK (energy_wh > 0),
    total_stroops bigint NOT NULL CHECK (total_stroops > 0),
    expires_at    timestamptz NOT NULL,
    status        trade_status NOT NULL DEFAULT 'open',
    executed_at   timestamptz,
    CHECK ((status = 'executed') = (executed_at IS NOT NULL))
) WITH (fillfactor = 70);

CREATE TABLE request (
    id    text PRIMARY KEY,                 -- made by the client, so that a repeat is known
    trade bigint NOT NULL CONSTRAINT request_trade REFERENCES trade
);

CREATE TABLE entry (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trade  bigint NOT NULL CONSTRAINT entry_trade REFERENCES trade,
    debit  bigint NOT NULL CONSTRAINT entry_debit REFERENCES account,    -- the account that gives
    credit bigint NOT NULL CONSTRAINT entry_credit REFERENCES account,   -- the one that receives
    amount bigint NOT NULL CHECK (amount > 0)
);
CREATE INDEX entry_by_debit ON entry (debit, id);
CREATE INDEX entry_by_credit ON entry (credit, id);

-- One trade in one round trip. Locks are taken in one order (the request, the trade, then accounts
-- by number), so that no two trades wait for each other.
CREATE FUNCTION execute_trade(request_id text, wanted bigint) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    the           trade%ROWTYPE;
    buyer_money   bigint;
    buyer_energy  bigint;
    seller_money  bigint;
    seller_held   bigint;
BEGIN
    INSERT INTO request (id, trade) VALUES (request_id, wanted) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT trade.* INTO the FROM trade JOIN request ON request.trade = trade.id
        WHERE request.id = request_id;
        IF the.id <> wanted THEN
            RAISE EXCEPTION 'request % was for another trade', request_id;
        END IF;
        RETURN the.executed_at;
    END IF;

    SELECT * INTO the FROM trade WHERE id = wanted FOR NO KEY UPDATE;
    IF the.status <> 'open' OR the.expires_at <= now() THEN
        RAISE EXCEPTION 'trade % is closed', wanted;
    END IF;
    buyer_money  := 4 * the.buyer;
    buyer_energy := 4 * the.buyer + 1;
    seller_money := 4 * the.seller;
    seller_held  := 4 * the.seller + 2;

    PERFORM FROM account
    WHERE id IN (buyer_money, buyer_energy, seller_money, seller_held)
    ORDER BY id FOR NO KEY UPDATE;

    UPDATE account
    SET balance = balance + CASE id
        WHEN buyer_money  THEN -the.total_stroops
        WHEN seller_money THEN  the.total_stroops
        WHEN seller_held  THEN -the.energy_wh
        ELSE                    the.energy_wh
    END
    WHERE id IN (buyer_money, buyer_energy, seller_money, seller_held);

    INSERT INTO entry (trade, debit, credit, amount) VALUES
        (wanted, seller_held, buyer_energy, the.energy_wh),
        (wanted, buyer_money, seller_money, the.total_stroops);
    UPDATE trade SET status = 'executed', executed_at = now() WHERE id = wanted;
    RETURN now();
END
$$;

-- Members with money and held energy, and open trades between them. Parties, energy and price are
-- those of bench/parties.py.
CREATE FUNCTION seed(members bigint, trades bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO account
    SELECT 4 * member + kind, 10000000000
    FROM generate_series(0, members - 1) AS member, generate_series(0, 2) AS kind;

    INSERT INTO trade
    SELECT
        number,
        number * 7919 % members,
        (number * 7919 % members + 1 + number % (members - 1)) % members,
        1000,
        800000,
        now() + interval '1 day'
    FROM generate_series(0, trades - 1) AS number;
$$;
