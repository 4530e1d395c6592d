-- The views of Heliograph, version 1. Applied once, under a lock, by services/projection/schema.py.
--
-- Rules: every column is written from exactly one stream; no foreign keys across streams; what
-- belongs together is joined when it is read. Rows that are only ever added are keyed by the place
-- of their fact. Text ids use the collation "C", so that order is the same everywhere.
-- Amounts: *_wh watt-hours, *_stroops 10^-7 of a unit, *_s seconds. Instants are UTC.

CREATE TABLE projection_position (
    stream     text COLLATE "C" PRIMARY KEY,
    sequence   bigint NOT NULL DEFAULT 0,
    hash       text NOT NULL DEFAULT '00000000000000000000000000000000',
    fact_count bigint NOT NULL DEFAULT 0,
    last_at    timestamptz,                      -- domain time of the fact at the position
    moved_at   timestamptz NOT NULL DEFAULT now() -- wall clock; says nothing about the domain
);

CREATE TABLE fact_total (
    stream text COLLATE "C" NOT NULL,
    fact   text COLLATE "C" NOT NULL,
    total  bigint NOT NULL,
    PRIMARY KEY (stream, fact)
);

CREATE TABLE clock (
    stream    text COLLATE "C" PRIMARY KEY,
    sequence  bigint NOT NULL,
    now_at    timestamptz NOT NULL,
    cadence_s bigint                             -- PRICES only: seconds until the next step
);

-- READINGS_<p>

