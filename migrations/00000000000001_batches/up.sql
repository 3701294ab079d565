-- What came in: one row per accepted disburse message, and what small things are known of it as a whole.
-- These tables are small, never partitioned and never archived; no foreign key leads to or from the big ones.

CREATE SEQUENCE batch_numbers AS bigint MAXVALUE 8589934591;
COMMENT ON SEQUENCE batch_numbers IS 'Short numbers of batches; 33 bits, since a rail key carries them.';

CREATE TABLE batches (
    batch_id uuid PRIMARY KEY,
    batch_no bigint NOT NULL UNIQUE,
    sender_id text NOT NULL,
    transaction_id text NOT NULL,
    message_id text NOT NULL,
    digest bytea NOT NULL,
    digest_version smallint NOT NULL,
    request_timestamp timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    instruction_count integer NOT NULL CONSTRAINT batches_not_empty CHECK (instruction_count > 0),
    in_flight integer NOT NULL CONSTRAINT batches_in_flight_known CHECK (in_flight BETWEEN 0 AND instruction_count),
    totals_version bigint NOT NULL DEFAULT 0,
    traceparent text,
    CONSTRAINT batches_one_per_transaction UNIQUE (sender_id, transaction_id),
    CONSTRAINT batches_one_per_message UNIQUE (sender_id, message_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE batches IS 'Accepted disburse messages. The row is also the lock under which a batch''s totals move.';
COMMENT ON COLUMN batches.batch_id IS 'UUIDv7 of the acceptance; names the month partition of the instructions and the ledger.';
COMMENT ON COLUMN batches.batch_no IS 'Short number for rail keys, from batch_numbers.';
COMMENT ON COLUMN batches.sender_id IS 'header.sender_id of the message.';
COMMENT ON COLUMN batches.transaction_id IS 'message.transaction_id, or UUIDv5(sender, message) where none was sent.';
COMMENT ON COLUMN batches.message_id IS 'header.message_id of the message that was accepted first.';
COMMENT ON COLUMN batches.digest IS 'SHA-256 of the parsed items: tells a retry from a changed message.';
COMMENT ON COLUMN batches.digest_version IS 'How the digest was computed.';
COMMENT ON COLUMN batches.request_timestamp IS 'header.message_ts of the message.';
COMMENT ON COLUMN batches.received_at IS 'When it arrived, by the clock of the service that answered it.';
COMMENT ON COLUMN batches.instruction_count IS 'How many disbursements it had.';
COMMENT ON COLUMN batches.in_flight IS 'How many of them are not final; moved by the fold.';
COMMENT ON COLUMN batches.totals_version IS 'Raised by every change once nothing is in flight; what was last delivered is compared with it.';
COMMENT ON COLUMN batches.traceparent IS 'W3C trace context of the request, so that later news continue its trace.';

CREATE TABLE batch_controls (
    batch_id uuid PRIMARY KEY,
    state smallint NOT NULL DEFAULT 1 CONSTRAINT batch_controls_state_known CHECK (state BETWEEN 1 AND 3),
    changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE batch_controls IS 'Whether a batch may be paid. A row of its own, so that claims never wait for folds; every claim locks it FOR SHARE.';
COMMENT ON COLUMN batch_controls.batch_id IS 'The batch.';
COMMENT ON COLUMN batch_controls.state IS '1 open, 2 held, 3 cancelled.';
COMMENT ON COLUMN batch_controls.changed_at IS 'When it last changed.';

CREATE TABLE batch_totals (
    batch_id uuid NOT NULL,
    currency text NOT NULL,
    status smallint NOT NULL,
    instructions bigint NOT NULL,
    amount_minor numeric NOT NULL,
    PRIMARY KEY (batch_id, currency, status)
) WITH (fillfactor = 50);
COMMENT ON TABLE batch_totals IS 'Control totals: moved by deltas inside the fold, never counted per item.';
COMMENT ON COLUMN batch_totals.batch_id IS 'The batch.';
COMMENT ON COLUMN batch_totals.currency IS 'ISO 4217 code; XXX for amounts that did not parse or whose currency is unknown.';
COMMENT ON COLUMN batch_totals.status IS 'As payment_instructions.status.';
COMMENT ON COLUMN batch_totals.instructions IS 'How many instructions.';
COMMENT ON COLUMN batch_totals.amount_minor IS 'Their sum in minor units; 0 under XXX.';

CREATE TABLE batch_sweeps (
    batch_id uuid PRIMARY KEY,
    due_at timestamptz NOT NULL,
    last_emitted_at timestamptz NOT NULL,
    emissions smallint NOT NULL DEFAULT 0,
    stranded integer NOT NULL DEFAULT 0
);
CREATE INDEX batch_sweeps_due ON batch_sweeps (due_at);
COMMENT ON TABLE batch_sweeps IS 'Unfinished batches and when the sweeper looks at them next; the row goes when the batch is finished.';
COMMENT ON COLUMN batch_sweeps.batch_id IS 'The batch.';
COMMENT ON COLUMN batch_sweeps.due_at IS 'When to look for instructions that got lost.';
COMMENT ON COLUMN batch_sweeps.last_emitted_at IS 'When instructions of the batch were last emitted.';
COMMENT ON COLUMN batch_sweeps.emissions IS 'How often the sweeper has emitted some again.';
COMMENT ON COLUMN batch_sweeps.stranded IS 'Instructions that the sweeper has given up on: an operator must look.';
