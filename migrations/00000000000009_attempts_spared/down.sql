-- Such a refusal is one after which another attempt may end better.
UPDATE payment_ledger SET evidence_kind = 6 WHERE evidence_kind = 8;
ALTER TABLE payment_ledger
    DROP COLUMN spared,
    DROP CONSTRAINT ledger_evidence_kind_known,
    ADD CONSTRAINT ledger_evidence_kind_known CHECK (evidence_kind BETWEEN 1 AND 7);
COMMENT ON COLUMN payment_ledger.evidence_kind IS 'What was heard from somebody who may not decide, the weightiest of it: 1 NOTHING, 2 NOT_SENT, 3 NOT_FOUND, 4 DUPLICATE, 5 ACCEPTED, 6 REFUSED (another attempt may end better), 7 REFUSED (for good).';
