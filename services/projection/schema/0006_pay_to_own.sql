-- Pay to own: systems from proposal to handoff, prices and feeds, bills of every class, repayment,
-- lateness, supply. What is added to tables that stand, and new tables; 0007 joins them.
--
-- What a first version of a fact did not say is filled in as its upcast does, so that views that
-- were brought up to date equal views that were built anew.

-- PRICES

ALTER TABLE tariff
    ALTER COLUMN price_stroops_per_kwh DROP NOT NULL,  -- NULL: by time of use, or a market price
    ADD COLUMN kind                       text NOT NULL DEFAULT 'fixed', -- fixed, time-of-use, market
    ADD COLUMN prices                     jsonb,       -- all that the tariff says, as in the fact
    ADD COLUMN standing_stroops_per_month bigint NOT NULL DEFAULT 0,
    ADD COLUMN source_sha256              text;
UPDATE tariff SET prices = jsonb_build_object(
    'price_stroops_per_kwh', price_stroops_per_kwh, 'standing_stroops_per_month', 0);
ALTER TABLE tariff ALTER COLUMN prices SET NOT NULL;

CREATE TABLE feed (                              -- the newest rules of each feed
    stream      text COLLATE "C" NOT NULL,
    feed        text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    kind        text NOT NULL,                   -- price, rate
    asset       text NOT NULL,
    base        text,                            -- of a rate: the currency that is converted
    sources     text[] NOT NULL,
    quorum      integer NOT NULL,
    staleness_s bigint NOT NULL,
    fence_ppm   bigint NOT NULL,
    settle_s    bigint NOT NULL,
    defined_at  timestamptz NOT NULL,
    PRIMARY KEY (stream, feed)
);

