//! Rows in Postgres' binary COPY format, sent as they are produced.
//!
//! diesel's own binary COPY wants all rows in memory and sends every row as a message of its own. Here rows are encoded one
//! by one into a buffer of some size, so that a large batch takes no memory and Postgres few messages.

use std::cell::Cell;
use std::io::Write;

use chrono::{DateTime, Utc};
use diesel::ExecuteCopyFromDsl;
use diesel::pg::{CopyFormat, CopyTarget, PgConnection};
use uuid::Uuid;

use crate::pool::Abort;

/// Bytes that are sent together.
const SEND_BYTES: usize = 128 * 1024;

/// The format's signature, no flags, no header extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Instead of a row's number of fields: no more rows.
const END: i16 = -1;
/// Instead of a field's length: NULL.
const NULL: i32 = -1;
/// Postgres counts microseconds from 2000-01-01, chrono from 1970-01-01.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Copies the rows that `write` writes into `columns` of `table`, fields in the order of the columns. A table itself stands
/// for all of its columns as they are declared.
pub(crate) fn copy_in<T, C>(
    connection: &mut PgConnection,
    table: T,
    columns: C,
    write: impl FnOnce(&mut Rows<'_>) -> std::io::Result<()>,
) -> Result<(), Abort>
where
    T: diesel::Table,
    C: CopyTarget<Table = T>,
{
    // diesel may call its callback only once and takes one that could be called again.
    let write = Cell::new(Some(write));
    diesel::copy_from(table)
        .from_raw_data(columns, |out| -> Result<(), diesel::result::Error> {
            let Some(write) = write.take() else { return Ok(()) };
            let mut rows = Rows { out, buffer: Vec::with_capacity(SEND_BYTES + SEND_BYTES / 4), row: 0, fields: 0 };
            rows.buffer.extend_from_slice(HEAD);
            write(&mut rows)
                .and_then(|()| rows.end())
                .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))
        })
        .with_format(CopyFormat::Binary)
        .execute(connection)?;
    Ok(())
}

/// The rows of one COPY. A row begins with [`Rows::row`]; its fields follow in order, NULL where there is no value.
pub(crate) struct Rows<'o> {
    out: &'o mut dyn Write,
    buffer: Vec<u8>,
    /// Where the open row begins.
    row: usize,
    fields: i16,
}

impl Rows<'_> {
    /// Begins a row. Postgres refuses it if it has not as many fields as the table has columns.
    pub(crate) fn row(&mut self) -> std::io::Result<&mut Self> {
        self.close_row();
        if self.buffer.len() >= SEND_BYTES {
            self.send()?;
        }
        self.row = self.buffer.len();
        self.buffer.extend(0_i16.to_be_bytes());
        Ok(self)
    }

    pub(crate) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.field(Some(value.as_bytes()))
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.field(Some(value.as_bytes()))
    }

    pub(crate) fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        self.field(value.map(str::as_bytes))
    }

    pub(crate) fn smallint(&mut self, value: i16) -> &mut Self {
        self.field(Some(&value.to_be_bytes()))
    }

    pub(crate) fn integer(&mut self, value: i32) -> &mut Self {
        self.field(Some(&value.to_be_bytes()))
    }

    pub(crate) fn bigint(&mut self, value: i64) -> &mut Self {
        self.bigint_or_null(Some(value))
    }

    pub(crate) fn bigint_or_null(&mut self, value: Option<i64>) -> &mut Self {
        self.field(value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    pub(crate) fn time(&mut self, value: DateTime<Utc>) -> &mut Self {
        self.time_or_null(Some(value))
    }

    pub(crate) fn time_or_null(&mut self, value: Option<DateTime<Utc>>) -> &mut Self {
        self.bigint_or_null(value.map(|time| time.timestamp_micros().saturating_sub(POSTGRES_EPOCH_MICROS)))
    }

    fn field(&mut self, value: Option<&[u8]>) -> &mut Self {
        self.fields += 1;
        // No text of a row comes near 2 GiB; Postgres would refuse the length.
        let length = value.map_or(NULL, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MIN));
        self.buffer.extend(length.to_be_bytes());
        self.buffer.extend_from_slice(value.unwrap_or_default());
        self
    }

    /// The number of fields stands before them, and is known after them.
    fn close_row(&mut self) {
        if self.fields > 0
            && let Some(count) = self.buffer.get_mut(self.row..self.row + 2)
        {
            count.copy_from_slice(&self.fields.to_be_bytes());
        }
        self.fields = 0;
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.close_row();
        self.buffer.extend(END.to_be_bytes());
        self.send()
    }

    fn send(&mut self) -> std::io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
