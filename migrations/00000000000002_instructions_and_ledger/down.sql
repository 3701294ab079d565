DROP FUNCTION gctb_make_partitions(timestamptz, integer);
DROP TABLE payment_ledger;
DROP TABLE payment_instructions;
DROP FUNCTION gctb_batch_id_floor(timestamptz);
