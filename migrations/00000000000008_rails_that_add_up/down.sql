ALTER TABLE rail_exceptions DROP COLUMN body;
ALTER TABLE ledger_work
    DROP COLUMN handles,
    DROP COLUMN failures;
ALTER TABLE payment_ledger
    DROP COLUMN work_id,
    DROP COLUMN asked,
    DROP COLUMN evidence_kind,
    DROP COLUMN evidence_at,
    DROP COLUMN evidence_sends,
    DROP COLUMN evidence_quiet,
    DROP COLUMN evidence_reason;
COMMENT ON COLUMN payment_ledger.evidence IS 'What was heard about this attempt from somebody who may not decide.';
