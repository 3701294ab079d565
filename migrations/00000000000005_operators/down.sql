DROP TABLE operator_actions;
DROP TABLE ledger_conflicts;
