-- What must reach Kafka, written in the commit that it tells of.

CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    kind smallint NOT NULL CONSTRAINT outbox_kind_known CHECK (kind BETWEEN 1 AND 3),
    batch_id uuid NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    schema text NOT NULL,
    traceparent text,
    payload bytea NOT NULL,
    due_at timestamptz NOT NULL,
    emissions smallint NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- Chunks are binary and live for seconds: compressing them costs more than it saves.
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX outbox_due ON outbox (due_at);
CREATE INDEX outbox_instructions ON outbox (batch_id) WHERE kind = 1;
COMMENT ON TABLE outbox IS 'Messages that must reach Kafka. Publishing is at least once: consumers handle every message again without harm.';
COMMENT ON COLUMN outbox.id IS 'Given by the writer; a status chunk carries it.';
COMMENT ON COLUMN outbox.kind IS '1 instructions and 3 progress: deleted after the delivery report; 2 status: deleted by the fold alone.';
COMMENT ON COLUMN outbox.batch_id IS 'The batch.';
COMMENT ON COLUMN outbox.topic IS 'Where it goes.';
COMMENT ON COLUMN outbox.key IS 'The message''s key.';
COMMENT ON COLUMN outbox.schema IS 'Name and version of the payload''s schema.';
COMMENT ON COLUMN outbox.traceparent IS 'W3C trace context of the work that wrote it.';
COMMENT ON COLUMN outbox.payload IS 'The encoded event.';
COMMENT ON COLUMN outbox.due_at IS 'When the relay sends it (again): a schedule, a lease and a back-off in one.';
COMMENT ON COLUMN outbox.emissions IS 'How often the relay has taken it.';
