-- The energy network: tokens, trades, the market, transfers; and every entry of every account.

CREATE TABLE reading_corrected (
    stream            text COLLATE "C" NOT NULL,
    sequence          bigint NOT NULL,
    meter             text COLLATE "C" NOT NULL,
    correction        text NOT NULL,
    first_interval_at timestamptz NOT NULL,
    interval_s        integer NOT NULL,
    interval_count    integer NOT NULL,
    generated_wh      bigint,                    -- change of the total; NULL: this register was right
    consumed_wh       bigint,
    imported_wh       bigint,
    exported_wh       bigint,
    reason            text NOT NULL,
    corrected_at      timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX reading_corrected_by_meter ON reading_corrected (meter, first_interval_at);

-- LEDGER_<book>

CREATE TABLE entry (                             -- one line of one account: statements, history
    stream   text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    part     integer NOT NULL,
    asset    text COLLATE "C" NOT NULL,
    account  text COLLATE "C" NOT NULL,          -- all holds of a member are hold:<member> here,
    held_for text COLLATE "C",                   -- and this says what for: trade.<id>, order.<id>
    change   bigint NOT NULL,                    -- on the account's normal side
    fact     text NOT NULL,
    fact_id  text NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence, part)
);
CREATE INDEX entry_by_account ON entry (stream, account, asset, sequence)
    INCLUDE (change, at, held_for);
-- account_balance is keyed by the same accounts: of holds one row per member, not one per trade.
CREATE INDEX account_balance_by_account ON account_balance (account, stream);
CREATE INDEX deposit_by_member ON deposit (member, sequence);