CREATE TABLE price_observed (
    stream          text COLLATE "C" NOT NULL,
    sequence        bigint NOT NULL,
    observation     text COLLATE "C" NOT NULL,
    feed            text COLLATE "C" NOT NULL,
    source          text COLLATE "C" NOT NULL,
    first_at        timestamptz NOT NULL,
    interval_s      bigint NOT NULL,
    observed        bigint[] NOT NULL,           -- stroops per kWh, or stroops of a rate
    document_sha256 text NOT NULL,
    observed_at     timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX price_observed_by_feed ON price_observed (feed, sequence);

CREATE TABLE price_published (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    hash           text NOT NULL,
    feed           text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    first_at       timestamptz NOT NULL,
    interval_s     bigint NOT NULL,
    prices_stroops bigint[] NOT NULL,            -- per kWh, one per interval
    made_of        jsonb NOT NULL,
    published_at   timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX price_published_by_feed ON price_published (feed, first_at);

CREATE TABLE rate_published (
    stream       text COLLATE "C" NOT NULL,
    sequence     bigint NOT NULL,
    hash         text NOT NULL,
    feed         text COLLATE "C" NOT NULL,
    base         text NOT NULL,
    asset        text NOT NULL,
    from_at      timestamptz NOT NULL,
    rate_stroops bigint NOT NULL,                -- of asset for one unit of base
    made_of      jsonb NOT NULL,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX rate_published_by_feed ON rate_published (feed, from_at);

CREATE TABLE feed_source (                       -- no row: a source that always counted
    stream         text COLLATE "C" NOT NULL,
    feed           text COLLATE "C" NOT NULL,
    source         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    is_quarantined boolean NOT NULL,
    outliers       bigint NOT NULL,              -- in a row, when it was quarantined; else 0
    decided_at     timestamptz NOT NULL,
    PRIMARY KEY (stream, feed, source)
);

CREATE TABLE feed_stale (                        -- the newest time that a feed went stale
    stream     text COLLATE "C" NOT NULL,
    feed       text COLLATE "C" NOT NULL,
    sequence   bigint NOT NULL,
    last_until timestamptz NOT NULL,
    stale_at   timestamptz NOT NULL,
    PRIMARY KEY (stream, feed)
);

-- LEDGER_<book>: systems

ALTER TABLE system
    ADD COLUMN recipient        text COLLATE "C", -- NULL: any recipient
    ADD COLUMN seed_factor_ppm  bigint,          -- NULL: no seed round
    ADD COLUMN seed_cap_stroops bigint,
    ADD COLUMN cover_stroops    bigint NOT NULL DEFAULT 0,
    ADD COLUMN offtaker         text COLLATE "C"; -- NULL: the site has no grid

ALTER TABLE investment
    ADD COLUMN round      text NOT NULL DEFAULT 'raise', -- seed, raise
    ADD COLUMN units      bigint,
    ADD COLUMN is_at_risk boolean NOT NULL DEFAULT false;
UPDATE investment SET units = amount_stroops;
ALTER TABLE investment ALTER COLUMN units SET NOT NULL;
CREATE INDEX investment_by_system ON investment (system, stream);
CREATE INDEX investment_by_investor ON investment (investor, stream);

ALTER TABLE raise_accepted ADD COLUMN units bigint;
UPDATE raise_accepted SET units = (
    SELECT sum(shares) FROM title_move move
    WHERE move.stream = raise_accepted.stream AND move.sequence = raise_accepted.sequence);
ALTER TABLE raise_accepted ALTER COLUMN units SET NOT NULL;

-- title_move.kind: raise, payment, sale (between members), cover (a guarantor stepped in), reclaim
CREATE INDEX title_move_by_system ON title_move (system, stream, sequence);

CREATE TABLE stage_advanced (
    stream      text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    system      text COLLATE "C" NOT NULL,
    from_stage  integer NOT NULL,
    to_stage    integer NOT NULL,
    checklist   text[] NOT NULL,
    documents   jsonb NOT NULL,                  -- kind and sha256 of each
    is_signed   boolean NOT NULL,                -- false: it followed by itself
    advanced_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX stage_advanced_by_system ON stage_advanced (system, stream, sequence);

CREATE TABLE investment_refunded (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    investment     text COLLATE "C" NOT NULL,
    system         text COLLATE "C" NOT NULL,
    investor       text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    units          bigint NOT NULL,
    to_member      text COLLATE "C" NOT NULL,
    refunded_at    timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX investment_refunded_by_system ON investment_refunded (system, stream);
CREATE INDEX investment_refunded_by_id ON investment_refunded (investment, stream);

CREATE TABLE raise_cancelled (
    stream       text COLLATE "C" NOT NULL,
    sequence     bigint NOT NULL,
    system       text COLLATE "C" NOT NULL,
    reason       text NOT NULL,                  -- cancelled, not-accepted
    cancelled_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX raise_cancelled_by_system ON raise_cancelled (system, stream);

CREATE TABLE payout (                            -- one row per step
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    payout         text COLLATE "C" NOT NULL,
    step           text NOT NULL,                -- confirmed, paid
    system         text COLLATE "C" NOT NULL,
    contractor     text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    confirmed_by   text COLLATE "C",             -- only when confirmed
    confirmed_as   text,
    at             timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX payout_by_system ON payout (system, stream, payout);

CREATE TABLE cover (                             -- what is left of it: account cover:<system>:<g>
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    system         text COLLATE "C" NOT NULL,
    guarantor      text COLLATE "C" NOT NULL,
    step           text NOT NULL,                -- deposited, released
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX cover_by_system ON cover (system, stream);

CREATE TABLE share_offer (
    stream        text COLLATE "C" NOT NULL,
    sequence      bigint NOT NULL,
    offer         text COLLATE "C" NOT NULL,
    system        text COLLATE "C" NOT NULL,
    from_member   text COLLATE "C" NOT NULL,
    to_member     text COLLATE "C" NOT NULL,
    asset         text NOT NULL,
    shares        bigint NOT NULL,
    price_stroops bigint NOT NULL,
    expires_at    timestamptz NOT NULL,
    offered_at    timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX share_offer_by_system ON share_offer (system, stream);

CREATE TABLE share_transfer (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    offer          text COLLATE "C" NOT NULL,
    system         text COLLATE "C" NOT NULL,
    from_member    text COLLATE "C" NOT NULL,
    to_member      text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    shares         bigint NOT NULL,
    price_stroops  bigint NOT NULL,
    transferred_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX share_transfer_by_offer ON share_transfer (offer, stream);

-- LEDGER_<book>: holdings

ALTER TABLE own_title DROP CONSTRAINT own_title_pkey;
ALTER TABLE own_title ADD PRIMARY KEY (stream, holding);  -- two books may have one of the same name
CREATE INDEX holding_by_id ON holding (holding, stream);

CREATE TABLE holding_offer (                     -- an offer to the holder himself takes it back
    stream       text COLLATE "C" NOT NULL,
    sequence     bigint NOT NULL,
    holding      text COLLATE "C" NOT NULL,
    step         text NOT NULL,                  -- offered, accepted
    from_member  text COLLATE "C" NOT NULL,
    to_member    text COLLATE "C" NOT NULL,
    effective_at timestamptz,                    -- only when accepted
    at           timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX holding_offer_by_holding ON holding_offer (holding, stream, sequence);

CREATE TABLE holding_transferred (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    holding        text COLLATE "C" NOT NULL,
    from_member    text COLLATE "C" NOT NULL,
    to_member      text COLLATE "C" NOT NULL,
    agreement      text COLLATE "C",
    transferred_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX holding_transferred_by_holding ON holding_transferred (holding, stream, sequence);

CREATE TABLE holding_owned (
    stream                 text COLLATE "C" NOT NULL,
    sequence               bigint NOT NULL,
    holding                text COLLATE "C" NOT NULL,
    system                 text COLLATE "C" NOT NULL,
    agreement              text COLLATE "C" NOT NULL,
    member                 text COLLATE "C" NOT NULL,
    units                  bigint NOT NULL,
    asset                  text NOT NULL,
    lapsed_prepaid_stroops bigint NOT NULL,
    owned_at               timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX holding_owned_by_holding ON holding_owned (holding, stream);

CREATE TABLE system_paid_off (
    stream        text COLLATE "C" NOT NULL,
    sequence      bigint NOT NULL,
    system        text COLLATE "C" NOT NULL,
    holding_count bigint NOT NULL,
    paid_off_at   timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX system_paid_off_by_system ON system_paid_off (system, stream);

CREATE TABLE holding_reclaimed (
    stream       text COLLATE "C" NOT NULL,
    sequence     bigint NOT NULL,
    holding      text COLLATE "C" NOT NULL,
    system       text COLLATE "C" NOT NULL,
    agreement    text COLLATE "C" NOT NULL,
    member       text COLLATE "C" NOT NULL,
    units        bigint NOT NULL,
    own_shares   bigint NOT NULL,                -- that became ordinary title
    reclaimed_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX holding_reclaimed_by_holding ON holding_reclaimed (holding, stream);

-- LEDGER_<book>: repayment

ALTER TABLE payment
    ADD COLUMN kind text NOT NULL DEFAULT 'invoices'; -- invoices, standing-order, prepayment
CREATE INDEX payment_by_agreement ON payment (agreement, stream, sequence);

ALTER TABLE payment_cleared                      -- by payments, and by applied credit under its name
    ADD COLUMN into_kind text NOT NULL DEFAULT 'investors', -- investors, wallet, credit, tax
    ADD COLUMN payee     text COLLATE "C";       -- NULL: investors

CREATE TABLE credit_applied (
    stream            text COLLATE "C" NOT NULL,
    sequence          bigint NOT NULL,
    application       text COLLATE "C" NOT NULL,
    agreement         text COLLATE "C" NOT NULL,
    asset             text NOT NULL,
    amount_stroops    bigint NOT NULL,
    returned_stroops  bigint NOT NULL,
    principal_stroops bigint NOT NULL,
    credit_stroops    bigint NOT NULL,
    applied_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX credit_applied_by_agreement ON credit_applied (agreement, stream);

CREATE TABLE credit_refunded (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    agreement      text COLLATE "C" NOT NULL,
    member         text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    refunded_at    timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE prepaid_applied (
    stream          text COLLATE "C" NOT NULL,
    sequence        bigint NOT NULL,
    agreement       text COLLATE "C" NOT NULL,
    asset           text NOT NULL,
    invoice         text COLLATE "C" NOT NULL,
    amount_stroops  bigint NOT NULL,
    prepaid_stroops bigint NOT NULL,             -- that is left
    applied_at      timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX prepaid_applied_by_invoice ON prepaid_applied (invoice, stream);

CREATE TABLE invoice_capped (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    agreement      text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    invoice        text COLLATE "C" NOT NULL,
    amount_stroops bigint NOT NULL,
    reason         text NOT NULL,                -- owed, owned
    capped_at      timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX invoice_capped_by_invoice ON invoice_capped (invoice, stream);

CREATE TABLE credit_note_settled (
    stream           text COLLATE "C" NOT NULL,
    sequence         bigint NOT NULL,
    credit_note      text COLLATE "C" NOT NULL,
    agreement        text COLLATE "C" NOT NULL,
    asset            text NOT NULL,
    invoice          text COLLATE "C" NOT NULL,
    unpaid_stroops   bigint NOT NULL,
    prepaid_stroops  bigint NOT NULL,
    refunded_stroops bigint NOT NULL,
    owed_stroops     bigint NOT NULL,            -- by payees, to the agreement
    refunds          jsonb NOT NULL,
    settled_at       timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX credit_note_settled_by_invoice ON credit_note_settled (invoice, stream);

CREATE TABLE refund_received (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    agreement      text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    payee          text COLLATE "C" NOT NULL,
    into_kind      text NOT NULL,
    amount_stroops bigint NOT NULL,
    received_at    timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE standing_order (                    -- the newest of each agreement; limit 0: ended
    stream        text COLLATE "C" NOT NULL,
    agreement     text COLLATE "C" NOT NULL,
    sequence      bigint NOT NULL,
    member        text COLLATE "C" NOT NULL,
    limit_stroops bigint NOT NULL,
    set_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, agreement)
);

CREATE TABLE return_accrued (                    -- to whom: entries of return_to:<agr>:<member>
    stream            text COLLATE "C" NOT NULL,
    sequence          bigint NOT NULL,
    agreement         text COLLATE "C" NOT NULL,
    system            text COLLATE "C" NOT NULL,
    asset             text NOT NULL,
    from_day          date NOT NULL,
    until_day         date NOT NULL,
    principal_stroops bigint NOT NULL,
    return_ppm_year   bigint NOT NULL,
    amount_stroops    bigint NOT NULL,
    accrued_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX return_accrued_by_agreement ON return_accrued (agreement, stream, sequence);

CREATE TABLE receipt (                           -- book money that came with a reference
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    receipt        text COLLATE "C" NOT NULL,
    agreement      text COLLATE "C",             -- whose credit it is; NULL: suspended
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    reference      text,                         -- only when suspended
    reason         text,
    received_at    timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX receipt_by_id ON receipt (receipt, stream);

CREATE TABLE suspense_settled (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    receipt        text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    member         text COLLATE "C",             -- neither: it was returned
    agreement      text COLLATE "C",
    settled_at     timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX suspense_settled_by_receipt ON suspense_settled (receipt, stream);

CREATE TABLE withdrawal (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    member         text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    withdrawn_at   timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX withdrawal_by_member ON withdrawal (member, sequence);

-- LEDGER_<book>: supply

CREATE TABLE supply_change (
    stream     text COLLATE "C" NOT NULL,
    sequence   bigint NOT NULL,
    holding    text COLLATE "C" NOT NULL,
    agreement  text COLLATE "C" NOT NULL,
    change     text NOT NULL,                    -- diverted, disconnected, restored
    invoice    text COLLATE "C",                 -- the overdue one; NULL when restored
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX supply_change_by_holding ON supply_change (holding, stream, sequence);

CREATE TABLE first_loss (
    stream             text COLLATE "C" NOT NULL,
    sequence           bigint NOT NULL,
    holding            text COLLATE "C" NOT NULL,
    agreement          text COLLATE "C" NOT NULL,
    system             text COLLATE "C" NOT NULL,
    asset              text NOT NULL,
    guarantor          text COLLATE "C" NOT NULL,
    amount_stroops     bigint NOT NULL,
    returned_stroops   bigint NOT NULL,
    principal_stroops  bigint NOT NULL,
    cover_left_stroops bigint NOT NULL,
    covered_at         timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX first_loss_by_system ON first_loss (system, stream);

CREATE TABLE grid_sale (
    stream                text COLLATE "C" NOT NULL,
    sequence              bigint NOT NULL,
    holding               text COLLATE "C" NOT NULL,
    agreement             text COLLATE "C" NOT NULL,
    system                text COLLATE "C" NOT NULL,
    member                text COLLATE "C" NOT NULL,
    offtaker              text COLLATE "C" NOT NULL,
    asset                 text NOT NULL,
    first_interval_at     timestamptz NOT NULL,
    interval_s            integer NOT NULL,
    energies_wh           bigint[] NOT NULL,
    energy_wh             bigint NOT NULL,
    tariff                text COLLATE "C" NOT NULL,
    price_position        text NOT NULL,
    price_stroops_per_kwh bigint NOT NULL,
    amount_stroops        bigint NOT NULL,
    sold_at               timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX grid_sale_by_agreement ON grid_sale (agreement, stream, sequence);

CREATE TABLE grid_proceeds (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    agreement      text COLLATE "C" NOT NULL,
    offtaker       text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    received_at    timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX grid_proceeds_by_agreement ON grid_proceeds (agreement, stream);

CREATE TABLE paygo_device (
    stream      text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    device      text COLLATE "C" NOT NULL,
    holding     text COLLATE "C" NOT NULL,
    first_count bigint NOT NULL,
    assigned_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX paygo_device_by_holding ON paygo_device (holding, stream);

CREATE TABLE supply_token (                      -- its digits are made by whoever has the key
    stream      text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    device      text COLLATE "C" NOT NULL,
    holding     text COLLATE "C" NOT NULL,
    agreement   text COLLATE "C" NOT NULL,
    kind        text NOT NULL,                   -- add-time, disable
    days        integer NOT NULL,
    token_count bigint NOT NULL,
    invoice     text COLLATE "C",                -- NULL for disable
    issued_at   timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX supply_token_by_holding ON supply_token (holding, stream, sequence);

-- BILLING_<book>

ALTER TABLE agreement
    ADD COLUMN rate_feed                text COLLATE "C",
    ADD COLUMN term_periods             bigint,  -- NULL: the rest never falls due by itself
    ADD COLUMN expected_wh_year         bigint,
    ADD COLUMN grace_periods            integer NOT NULL DEFAULT 6,
    ADD COLUMN notice_s                 bigint NOT NULL DEFAULT 604800,
    ADD COLUMN upkeep_payee             text COLLATE "C",
    ADD COLUMN upkeep_stroops_per_month bigint,
    ADD COLUMN taxes                    jsonb NOT NULL DEFAULT '[]';
CREATE INDEX agreement_by_holding ON agreement (holding, stream);

ALTER TABLE invoice
    ADD COLUMN later_due_at  timestamptz,        -- of the part that is higher than what it replaces
    ADD COLUMN later_stroops bigint NOT NULL DEFAULT 0,
    ADD COLUMN replaces      text COLLATE "C",
    ADD COLUMN cutoff_at     timestamptz;
CREATE INDEX invoice_by_agreement ON invoice (agreement, stream, sequence);
CREATE INDEX invoice_by_replaced ON invoice (replaces, stream) WHERE replaces IS NOT NULL;

ALTER TABLE invoice_line                         -- a line has a price, or days, or a rate of tax
    ALTER COLUMN tariff DROP NOT NULL,
    ALTER COLUMN tariff_version DROP NOT NULL,
    ALTER COLUMN price_position DROP NOT NULL,
    ALTER COLUMN price_stroops_per_kwh DROP NOT NULL,
    ADD COLUMN kind          text NOT NULL DEFAULT 'use',
    ADD COLUMN payee         text COLLATE "C",
    ADD COLUMN bucket        text,
    ADD COLUMN tier          bigint,
    ADD COLUMN rate_position text,
    ADD COLUMN days          bigint NOT NULL DEFAULT 0,
    ADD COLUMN rate_ppm      bigint,
    ADD COLUMN base_lines    bigint[] NOT NULL DEFAULT '{}';

CREATE TABLE invoice_draft (
    stream            text COLLATE "C" NOT NULL,
    sequence          bigint NOT NULL,
    invoice           text COLLATE "C" NOT NULL,
    agreement         text COLLATE "C" NOT NULL,
    recipient         text COLLATE "C" NOT NULL,
    asset             text NOT NULL,
    period_from       timestamptz NOT NULL,
    period_until      timestamptz NOT NULL,
    final_at          timestamptz NOT NULL,
    rated_intervals   bigint NOT NULL,
    unrated_intervals bigint NOT NULL,
    lines             jsonb NOT NULL,
    total_stroops     bigint NOT NULL,
    drafted_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX invoice_draft_by_agreement ON invoice_draft (agreement, stream, sequence);

CREATE TABLE credit_note (
    stream        text COLLATE "C" NOT NULL,
    sequence      bigint NOT NULL,
    credit_note   text COLLATE "C" NOT NULL,
    number        bigint NOT NULL,
    agreement     text COLLATE "C" NOT NULL,
    recipient     text COLLATE "C" NOT NULL,
    asset         text NOT NULL,
    invoice       text COLLATE "C" NOT NULL,
    reason        text NOT NULL,                 -- readings, prices, dispute
    because       text[] NOT NULL,               -- positions of the facts that changed it
    changes       jsonb NOT NULL,
    amounts       jsonb NOT NULL,
    total_stroops bigint NOT NULL,
    issued_at     timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX credit_note_by_invoice ON credit_note (invoice, stream);
CREATE INDEX credit_note_by_agreement ON credit_note (agreement, stream, sequence);

CREATE TABLE notice (
    stream          text COLLATE "C" NOT NULL,
    sequence        bigint NOT NULL,
    kind            text NOT NULL,               -- reminder, alert, stern, diversion, disconnection, reclaim
    agreement       text COLLATE "C" NOT NULL,
    recipient       text COLLATE "C" NOT NULL,
    invoice         text COLLATE "C" NOT NULL,
    overdue_stroops bigint NOT NULL,
    periods_late    bigint NOT NULL,
    told            text[] NOT NULL,             -- besides the recipient
    sent_at         timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX notice_by_agreement ON notice (agreement, stream, sequence);
CREATE INDEX notice_by_time ON notice (sent_at, stream, sequence);

CREATE TABLE clock_pause (                       -- one row per step
    stream    text COLLATE "C" NOT NULL,
    sequence  bigint NOT NULL,
    pause     text COLLATE "C" NOT NULL,
    step      text NOT NULL,                     -- paused, resumed
    agreement text COLLATE "C",                  -- NULL: every agreement of the book
    cause     text NOT NULL,
    from_at   timestamptz NOT NULL,
    until_at  timestamptz,                       -- only when resumed
    at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX clock_pause_by_id ON clock_pause (pause, stream);

CREATE TABLE dispute (                           -- one row per step
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    invoice        text COLLATE "C" NOT NULL,
    step           text NOT NULL,                -- disputed, resolved
    agreement      text COLLATE "C" NOT NULL,
    amount_stroops bigint NOT NULL,              -- disputed; when resolved: credited
    reason         text,                         -- only when disputed
    until_at       timestamptz,
    at             timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX dispute_by_invoice ON dispute (invoice, stream, sequence);
