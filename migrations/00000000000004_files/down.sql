DROP TABLE file_exceptions;
DROP TABLE incoming_files;
DROP TABLE outgoing_files;