CREATE TABLE reading (
    stream             text COLLATE "C" NOT NULL,
    sequence           bigint NOT NULL,
    meter              text COLLATE "C" NOT NULL,
    seq                bigint NOT NULL,
    epoch              bigint NOT NULL,
    first_interval_at  timestamptz NOT NULL,
    until_at           timestamptz NOT NULL,
    interval_s         integer NOT NULL,
    interval_count     integer NOT NULL,
    generated_wh       bigint,                   -- total over all intervals; NULL: no such register
    consumed_wh        bigint,
    imported_wh        bigint,
    exported_wh        bigint,
    generated_each_wh  bigint[],                 -- per interval; NULL when there is only one
    consumed_each_wh   bigint[],
    imported_each_wh   bigint[],
    exported_each_wh   bigint[],
    generated_after_wh bigint,                   -- the cumulative register afterwards
    consumed_after_wh  bigint,
    imported_after_wh  bigint,
    exported_after_wh  bigint,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX reading_by_meter ON reading (meter, first_interval_at, sequence);

CREATE TABLE reading_refused (
    stream     text COLLATE "C" NOT NULL,
    sequence   bigint NOT NULL,
    meter      text COLLATE "C" NOT NULL,
    seq        bigint,
    reason     text NOT NULL,
    detail     text NOT NULL,
    sha256     text NOT NULL,
    refused_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

-- METERS_<p>

CREATE TABLE meter (
    meter       text COLLATE "C" PRIMARY KEY,
    stream      text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    address     text NOT NULL,
    role        text NOT NULL,
    system      text COLLATE "C" NOT NULL,
    holding     text COLLATE "C",
    site        text NOT NULL,
    nameplate_w bigint NOT NULL,
    enrolled_at timestamptz NOT NULL
);
CREATE INDEX meter_by_system ON meter (system);

-- MEMBERS

CREATE TABLE member (
    member        text COLLATE "C" PRIMARY KEY,
    stream        text COLLATE "C" NOT NULL,
    sequence      bigint NOT NULL,
    address       text NOT NULL,
    roles         text[] NOT NULL,
    registered_at timestamptz NOT NULL
);

-- PRICES

CREATE TABLE tariff (
    stream                text COLLATE "C" NOT NULL,
    sequence              bigint NOT NULL,
    hash                  text NOT NULL,
    tariff                text COLLATE "C" NOT NULL,
    version               bigint NOT NULL,
    asset                 text NOT NULL,
    price_stroops_per_kwh bigint NOT NULL,
    effective_from        timestamptz NOT NULL,
    published_at          timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX tariff_by_version ON tariff (tariff, version);

-- LEDGER_<book>

CREATE TABLE system (
    stream                  text COLLATE "C" NOT NULL,
    sequence                bigint NOT NULL,
    system                  text COLLATE "C" NOT NULL,
    proposer                text NOT NULL,
    asset                   text NOT NULL,
    price_stroops           bigint NOT NULL,
    nameplate_w             bigint NOT NULL,
    site                    text NOT NULL,
    time_zone               text NOT NULL,
    return_ppm_year         bigint NOT NULL,
    minimum_payment_stroops bigint NOT NULL,
    proposed_at             timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX system_by_id ON system (system);

CREATE TABLE system_approved (
    stream      text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    system      text COLLATE "C" NOT NULL,
    shares      bigint NOT NULL,
    approved_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE investment (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    investment     text COLLATE "C" NOT NULL,
    system         text COLLATE "C" NOT NULL,
    investor       text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    made_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE raise_accepted (
    stream      text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    system      text COLLATE "C" NOT NULL,
    recipient   text COLLATE "C" NOT NULL,
    asset       text NOT NULL,
    accepted_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE holding (
    stream    text COLLATE "C" NOT NULL,
    sequence  bigint NOT NULL,
    holding   text COLLATE "C" NOT NULL,
    system    text COLLATE "C" NOT NULL,
    recipient text COLLATE "C" NOT NULL,
    units     bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX holding_by_system ON holding (system);

CREATE TABLE deposit (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    member         text COLLATE "C" NOT NULL,
    asset          text NOT NULL,
    amount_stroops bigint NOT NULL,
    deposited_at   timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE payment (
    stream            text COLLATE "C" NOT NULL,
    sequence          bigint NOT NULL,
    payment           text COLLATE "C" NOT NULL,
    agreement         text COLLATE "C" NOT NULL,
    payer             text COLLATE "C" NOT NULL,
    asset             text NOT NULL,
    amount_stroops    bigint NOT NULL,
    returned_stroops  bigint NOT NULL,
    principal_stroops bigint NOT NULL,
    credit_stroops    bigint NOT NULL,
    settled_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE payment_cleared (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    part           integer NOT NULL,
    payment        text COLLATE "C" NOT NULL,
    agreement      text COLLATE "C" NOT NULL,
    invoice        text COLLATE "C" NOT NULL,
    line_class     text NOT NULL,
    amount_stroops bigint NOT NULL,
    settled_at     timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence, part)
);
CREATE INDEX payment_cleared_by_invoice ON payment_cleared (invoice);

CREATE TABLE payment_move (
    stream         text COLLATE "C" NOT NULL,
    sequence       bigint NOT NULL,
    part           integer NOT NULL,
    payment        text COLLATE "C" NOT NULL,
    kind           text NOT NULL,                -- return, principal
    member         text COLLATE "C" NOT NULL,
    amount_stroops bigint NOT NULL,
    PRIMARY KEY (stream, sequence, part)
);

CREATE TABLE title_move (
    stream      text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    part        integer NOT NULL,
    kind        text NOT NULL,                   -- raise, payment
    system      text COLLATE "C" NOT NULL,
    holding     text COLLATE "C",                -- of a payment
    agreement   text COLLATE "C",
    payment     text COLLATE "C",
    from_member text COLLATE "C",                -- NULL: from the approver's stock
    to_member   text COLLATE "C" NOT NULL,
    shares      bigint NOT NULL,
    moved_at    timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence, part)
);
CREATE INDEX title_move_by_payment ON title_move (payment);

CREATE TABLE own_title (                         -- the newest word on each holding
    holding       text COLLATE "C" PRIMARY KEY,
    stream        text COLLATE "C" NOT NULL,
    sequence      bigint NOT NULL,
    system        text COLLATE "C" NOT NULL,
    agreement     text COLLATE "C" NOT NULL,
    member        text COLLATE "C" NOT NULL,
    own_shares    bigint NOT NULL,
    holding_units bigint NOT NULL,
    moved_at      timestamptz NOT NULL
);

CREATE TABLE account_balance (                   -- what LEDGER did to each account
    stream  text COLLATE "C" NOT NULL,
    asset   text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    balance numeric(40, 0) NOT NULL,
    PRIMARY KEY (stream, asset, account)
);

-- BILLING_<book>

CREATE TABLE agreement (
    stream                  text COLLATE "C" NOT NULL,
    sequence                bigint NOT NULL,
    agreement               text COLLATE "C" NOT NULL,
    holding                 text COLLATE "C" NOT NULL,
    system                  text COLLATE "C" NOT NULL,
    recipient               text COLLATE "C" NOT NULL,
    tariff                  text COLLATE "C" NOT NULL,
    asset                   text NOT NULL,
    period                  text NOT NULL,
    time_zone               text NOT NULL,
    first_day               date NOT NULL,
    rating_interval_s       integer NOT NULL,
    settlement_lag_s        bigint NOT NULL,
    due_after_s             bigint NOT NULL,
    return_ppm_year         bigint NOT NULL,
    minimum_payment_stroops bigint NOT NULL,
    opened_at               timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX agreement_by_id ON agreement (agreement);

CREATE TABLE invoice (
    stream            text COLLATE "C" NOT NULL,
    sequence          bigint NOT NULL,
    hash              text NOT NULL,
    invoice           text COLLATE "C" NOT NULL,
    number            bigint NOT NULL,
    agreement         text COLLATE "C" NOT NULL,
    recipient         text COLLATE "C" NOT NULL,
    asset             text NOT NULL,
    period_from       timestamptz NOT NULL,
    period_until      timestamptz NOT NULL,
    due_at            timestamptz NOT NULL,
    rated_intervals   bigint NOT NULL,
    unrated_intervals bigint NOT NULL,
    generated_wh      bigint NOT NULL,
    consumed_wh       bigint NOT NULL,
    energy_wh         bigint NOT NULL,           -- sum of its lines
    total_stroops     bigint NOT NULL,
    seen              text NOT NULL,             -- positions of everything billing had folded
    issued_at         timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX invoice_by_id ON invoice (invoice);
CREATE INDEX invoice_by_issue ON invoice (issued_at, stream, sequence);

CREATE TABLE invoice_line (
    stream                text COLLATE "C" NOT NULL,
    sequence              bigint NOT NULL,
    line                  bigint NOT NULL,
    invoice               text COLLATE "C" NOT NULL,
    line_class            text NOT NULL,
    holding               text COLLATE "C" NOT NULL,
    tariff                text COLLATE "C" NOT NULL,
    tariff_version        bigint NOT NULL,
    price_position        text NOT NULL,
    price_stroops_per_kwh bigint NOT NULL,
    energy_wh             bigint NOT NULL,
    amount_stroops        bigint NOT NULL,
    PRIMARY KEY (stream, sequence, line)
);

CREATE TABLE invoice_reading (
    stream          text COLLATE "C" NOT NULL,
    sequence        bigint NOT NULL,
    part            integer NOT NULL,
    invoice         text COLLATE "C" NOT NULL,
    meter           text COLLATE "C" NOT NULL,
    readings_stream text COLLATE "C" NOT NULL,
    first_seq       bigint NOT NULL,
    last_seq        bigint NOT NULL,
    positions       bigint[] NOT NULL,
    PRIMARY KEY (stream, sequence, part)
);

CREATE TABLE invoice_paid (
    stream        text COLLATE "C" NOT NULL,
    sequence      bigint NOT NULL,
    invoice       text COLLATE "C" NOT NULL,
    agreement     text COLLATE "C" NOT NULL,
    total_stroops bigint NOT NULL,
    paid_at       timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX invoice_paid_by_id ON invoice_paid (invoice);

CREATE TABLE claim_balance (                     -- what BILLING did to each account
    stream  text COLLATE "C" NOT NULL,
    asset   text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    balance numeric(40, 0) NOT NULL,
    PRIMARY KEY (stream, asset, account)
);

-- ANCHORS

CREATE TABLE anchor_prepared (
    stream           text COLLATE "C" NOT NULL,
    sequence         bigint NOT NULL,
    log              text COLLATE "C" NOT NULL,
    round            bigint NOT NULL,
    round_text       text NOT NULL,
    round_sha256     text NOT NULL,
    account          text NOT NULL,
    network          text NOT NULL,
    account_sequence bigint NOT NULL,
    transaction_hash text COLLATE "C" NOT NULL,
    valid_until      timestamptz NOT NULL,
    prepared_at      timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);

CREATE TABLE anchor_confirmed (
    stream           text COLLATE "C" NOT NULL,
    sequence         bigint NOT NULL,
    log              text COLLATE "C" NOT NULL,
    round            bigint NOT NULL,
    transaction_hash text COLLATE "C" NOT NULL,
    ledger           bigint NOT NULL,
    closed_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX anchor_confirmed_by_hash ON anchor_confirmed (transaction_hash);

CREATE TABLE anchor_failed (
    stream           text COLLATE "C" NOT NULL,
    sequence         bigint NOT NULL,
    log              text COLLATE "C" NOT NULL,
    round            bigint NOT NULL,
    transaction_hash text COLLATE "C" NOT NULL,
    reason           text NOT NULL,
    failed_at        timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX anchor_failed_by_hash ON anchor_failed (transaction_hash);

-- REFUSALS: no fact stream; old messages leave it by age, so positions have gaps

CREATE TABLE refusal (
    stream          text COLLATE "C" NOT NULL,
    sequence        bigint NOT NULL,
    subject         text NOT NULL,
    reason          text NOT NULL,
    meter           text NOT NULL,
    detail          text NOT NULL,
    sha256          text NOT NULL,
    first_256_bytes text NOT NULL,
    count           bigint NOT NULL,
    PRIMARY KEY (stream, sequence)
);
