//! `gctb submit`: sends a message as it stands and shows what the bridge says about each item.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::json;

use crate::Finding;
use crate::args::SubmitArgs;
use crate::breakdown::Breakdown;
use crate::bridge::Bridge;
use crate::error::CliError;
use crate::http::Http;

/// Sends the file and prints the transaction_id and the counts. That items were rejected is a result, not a failure.
pub(crate) async fn run(args: SubmitArgs, out: &mut dyn Write) -> Result<Finding, CliError> {
    let message = read_message(&args.file)?;
    let bridge = Bridge::at(&args.api.url, Http::new()?);
    let submitted = bridge.submit(message).await?;
    let mut counted = Breakdown::default();
    for item in &submitted.items {
        bridge.count(&mut counted, item)?;
    }
    if args.json {
        writeln!(out, "{}", json!({ "transaction_id": submitted.transaction, "lines": counted.lines() }))?;
    } else {
        writeln!(out, "transaction_id {}\n\n{counted}", submitted.transaction)?;
    }
    Ok(Finding::Good)
}

/// Reads a JSON text from a file, or from standard input for `-`. The bytes are not changed.
pub(crate) fn read_message(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let bytes = bytes.map_err(|source| CliError::ReadFile { path: path.into(), source })?;
    // The bridge judges the message; that it is JSON at all is quicker said here.
    serde_json::from_slice::<IgnoredAny>(&bytes)
        .map_err(|source| CliError::NotAMessage { path: path.into(), source })?;
    Ok(bytes)
}
