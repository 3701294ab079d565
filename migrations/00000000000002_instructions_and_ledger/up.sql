-- The two big tables, partitioned by month on batch_id. No unique index but the key; no index on a column that an
-- update changes, so that updates stay heap-only.

CREATE TABLE payment_instructions (
    batch_id uuid NOT NULL,
    seq integer NOT NULL,
    request_id text NOT NULL,
    ref_hash bigint NOT NULL,
    request_timestamp timestamptz NOT NULL,
    from_fa text NOT NULL,
    to_fa text NOT NULL,
    amount bigint,
    currency text NOT NULL,
    amount_text text,
    scheduled_at timestamptz,
    scheduled_text text,
    payer_name text,
    payee_name text,
    purpose text,
    note text,
    instruction text,
    locale text,
    status smallint NOT NULL CONSTRAINT instruction_status_known CHECK (status BETWEEN 1 AND 8),
    prev_status smallint NOT NULL,
    version integer NOT NULL,
    backend text,
    resolved_fa text,
    file text,
    rail_reference text,
    error_code text,
    error_msg text,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (batch_id, seq)
) PARTITION BY RANGE (batch_id);
CREATE INDEX payment_instructions_reference ON payment_instructions (ref_hash);
COMMENT ON TABLE payment_instructions IS 'Every payment instruction as sent, and a projection of what became of it. For reading: no decision reads it; only intake and gctb-status write it.';
COMMENT ON COLUMN payment_instructions.batch_id IS 'The batch.';
COMMENT ON COLUMN payment_instructions.seq IS 'Position in the sender''s message, from 0.';
COMMENT ON COLUMN payment_instructions.request_id IS 'The sender''s reference_id, or UUIDv5(transaction, seq) where none was sent.';
COMMENT ON COLUMN payment_instructions.ref_hash IS '64-bit hash of (sender, reference), for look-ups.';
COMMENT ON COLUMN payment_instructions.request_timestamp IS 'header.message_ts of the message.';
COMMENT ON COLUMN payment_instructions.from_fa IS 'Payer: the address sent or the configured default.';
COMMENT ON COLUMN payment_instructions.to_fa IS 'Payee as sent: an id or an address.';
COMMENT ON COLUMN payment_instructions.amount IS 'Minor units; NULL if it did not parse or its currency is unknown.';
COMMENT ON COLUMN payment_instructions.currency IS 'ISO 4217 code as sent.';
COMMENT ON COLUMN payment_instructions.amount_text IS 'The amount as sent, where amount is NULL.';
COMMENT ON COLUMN payment_instructions.scheduled_at IS 'Not to be paid before; NULL: at once.';
COMMENT ON COLUMN payment_instructions.scheduled_text IS 'The scheduled time as sent, where it could not be read.';
COMMENT ON COLUMN payment_instructions.payer_name IS 'As sent.';
COMMENT ON COLUMN payment_instructions.payee_name IS 'As sent.';
COMMENT ON COLUMN payment_instructions.purpose IS 'As sent.';
COMMENT ON COLUMN payment_instructions.note IS 'As sent.';
COMMENT ON COLUMN payment_instructions.instruction IS 'As sent.';
COMMENT ON COLUMN payment_instructions.locale IS 'As sent.';
COMMENT ON COLUMN payment_instructions.status IS '1 NEW, 2 SUBMITTED, 3 FILED, 4 UNKNOWN, 5 PAID, 6 FAILED, 7 CANCELLED, 8 RETURNED.';
COMMENT ON COLUMN payment_instructions.prev_status IS 'The status before the last fold, so that one statement both updates and tells the difference.';
COMMENT ON COLUMN payment_instructions.version IS 'Version of the ledger row that was folded last; 0: none.';
COMMENT ON COLUMN payment_instructions.backend IS 'The backend that pays it.';
COMMENT ON COLUMN payment_instructions.resolved_fa IS 'The address that is paid.';
COMMENT ON COLUMN payment_instructions.file IS 'The payment file it is in.';
COMMENT ON COLUMN payment_instructions.rail_reference IS 'The rail''s own reference.';
COMMENT ON COLUMN payment_instructions.error_code IS 'G2P Connect reason code, or one of ours.';
COMMENT ON COLUMN payment_instructions.error_msg IS 'The rail''s code and words, or ours.';
COMMENT ON COLUMN payment_instructions.updated_at IS 'When the status last changed, by the ledger''s clock.';

