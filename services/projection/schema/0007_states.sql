-- SQL views that join what several streams said: how systems, holdings, agreements, invoices and
-- feeds stand. Each has the book, so that two books may use the same names.

CREATE FUNCTION book_of(stream text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN substr(stream, strpos(stream, '_') + 1);

CREATE VIEW system_state AS
SELECT book_of(system.stream) AS book, system.*,
    (approved.approved_at IS NOT NULL) AS is_approved,
    approved.approved_at,
    COALESCE(stage.to_stage, 0) AS stage,
    stage.advanced_at AS stage_at,
    (COALESCE(invested.stroops, 0) - COALESCE(refunded.stroops, 0))::bigint AS raised_stroops,
    COALESCE(invested.investors, 0) AS investor_count,
    COALESCE(accepted.units,
        system.price_stroops + COALESCE(invested.uplift, 0) - COALESCE(refunded.uplift, 0)
    )::bigint AS units,
    accepted.recipient AS accepted_by,
    accepted.accepted_at,
    COALESCE(covered.balance, 0)::bigint AS cover_left_stroops,
    CASE
        WHEN paid_off.paid_off_at IS NOT NULL THEN 'paid-off'
        WHEN cancelled.cancelled_at IS NOT NULL THEN 'cancelled'
        WHEN COALESCE(stage.to_stage, 0) >= 7 THEN 'running'
        WHEN accepted.accepted_at IS NOT NULL THEN 'building'
        WHEN COALESCE(invested.stroops, 0) - COALESCE(refunded.stroops, 0) >= system.price_stroops
            THEN 'full'
        WHEN approved.approved_at IS NOT NULL THEN 'approved'
        ELSE 'proposed'
    END AS status,
    cancelled.reason AS cancelled_because,
    cancelled.cancelled_at,
    paid_off.paid_off_at
FROM system
LEFT JOIN LATERAL (
    SELECT approved_at FROM system_approved found
    WHERE found.system = system.system AND found.stream = system.stream
    ORDER BY sequence LIMIT 1
) approved ON true
LEFT JOIN LATERAL (
    SELECT to_stage, advanced_at FROM stage_advanced found
    WHERE found.system = system.system AND found.stream = system.stream
    ORDER BY sequence DESC LIMIT 1
) stage ON true
LEFT JOIN LATERAL (
    SELECT sum(amount_stroops) AS stroops, sum(units - amount_stroops) AS uplift,
        count(DISTINCT investor) AS investors
    FROM investment found
    WHERE found.system = system.system AND found.stream = system.stream
) invested ON true
LEFT JOIN LATERAL (
    SELECT sum(amount_stroops) AS stroops, sum(units - amount_stroops) AS uplift
    FROM investment_refunded found
    WHERE found.system = system.system AND found.stream = system.stream
) refunded ON true
LEFT JOIN LATERAL (
    SELECT units, recipient, accepted_at FROM raise_accepted found
    WHERE found.system = system.system AND found.stream = system.stream
    ORDER BY sequence LIMIT 1
) accepted ON true
LEFT JOIN LATERAL (
    SELECT reason, cancelled_at FROM raise_cancelled found
    WHERE found.system = system.system AND found.stream = system.stream
    ORDER BY sequence LIMIT 1
) cancelled ON true
LEFT JOIN LATERAL (
    SELECT paid_off_at FROM system_paid_off found
    WHERE found.system = system.system AND found.stream = system.stream
    ORDER BY sequence LIMIT 1
) paid_off ON true
LEFT JOIN LATERAL (
    SELECT sum(balance) AS balance FROM (
        SELECT DISTINCT guarantor FROM cover found
        WHERE found.system = system.system AND found.stream = system.stream
    ) one
    JOIN account_balance standing
        ON (standing.stream, standing.asset, standing.account)
            = (system.stream, 'U:' || system.asset, 'cover:' || system.system || ':' || guarantor)
) covered ON true;

CREATE VIEW holding_state AS
SELECT book_of(holding.stream) AS book, holding.*,
    COALESCE(moved.to_member, holding.recipient) AS holder,
    CASE
        WHEN reclaimed.reclaimed_at IS NOT NULL THEN 'RECLAIMED'
        WHEN owned.owned_at IS NOT NULL THEN 'OWNED'
        ELSE 'HELD'
    END AS status,
    CASE WHEN reclaimed.reclaimed_at IS NULL THEN COALESCE(own_title.own_shares, 0) ELSE 0 END
        AS own_shares,
    owned.owned_at,
    reclaimed.reclaimed_at,
    (COALESCE(diverted.sequence, 0) > COALESCE(restored.sequence, 0)) AS is_diverted,
    (COALESCE(disconnected.sequence, 0) > COALESCE(restored.sequence, 0)) AS is_disconnected,
    CASE
        WHEN COALESCE(disconnected.sequence, 0) > COALESCE(restored.sequence, 0)
            THEN 'disconnected'
        WHEN COALESCE(diverted.sequence, 0) > COALESCE(restored.sequence, 0) THEN 'diverted'
        ELSE 'supplied'
    END AS supply,
    CASE WHEN offer.step = 'offered' AND offer.to_member <> offer.from_member
        AND offer.sequence > COALESCE(moved.sequence, 0) THEN offer.to_member END AS offered_to,
    CASE WHEN offer.step = 'accepted'
        AND offer.sequence > COALESCE(moved.sequence, 0) THEN offer.to_member END AS moves_to,
    CASE WHEN offer.step = 'accepted'
        AND offer.sequence > COALESCE(moved.sequence, 0) THEN offer.effective_at END AS moves_at
FROM holding
LEFT JOIN own_title
    ON own_title.stream = holding.stream AND own_title.holding = holding.holding
LEFT JOIN LATERAL (
    SELECT to_member, sequence FROM holding_transferred found
    WHERE found.holding = holding.holding AND found.stream = holding.stream
    ORDER BY sequence DESC LIMIT 1
) moved ON true
LEFT JOIN LATERAL (
    SELECT owned_at FROM holding_owned found
    WHERE found.holding = holding.holding AND found.stream = holding.stream LIMIT 1
) owned ON true
LEFT JOIN LATERAL (
    SELECT reclaimed_at FROM holding_reclaimed found
    WHERE found.holding = holding.holding AND found.stream = holding.stream LIMIT 1
) reclaimed ON true
LEFT JOIN LATERAL (
    SELECT max(sequence) AS sequence FROM supply_change found
    WHERE found.holding = holding.holding AND found.stream = holding.stream
    AND found.change = 'diverted'
) diverted ON true
LEFT JOIN LATERAL (
    SELECT max(sequence) AS sequence FROM supply_change found
    WHERE found.holding = holding.holding AND found.stream = holding.stream
    AND found.change = 'disconnected'
) disconnected ON true
LEFT JOIN LATERAL (
    SELECT max(sequence) AS sequence FROM supply_change found
    WHERE found.holding = holding.holding AND found.stream = holding.stream
    AND found.change = 'restored'
) restored ON true
LEFT JOIN LATERAL (
    SELECT step, from_member, to_member, effective_at, sequence FROM holding_offer found
    WHERE found.holding = holding.holding AND found.stream = holding.stream
    ORDER BY sequence DESC LIMIT 1
) offer ON true;

-- What is open: total less cleared, credited, prepaid and capped, as libs/rules/receivables.py has
-- it; a settled credit note gives back what had been cleared. Overdue is with what is disputed.
CREATE VIEW invoice_state AS
SELECT standing.*,
    CASE
        WHEN standing.replaced_by IS NOT NULL THEN 'replaced'
        WHEN standing.credited_stroops > 0
            AND standing.credited_stroops >= standing.total_stroops THEN 'credited'
        WHEN standing.paid_at IS NOT NULL OR standing.open_stroops = 0 THEN 'paid'
        ELSE 'open'
    END AS status,
    CASE
        WHEN standing.now_at IS NULL OR standing.now_at < standing.due_at THEN 0
        WHEN standing.later_due_at IS NOT NULL AND standing.now_at < standing.later_due_at
            THEN greatest(0, standing.open_stroops - standing.later_stroops)
        ELSE standing.open_stroops
    END::bigint AS overdue_stroops
FROM (
    SELECT book_of(invoice.stream) AS book, invoice.*, NULL::timestamptz AS final_at,
        COALESCE(cleared.stroops, 0)::bigint AS cleared_stroops,
        COALESCE(credited.stroops, 0)::bigint AS credited_stroops,
        COALESCE(returned.stroops, 0)::bigint AS returned_stroops,
        COALESCE(prepaid.stroops, 0)::bigint AS prepaid_stroops,
        COALESCE(capped.stroops, 0)::bigint AS capped_stroops,
        greatest(0, invoice.total_stroops - COALESCE(cleared.stroops, 0)
            - COALESCE(prepaid.stroops, 0) - COALESCE(capped.stroops, 0)
            - greatest(0, COALESCE(credited.stroops, 0) - COALESCE(returned.stroops, 0))
        )::bigint AS open_stroops,
        newer.invoice AS replaced_by,
        done.paid_at,
        CASE WHEN disputed.step = 'disputed' AND disputed.until_at > clock.now_at
            THEN disputed.amount_stroops ELSE 0 END AS disputed_stroops,
        CASE WHEN disputed.step = 'disputed' AND disputed.until_at > clock.now_at
            THEN disputed.until_at END AS disputed_until,
        clock.now_at
    FROM invoice
    LEFT JOIN clock ON clock.stream = 'PRICES'
    LEFT JOIN LATERAL (
        SELECT sum(amount_stroops) AS stroops FROM payment_cleared found
        WHERE found.invoice = invoice.invoice
        AND found.stream = 'LEDGER_' || book_of(invoice.stream)
    ) cleared ON true
    LEFT JOIN LATERAL (
        SELECT sum(total_stroops) AS stroops FROM credit_note found
        WHERE found.invoice = invoice.invoice AND found.stream = invoice.stream
    ) credited ON true
    LEFT JOIN LATERAL (
        SELECT sum(prepaid_stroops + refunded_stroops + owed_stroops) AS stroops
        FROM credit_note_settled found
        WHERE found.invoice = invoice.invoice
        AND found.stream = 'LEDGER_' || book_of(invoice.stream)
    ) returned ON true
    LEFT JOIN LATERAL (
        SELECT sum(amount_stroops) AS stroops FROM prepaid_applied found
        WHERE found.invoice = invoice.invoice
        AND found.stream = 'LEDGER_' || book_of(invoice.stream)
    ) prepaid ON true
    LEFT JOIN LATERAL (
        SELECT sum(amount_stroops) AS stroops FROM invoice_capped found
        WHERE found.invoice = invoice.invoice
        AND found.stream = 'LEDGER_' || book_of(invoice.stream)
    ) capped ON true
    LEFT JOIN LATERAL (
        SELECT found.invoice FROM invoice found
        WHERE found.replaces = invoice.invoice AND found.stream = invoice.stream
        ORDER BY found.sequence LIMIT 1
    ) newer ON true
    LEFT JOIN LATERAL (
        SELECT found.paid_at FROM invoice_paid found
        WHERE found.invoice = invoice.invoice AND found.stream = invoice.stream
        ORDER BY found.sequence LIMIT 1
    ) done ON true
    LEFT JOIN LATERAL (
        SELECT step, amount_stroops, until_at FROM dispute found
        WHERE found.invoice = invoice.invoice AND found.stream = invoice.stream
        ORDER BY sequence DESC LIMIT 1
    ) disputed ON true
) standing;

CREATE VIEW draft_state AS                       -- drafts whose invoice is not issued yet
SELECT book_of(stream) AS book, draft.*, 'draft' AS status
FROM invoice_draft draft
WHERE NOT EXISTS (
    SELECT FROM invoice WHERE invoice.invoice = draft.invoice AND invoice.stream = draft.stream
);

CREATE VIEW agreement_state AS
SELECT book_of(agreement.stream) AS book, agreement.*,
    held.holder, held.status AS holding_status, held.supply, held.units,
    COALESCE(own.balance, 0)::bigint AS own_shares,
    CASE WHEN held.status = 'HELD' THEN held.units - COALESCE(own.balance, 0) ELSE 0 END::bigint
        AS principal_stroops,
    COALESCE(accrued.balance, 0)::bigint AS accrued_return_stroops,
    COALESCE(credit.balance, 0)::bigint AS credit_stroops,
    COALESCE(prepaid.balance, 0)::bigint AS prepaid_stroops,
    COALESCE(owed.balance, 0)::bigint AS refunds_due_stroops,
    COALESCE(grid.balance, 0)::bigint AS grid_claim_stroops,
    COALESCE(bills.open_stroops, 0)::bigint AS open_stroops,
    COALESCE(bills.overdue_stroops, 0)::bigint AS overdue_stroops,
    COALESCE(bills.disputed_stroops, 0)::bigint AS disputed_stroops,
    bills.next_due_at,
    COALESCE(ordered.limit_stroops, 0) AS standing_order_stroops,
    last_notice.kind AS last_notice,
    last_notice.sent_at AS last_notice_at
FROM agreement
LEFT JOIN holding_state held
    ON held.holding = agreement.holding AND held.stream = 'LEDGER_' || book_of(agreement.stream)
LEFT JOIN account_balance own
    ON (own.stream, own.asset, own.account) = ('LEDGER_' || book_of(agreement.stream),
        'T:' || agreement.system, 'own:' || agreement.agreement)
LEFT JOIN account_balance accrued
    ON (accrued.stream, accrued.asset, accrued.account)
        = ('LEDGER_' || book_of(agreement.stream),
            'C:' || agreement.asset, 'return_due:' || agreement.agreement)
LEFT JOIN account_balance credit
    ON (credit.stream, credit.asset, credit.account) = ('LEDGER_' || book_of(agreement.stream),
        'U:' || agreement.asset, 'credit:' || agreement.agreement)
LEFT JOIN account_balance prepaid
    ON (prepaid.stream, prepaid.asset, prepaid.account)
        = ('LEDGER_' || book_of(agreement.stream),
            'C:' || agreement.asset, 'prepaid:' || agreement.agreement)
LEFT JOIN account_balance owed
    ON (owed.stream, owed.asset, owed.account) = ('LEDGER_' || book_of(agreement.stream),
        'C:' || agreement.asset, 'owed_to:' || agreement.agreement)
LEFT JOIN account_balance grid
    ON (grid.stream, grid.asset, grid.account) = ('LEDGER_' || book_of(agreement.stream),
        'C:' || agreement.asset, 'grid_for:' || agreement.agreement)
LEFT JOIN LATERAL (
    SELECT sum(open_stroops) AS open_stroops, sum(overdue_stroops) AS overdue_stroops,
        sum(disputed_stroops) AS disputed_stroops,
        min(due_at) FILTER (WHERE open_stroops > 0) AS next_due_at
    FROM invoice_state found
    WHERE found.agreement = agreement.agreement AND found.stream = agreement.stream
) bills ON true
LEFT JOIN standing_order ordered
    ON ordered.agreement = agreement.agreement
    AND ordered.stream = 'LEDGER_' || book_of(agreement.stream)
LEFT JOIN LATERAL (
    SELECT kind, sent_at FROM notice found
    WHERE found.agreement = agreement.agreement AND found.stream = agreement.stream
    ORDER BY sequence DESC LIMIT 1
) last_notice ON true;

CREATE VIEW notice_list AS
SELECT book_of(stream) AS book, notice.* FROM notice;

CREATE VIEW tariff_list AS                       -- each version, and until when it holds
SELECT tariff.*,
    lead(effective_from) OVER (PARTITION BY tariff ORDER BY version) AS effective_until
FROM tariff;

CREATE VIEW price_list AS                        -- one row per interval of a feed of prices
SELECT published.stream, published.sequence, published.hash, published.feed, published.asset,
    published.first_at + (place - 1) * published.interval_s * interval '1 second' AS from_at,
    published.first_at + place * published.interval_s * interval '1 second' AS until_at,
    price_stroops_per_kwh,
    published.made_of
FROM price_published published
CROSS JOIN LATERAL unnest(published.prices_stroops)
    WITH ORDINALITY AS each (price_stroops_per_kwh, place);

CREATE VIEW rate_list AS                         -- each rate, and until when it holds
SELECT rate_published.*,
    lead(from_at) OVER (PARTITION BY stream, feed ORDER BY from_at, sequence) AS until_at
FROM rate_published;

CREATE VIEW feed_state AS
SELECT feed.*,
    said.sequence AS published_sequence,
    said.published_at,
    said.until_at AS last_until,                 -- NULL for a rate: it holds until the next one
    (COALESCE(stale.sequence, 0) > COALESCE(said.sequence, 0)) AS is_stale,
    CASE WHEN stale.sequence > COALESCE(said.sequence, 0) THEN stale.stale_at END AS stale_at,
    ARRAY(
        SELECT source FROM feed_source one
        WHERE one.stream = feed.stream AND one.feed = feed.feed AND one.is_quarantined
        ORDER BY source
    ) AS quarantined
FROM feed
LEFT JOIN LATERAL (
    SELECT sequence, published_at, until_at FROM (
        (SELECT sequence, published_at,
            first_at + cardinality(prices_stroops) * interval_s * interval '1 second' AS until_at
        FROM price_published found
        WHERE found.feed = feed.feed AND found.stream = feed.stream
        ORDER BY first_at DESC, sequence DESC LIMIT 1)
        UNION ALL
        (SELECT sequence, published_at, NULL::timestamptz AS until_at
        FROM rate_published found
        WHERE found.feed = feed.feed AND found.stream = feed.stream
        ORDER BY from_at DESC, sequence DESC LIMIT 1)
    ) either
    ORDER BY sequence DESC LIMIT 1
) said ON true
LEFT JOIN feed_stale stale ON stale.stream = feed.stream AND stale.feed = feed.feed;
