DROP TABLE batch_sweeps;
DROP TABLE batch_totals;
DROP TABLE batch_controls;
DROP TABLE batches;
DROP SEQUENCE batch_numbers;
