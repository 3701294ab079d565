-- A refusal that everybody gets (no funds, credentials, a lock) uses up no attempt of a payment
-- (docs/decisions/0008-paying-over-rails-that-are-called.md).

ALTER TABLE payment_ledger
    ADD COLUMN spared smallint,
    DROP CONSTRAINT ledger_evidence_kind_known,
    ADD CONSTRAINT ledger_evidence_kind_known CHECK (evidence_kind BETWEEN 1 AND 8) NOT VALID;
COMMENT ON COLUMN payment_ledger.spared IS 'How many of its attempts do not count, since the rail refused everybody then. NULL: none.';
COMMENT ON COLUMN payment_ledger.evidence_kind IS 'What was heard from somebody who may not decide, the weightiest of it: 1 NOTHING, 2 NOT_SENT, 3 NOT_FOUND, 4 DUPLICATE, 5 ACCEPTED, 6 REFUSED (another attempt may end better), 7 REFUSED (for good), 8 REFUSED (as everybody is at the moment).';