CREATE TABLE payment_ledger (
    batch_id uuid NOT NULL,
    seq integer NOT NULL,
    batch_no bigint NOT NULL,
    version integer NOT NULL,
    state smallint NOT NULL CONSTRAINT ledger_state_known CHECK (state BETWEEN 1 AND 9),
    attempt smallint NOT NULL,
    backend text,
    owner uuid,
    from_fa text,
    resolved_fa text,
    amount bigint,
    currency text,
    payee_name text,
    narrative text,
    file_id bigint,
    file text,
    rail_reference text,
    reason_code text,
    message text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, seq),
    CONSTRAINT ledger_claim_is_payable CHECK (
        attempt = 0 OR (backend IS NOT NULL AND from_fa IS NOT NULL AND resolved_fa IS NOT NULL AND amount > 0 AND currency IS NOT NULL)
    )
) PARTITION BY RANGE (batch_id);
CREATE INDEX payment_ledger_file ON payment_ledger (file_id, batch_id, seq) WHERE file_id IS NOT NULL;
COMMENT ON TABLE payment_ledger IS 'The only judge of what is paid: one row per instruction, inserted by whoever decides first.';
COMMENT ON COLUMN payment_ledger.batch_id IS 'The batch.';
COMMENT ON COLUMN payment_ledger.seq IS 'Position in the batch.';
COMMENT ON COLUMN payment_ledger.batch_no IS 'The batch''s short number; the rail key is made of it, seq and attempt.';
COMMENT ON COLUMN payment_ledger.version IS 'Raised by every update; the rank of the row''s status event.';
COMMENT ON COLUMN payment_ledger.state IS '1 REJECTED, 2 CANCELLED, 3 CLAIMED, 4 ACCEPTED, 5 UNKNOWN, 6 NOT_PAID, 7 PAID, 8 FAILED, 9 RETURNED.';
COMMENT ON COLUMN payment_ledger.attempt IS 'Which try to pay this is; 0: nobody tried.';
COMMENT ON COLUMN payment_ledger.backend IS 'The backend that claimed it; no other touches the row.';
COMMENT ON COLUMN payment_ledger.owner IS 'The process that acts for it; NULL where a payment file is the owner.';
COMMENT ON COLUMN payment_ledger.from_fa IS 'Payer''s address.';
COMMENT ON COLUMN payment_ledger.resolved_fa IS 'Payee''s address as the mapper gave it when the row was claimed.';
COMMENT ON COLUMN payment_ledger.amount IS 'Minor units.';
COMMENT ON COLUMN payment_ledger.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN payment_ledger.payee_name IS 'For the rail.';
COMMENT ON COLUMN payment_ledger.narrative IS 'For the payee''s statement.';
COMMENT ON COLUMN payment_ledger.file_id IS 'The payment file; set by the claim and never changed by an update of the same attempt.';
COMMENT ON COLUMN payment_ledger.file IS 'Its name.';
COMMENT ON COLUMN payment_ledger.rail_reference IS 'The rail''s own reference.';
COMMENT ON COLUMN payment_ledger.reason_code IS 'Why it was refused.';
COMMENT ON COLUMN payment_ledger.message IS 'The rail''s code and words, or ours.';
COMMENT ON COLUMN payment_ledger.changed_at IS 'When the row last changed.';

CREATE FUNCTION gctb_batch_id_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;
COMMENT ON FUNCTION gctb_batch_id_floor IS 'The lowest batch id (UUIDv7) of a point in time.';

CREATE FUNCTION gctb_make_partitions(first_month timestamptz, months integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    month_start timestamptz;
    suffix text;
    made integer := 0;
    big record;
BEGIN
    -- Two services that make partitions at once would deadlock on the parents' locks.
    PERFORM pg_advisory_xact_lock(hashtext('gctb_make_partitions'));
    FOR n IN 0 .. months - 1 LOOP
        month_start := (date_trunc('month', first_month AT TIME ZONE 'UTC') + make_interval(months => n)) AT TIME ZONE 'UTC';
        suffix := to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
        FOR big IN SELECT * FROM (VALUES ('payment_instructions', 50), ('payment_ledger', 60)) AS t (name, fill) LOOP
            IF to_regclass(big.name || '_' || suffix) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = %s)',
                    big.name || '_' || suffix, big.name,
                    gctb_batch_id_floor(month_start),
                    gctb_batch_id_floor((month_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'),
                    big.fill
                );
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION gctb_make_partitions IS 'Makes the monthly partitions of both big tables, with their storage settings, where they are missing; says how many.';

SELECT gctb_make_partitions(now(), 4);
