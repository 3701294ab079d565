-- One live row of work for each attempt, evidence that is not lost, questions that end, handles before a payment
-- (docs/decisions/0008-paying-over-rails-that-are-called.md).

ALTER TABLE payment_ledger
    ADD COLUMN work_id uuid,
    ADD COLUMN asked smallint NOT NULL DEFAULT 0,
    ADD COLUMN evidence_kind smallint CONSTRAINT ledger_evidence_kind_known CHECK (evidence_kind BETWEEN 1 AND 7),
    ADD COLUMN evidence_at timestamptz,
    ADD COLUMN evidence_sends smallint,
    ADD COLUMN evidence_quiet boolean,
    ADD COLUMN evidence_reason text;
COMMENT ON COLUMN payment_ledger.work_id IS 'The one row of ledger_work that looks after this attempt; another row that names its position means it no more. NULL: nothing is left to do.';
COMMENT ON COLUMN payment_ledger.asked IS 'How often the rail was asked about this attempt since it was sent last.';
COMMENT ON COLUMN payment_ledger.evidence_kind IS 'What was heard from somebody who may not decide, the weightiest of it: 1 NOTHING, 2 NOT_SENT, 3 NOT_FOUND, 4 DUPLICATE, 5 ACCEPTED, 6 REFUSED (another attempt may end better), 7 REFUSED (for good).';
COMMENT ON COLUMN payment_ledger.evidence_at IS 'When it was heard.';
COMMENT ON COLUMN payment_ledger.evidence_sends IS 'How many sends were counted when the rail was asked, or where nobody had asked, when it was heard.';
COMMENT ON COLUMN payment_ledger.evidence_quiet IS 'Whether nothing of the attempt could be under way when the rail was asked.';
COMMENT ON COLUMN payment_ledger.evidence_reason IS 'The reason code that came with it.';
COMMENT ON COLUMN payment_ledger.evidence IS 'The words that came with it, cut at 200 characters.';

ALTER TABLE ledger_work
    ADD COLUMN handles text[],
    ADD COLUMN failures smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ledger_work.handles IS 'What the rail calls the payments of a window, in the order of seqs; an empty text where it has not said. Noted before anything is paid.';
COMMENT ON COLUMN ledger_work.failures IS 'How often it could not be taken up for its content.';

ALTER TABLE rail_exceptions ADD COLUMN body text;
COMMENT ON COLUMN rail_exceptions.body IS 'What came, cut at 4096 characters; NULL where nothing did.';
