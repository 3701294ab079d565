-- Payment files to banks and the files that come back.

CREATE TABLE outgoing_files (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT outgoing_files_one_per_name UNIQUE,
    backend text NOT NULL,
    payer_fa text NOT NULL,
    currency text NOT NULL,
    state smallint NOT NULL DEFAULT 1 CONSTRAINT outgoing_file_state_known CHECK (state BETWEEN 1 AND 6),
    opened_at timestamptz NOT NULL DEFAULT now(),
    close_due_at timestamptz NOT NULL,
    closed_at timestamptz,
    execution_date date,
    line_count integer,
    amount_minor numeric,
    sha256 bytea,
    layout_version smallint,
    put_no integer NOT NULL DEFAULT 0,
    puts_vouched integer NOT NULL DEFAULT 0,
    delivering_owner uuid,
    delivering_at timestamptz,
    retry_at timestamptz,
    needs_operator_since timestamptz,
    dispatched_at timestamptz,
    answered_count integer NOT NULL DEFAULT 0,
    CONSTRAINT outgoing_file_closed_is_counted CHECK (state IN (1, 6) OR (line_count > 0 AND amount_minor > 0 AND execution_date IS NOT NULL)),
    CONSTRAINT outgoing_file_put_is_hashed CHECK (state <> 3 OR (sha256 IS NOT NULL AND layout_version IS NOT NULL))
) WITH (fillfactor = 50);
CREATE INDEX outgoing_files_at_work ON outgoing_files (backend, state) WHERE state IN (1, 2, 3, 4);
COMMENT ON TABLE outgoing_files IS 'Payment files. A claim and its place in a file are one commit; the file is the owner of its instructions.';
COMMENT ON COLUMN outgoing_files.file_id IS 'Number; part of the name.';
COMMENT ON COLUMN outgoing_files.name IS 'The file''s name, without personal data; never used again.';
COMMENT ON COLUMN outgoing_files.backend IS 'The backend that sends it.';
COMMENT ON COLUMN outgoing_files.payer_fa IS 'The payer''s account that is debited.';
COMMENT ON COLUMN outgoing_files.currency IS 'The one currency of its lines.';
COMMENT ON COLUMN outgoing_files.state IS '1 OPEN, 2 CLOSED, 3 DELIVERING, 4 DISPATCHED, 5 ANSWERED, 6 VOID (closed without a line).';
COMMENT ON COLUMN outgoing_files.opened_at IS 'When its first instruction came.';
COMMENT ON COLUMN outgoing_files.close_due_at IS 'When any replica closes it.';
COMMENT ON COLUMN outgoing_files.closed_at IS 'When it was closed.';
COMMENT ON COLUMN outgoing_files.execution_date IS 'The day on which the bank shall pay; set by the close.';
COMMENT ON COLUMN outgoing_files.line_count IS 'Lines, counted by the close; rendering must find as many.';
COMMENT ON COLUMN outgoing_files.amount_minor IS 'Their sum in minor units; rendering must find the same.';
COMMENT ON COLUMN outgoing_files.sha256 IS 'Of the rendered bytes, stored before the put.';
COMMENT ON COLUMN outgoing_files.layout_version IS 'The layout that they were rendered in.';
COMMENT ON COLUMN outgoing_files.put_no IS 'Number of the last put that was begun; fences a writer that froze in an earlier one.';
COMMENT ON COLUMN outgoing_files.puts_vouched IS 'Puts up to this number did not happen, by an operator''s word.';
COMMENT ON COLUMN outgoing_files.delivering_owner IS 'The process that began the put.';
COMMENT ON COLUMN outgoing_files.delivering_at IS 'When it began.';
COMMENT ON COLUMN outgoing_files.retry_at IS 'Not to be put again before, after a put that failed with nothing to be seen.';
COMMENT ON COLUMN outgoing_files.needs_operator_since IS 'Found in DELIVERING with no trace at the bank, or answered before it was known to be sent: never put by itself; gctb files resolve.';
COMMENT ON COLUMN outgoing_files.dispatched_at IS 'When it was known to be at the bank.';
COMMENT ON COLUMN outgoing_files.answered_count IS 'How many of its lines are final.';

CREATE TABLE incoming_files (
    incoming_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backend text NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    state smallint NOT NULL DEFAULT 1 CONSTRAINT incoming_file_state_known CHECK (state BETWEEN 1 AND 3),
    size_bytes bigint NOT NULL,
    line_count integer,
    lines_done integer NOT NULL DEFAULT 0,
    exception_count integer NOT NULL DEFAULT 0,
    problem text,
    received_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,
    CONSTRAINT incoming_files_one_per_content UNIQUE (backend, sha256)
);
COMMENT ON TABLE incoming_files IS 'Response files of banks, each content read once.';
COMMENT ON COLUMN incoming_files.incoming_id IS 'Number.';
COMMENT ON COLUMN incoming_files.backend IS 'The backend that reads it.';
COMMENT ON COLUMN incoming_files.name IS 'The name that the bank gave it.';
COMMENT ON COLUMN incoming_files.sha256 IS 'Of its bytes: the same content under another name is known.';
COMMENT ON COLUMN incoming_files.state IS '1 NEW, 2 PROCESSED, 3 SET_ASIDE (wrong structure).';
COMMENT ON COLUMN incoming_files.size_bytes IS 'Its size.';
COMMENT ON COLUMN incoming_files.line_count IS 'Its lines.';
COMMENT ON COLUMN incoming_files.lines_done IS 'How many lines are recorded; moved in the commit that records them, so that no line is recorded twice.';
COMMENT ON COLUMN incoming_files.exception_count IS 'Lines that went to file_exceptions.';
COMMENT ON COLUMN incoming_files.problem IS 'Why it was set aside, with the line.';
COMMENT ON COLUMN incoming_files.received_at IS 'When it was found.';
COMMENT ON COLUMN incoming_files.processed_at IS 'When its last line was recorded.';

CREATE TABLE file_exceptions (
    incoming_id bigint NOT NULL,
    line_no integer NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL,
    payment_ref text NOT NULL,
    batch_id uuid,
    seq integer,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (incoming_id, line_no)
);
COMMENT ON TABLE file_exceptions IS 'Lines of response files that could not be believed; an operator looks at each.';
COMMENT ON COLUMN file_exceptions.incoming_id IS 'The response file.';
COMMENT ON COLUMN file_exceptions.line_no IS 'The line in it, the header being 1.';
COMMENT ON COLUMN file_exceptions.kind IS 'A word for what is wrong.';
COMMENT ON COLUMN file_exceptions.detail IS 'A sentence about it.';
COMMENT ON COLUMN file_exceptions.payment_ref IS 'The reference as the bank gave it, cut at 64 characters.';
COMMENT ON COLUMN file_exceptions.batch_id IS 'The instruction''s batch, where the reference names one.';
COMMENT ON COLUMN file_exceptions.seq IS 'The instruction''s position there.';
COMMENT ON COLUMN file_exceptions.recorded_at IS 'When.';
