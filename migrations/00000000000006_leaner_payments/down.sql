CREATE OR REPLACE FUNCTION gctb_make_partitions(first_month timestamptz, months integer) RETURNS integer
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

DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'payment_ledger'::regclass ORDER BY inhrelid LOOP
        EXECUTE format('ALTER TABLE %s SET (fillfactor = 60)', part);
    END LOOP;
END
$$;

ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL, ALTER COLUMN payload SET COMPRESSION default;