CREATE TABLE energy_minted (
    stream            text COLLATE "C" NOT NULL,
    sequence          bigint NOT NULL,
    mint              text NOT NULL,
    member            text COLLATE "C" NOT NULL,
    reason            text NOT NULL,             -- surplus, approver, opening
    energy_wh         bigint NOT NULL,
    served_wh         bigint NOT NULL,           -- of it, for the member's shortfall
    system            text,
    holding           text,
    first_interval_at timestamptz,
    interval_count    integer NOT NULL,
    minted_at         timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX energy_minted_by_member ON energy_minted (member, sequence);

CREATE TABLE energy_shortfall (
    stream    text COLLATE "C" NOT NULL,
    sequence  bigint NOT NULL,
    member    text COLLATE "C" NOT NULL,
    system    text NOT NULL,
    holding   text NOT NULL,
    energy_wh bigint NOT NULL,
    taken_wh  bigint NOT NULL,                   -- of it, from free tokens
    booked_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE energy_transfer (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    transfer       text NOT NULL,
    from_member    text COLLATE "C" NOT NULL,
    to_member      text COLLATE "C" NOT NULL,
    energy_wh      bigint NOT NULL,
    metadata       jsonb,
    transferred_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE energy_retired (
    stream     text COLLATE "C" NOT NULL,
    sequence   bigint NOT NULL,
    retirement text NOT NULL,
    member     text COLLATE "C" NOT NULL,
    energy_wh  bigint NOT NULL,
    purpose    text NOT NULL,
    retired_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE trade (                             -- agreed by two members, or a match of the market
    stream                text COLLATE "C" NOT NULL,
    sequence              bigint NOT NULL,
    trade                 text COLLATE "C" NOT NULL, -- <bid>.<offer> for a match
    seller                text COLLATE "C" NOT NULL,
    buyer                 text COLLATE "C" NOT NULL,
    asset                 text NOT NULL,
    energy_wh             bigint NOT NULL,
    price_stroops_per_kwh bigint NOT NULL,
    total_stroops         bigint NOT NULL,
    expires_at            timestamptz,           -- NULL for a match: it was executed as it was made
    slot_at               timestamptz,           -- only for a match
    metadata              jsonb,
    created_at            timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX trade_by_id ON trade (trade, stream);
CREATE INDEX trade_by_seller ON trade (seller, stream, sequence);
CREATE INDEX trade_by_buyer ON trade (buyer, stream, sequence);

CREATE TABLE trade_ended (
    stream                text COLLATE "C" NOT NULL,
    sequence              bigint NOT NULL,
    trade                 text COLLATE "C" NOT NULL, -- <bid>.<offer> for a match of the market
    status                text NOT NULL,         -- completed, cancelled, expired
    reason                text,                  -- of a cancellation
    seller                text COLLATE "C" NOT NULL,
    buyer                 text COLLATE "C" NOT NULL,
    asset                 text,                  -- the rest only when it was completed
    energy_wh             bigint NOT NULL,
    price_stroops_per_kwh bigint,
    total_stroops         bigint,
    slot_at               timestamptz,           -- only for the market
    bid                   text,
    offer                 text,
    ended_at              timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX trade_ended_by_id ON trade_ended (trade, stream);
CREATE INDEX trade_ended_by_slot ON trade_ended (slot_at) WHERE slot_at IS NOT NULL;

CREATE TABLE market_order (
    stream                text COLLATE "C" NOT NULL,
    sequence              bigint NOT NULL,
    order_id              text COLLATE "C" NOT NULL,
    member                text COLLATE "C" NOT NULL,
    side                  text NOT NULL,         -- bid, offer
    slot_at               timestamptz NOT NULL,
    asset                 text NOT NULL,
    energy_wh             bigint NOT NULL,
    limit_stroops_per_kwh bigint NOT NULL,
    held_stroops          bigint NOT NULL,       -- of a bid
    placed_at             timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX market_order_by_id ON market_order (order_id, stream);
CREATE INDEX market_order_by_slot ON market_order (slot_at, sequence);

CREATE TABLE market_order_ended (                -- no row for an order that was matched in full
    stream           text COLLATE "C" NOT NULL,
    sequence         bigint NOT NULL,
    order_id         text COLLATE "C" NOT NULL,
    energy_wh        bigint NOT NULL,            -- that was not matched
    returned_stroops bigint NOT NULL,
    reason           text NOT NULL,              -- member, cleared, correction
    ended_at         timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX market_order_ended_by_id ON market_order_ended (order_id, stream);

CREATE TABLE slot_cleared (
    stream                text COLLATE "C" NOT NULL,
    sequence              bigint NOT NULL,
    slot_at               timestamptz NOT NULL,
    asset                 text NOT NULL,
    orders                bigint NOT NULL,
    price_stroops_per_kwh bigint,                -- NULL: no bid met an offer
    energy_wh             bigint NOT NULL,
    match_count           integer NOT NULL,
    cleared_at            timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX slot_cleared_by_slot ON slot_cleared (slot_at);

CREATE TABLE transfer_step (                     -- reserved, posted, voided, reversed
    stream           text COLLATE "C" NOT NULL,
    sequence         bigint NOT NULL,
    transfer         text COLLATE "C" NOT NULL,
    step             text NOT NULL,
    from_member      text COLLATE "C" NOT NULL,
    to_book          text,
    from_book        text,
    expires_at       timestamptz,                -- only when reserved
    returned_stroops bigint,                     -- only when posted
    returned_wh      bigint,
    reason           text,                       -- only when voided or reversed
    metadata         jsonb,
    at               timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX transfer_step_by_id ON transfer_step (transfer, stream, sequence);

CREATE TABLE transfer_leg (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    part           integer NOT NULL,
    to_member      text COLLATE "C" NOT NULL,
    asset          text,                         -- money, or
    amount_stroops bigint,
    energy_wh      bigint,                       -- energy
    PRIMARY KEY (stream, sequence, part)
);

-- BILLING_<book>

CREATE TABLE claim_entry (                       -- one line of one claim account
    stream   text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    part     integer NOT NULL,
    asset    text COLLATE "C" NOT NULL,
    account  text COLLATE "C" NOT NULL,
    held_for text COLLATE "C",                   -- always NULL: billing holds nothing
    change   bigint NOT NULL,                    -- on the account's normal side
    fact     text NOT NULL,
    fact_id  text NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence, part)
);
CREATE INDEX claim_entry_by_account ON claim_entry (stream, account, asset, sequence)
    INCLUDE (change, at, held_for);
CREATE INDEX claim_balance_by_account ON claim_balance (account, stream);
