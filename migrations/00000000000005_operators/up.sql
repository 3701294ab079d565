-- What people must look at, and what they did.

CREATE TABLE ledger_conflicts (
    conflict_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id uuid NOT NULL,
    seq integer NOT NULL,
    ledger_version integer NOT NULL,
    before_state smallint NOT NULL,
    after_state smallint NOT NULL,
    detail text NOT NULL,
    rail_reference text,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_conflicts_instruction ON ledger_conflicts (batch_id, seq);
COMMENT ON TABLE ledger_conflicts IS 'Contradictions between final answers: real money. Written in the ledger commit that meets one.';
COMMENT ON COLUMN ledger_conflicts.conflict_id IS 'Number.';
COMMENT ON COLUMN ledger_conflicts.batch_id IS 'The batch.';
COMMENT ON COLUMN ledger_conflicts.seq IS 'Position in the batch.';
COMMENT ON COLUMN ledger_conflicts.ledger_version IS 'Version of the ledger row after it.';
COMMENT ON COLUMN ledger_conflicts.before_state IS 'What the ledger said.';
COMMENT ON COLUMN ledger_conflicts.after_state IS 'What it says now.';
COMMENT ON COLUMN ledger_conflicts.detail IS 'A sentence about it, without personal data.';
COMMENT ON COLUMN ledger_conflicts.rail_reference IS 'The rail''s reference of the news.';
COMMENT ON COLUMN ledger_conflicts.recorded_at IS 'When.';

CREATE TABLE operator_actions (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    evidence text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE operator_actions IS 'What people did through the gctb command, with the evidence that they gave. Append only.';
COMMENT ON COLUMN operator_actions.action_id IS 'Number.';
COMMENT ON COLUMN operator_actions.actor IS 'The operating system''s user.';
COMMENT ON COLUMN operator_actions.action IS 'The verb.';
COMMENT ON COLUMN operator_actions.target IS 'What it was done to.';
COMMENT ON COLUMN operator_actions.evidence IS 'Why they may do it.';
COMMENT ON COLUMN operator_actions.done_at IS 'When.';
