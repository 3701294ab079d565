-- Payments over rails that are called (docs/decisions/0008-paying-over-rails-that-are-called.md).

ALTER TABLE payment_ledger
    ADD COLUMN sends smallint NOT NULL DEFAULT 0,
    ADD COLUMN not_found smallint NOT NULL DEFAULT 0,
    ADD COLUMN quiet_at timestamptz,
    ADD COLUMN rail_handle text,
    ADD COLUMN evidence text,
    ADD COLUMN past_attempts text;
COMMENT ON COLUMN payment_ledger.sends IS 'How many requests that could move money may have left for this attempt; counted before they leave.';
COMMENT ON COLUMN payment_ledger.not_found IS 'How often the rail did not know this attempt when it was asked in quiet.';
COMMENT ON COLUMN payment_ledger.quiet_at IS 'When the last request that may have left for this attempt is over for certain.';
COMMENT ON COLUMN payment_ledger.rail_handle IS 'What the rail calls this attempt: what one asks by.';
COMMENT ON COLUMN payment_ledger.evidence IS 'What was heard about this attempt from somebody who may not decide.';
COMMENT ON COLUMN payment_ledger.past_attempts IS 'Earlier attempts, one a line: number, reference of the rail, reason code, message.';

CREATE TABLE ledger_work (
    work_id uuid PRIMARY KEY,
    backend text NOT NULL,
    kind smallint NOT NULL CONSTRAINT ledger_work_kind_known CHECK (kind BETWEEN 1 AND 6),
    due_at timestamptz NOT NULL,
    owner uuid,
    batch_id uuid NOT NULL,
    seqs integer[] NOT NULL CONSTRAINT ledger_work_is_about_something CHECK (cardinality(seqs) > 0),
    made_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ledger_work_due ON ledger_work (backend, kind, due_at);
COMMENT ON TABLE ledger_work IS 'What needs attention later. A row is about many instructions of one batch, as a window is; the ledger says which of them still need it.';
COMMENT ON COLUMN ledger_work.work_id IS 'Given by the writer.';
COMMENT ON COLUMN ledger_work.backend IS 'The backend whose work it is.';
COMMENT ON COLUMN ledger_work.kind IS '1 WINDOW (calls under way; due when its owner''s lease is over), 2 ASK, 3 SEND (again, same key), 4 RETRY (another attempt), 5 OPERATOR, 6 FENCE.';
COMMENT ON COLUMN ledger_work.due_at IS 'When somebody takes it up.';
COMMENT ON COLUMN ledger_work.owner IS 'The process that has it in hand until then.';
COMMENT ON COLUMN ledger_work.batch_id IS 'The batch.';
COMMENT ON COLUMN ledger_work.seqs IS 'Positions in the batch.';
COMMENT ON COLUMN ledger_work.made_at IS 'Since when.';

CREATE TABLE rail_controls (
    backend text PRIMARY KEY,
    state smallint NOT NULL CONSTRAINT rail_state_known CHECK (state BETWEEN 1 AND 3),
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    resume_at timestamptz
);
COMMENT ON TABLE rail_controls IS 'Whether a backend may pay at all. Every claim reads it; no row is as good as OPEN.';
COMMENT ON COLUMN rail_controls.backend IS 'The backend.';
COMMENT ON COLUMN rail_controls.state IS '1 OPEN, 2 PAUSED (by a person), 3 HELD (the rail refuses everybody).';
COMMENT ON COLUMN rail_controls.reason IS 'Why, in a sentence.';
COMMENT ON COLUMN rail_controls.since IS 'Since when.';
COMMENT ON COLUMN rail_controls.resume_at IS 'When it opens by itself; NULL: a person opens it.';

CREATE TABLE rail_exceptions (
    exception_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backend text NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL,
    rail_key text,
    batch_id uuid,
    seq integer,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rail_exceptions IS 'What a rail said and nobody believed; an operator looks at each.';
COMMENT ON COLUMN rail_exceptions.exception_id IS 'Number.';
COMMENT ON COLUMN rail_exceptions.backend IS 'The backend that heard it.';
COMMENT ON COLUMN rail_exceptions.kind IS 'A word for what is wrong.';
COMMENT ON COLUMN rail_exceptions.detail IS 'A sentence about it.';
COMMENT ON COLUMN rail_exceptions.rail_key IS 'The key as the rail gave it, cut at 64 characters.';
COMMENT ON COLUMN rail_exceptions.batch_id IS 'The instruction''s batch, where the key names one.';
COMMENT ON COLUMN rail_exceptions.seq IS 'The instruction''s position there.';
COMMENT ON COLUMN rail_exceptions.recorded_at IS 'When.';
