//! HTTP as tests need it: JSON in and out, pages as text.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::Value;

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    // Without connections that are kept: services come and go under one address.
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build();
    client.expect("an HTTP client can be made")
});

/// What no answer of a healthy service should need.
const PATIENCE: Duration = Duration::from_secs(30);

/// Posts JSON text; the status and the answer, which is null where it is no JSON.
///
/// # Errors
/// Where nobody answers.
pub fn post(url: &str, body: &str, headers: &[(&str, &str)]) -> reqwest::Result<(u16, Value)> {
    let request = CLIENT.post(url).header("content-type", "application/json").body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().map(read)
}

/// Puts JSON text.
///
/// # Panics
/// Where it is refused.
pub fn put(url: &str, body: &Value) {
    let answer = CLIENT.put(url).body(body.to_string()).send();
    let (status, answer) = answer.map(read).unwrap_or_else(|error| panic!("{url}: {error}"));
    assert_eq!(status, 200, "{url}: {answer}");
}

/// Gets JSON.
///
/// # Panics
/// Where nobody answers.
pub fn get(url: &str) -> (u16, Value) {
    CLIENT.get(url).send().map(read).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Gets a page as text.
///
/// # Errors
/// What it says where it is not 200; nothing where nobody answers.
pub fn page(url: &str) -> Result<String, String> {
    let answer = CLIENT.get(url).send().map_err(|_| String::new())?;
    let is_good = answer.status().as_u16() == 200;
    let text = answer.text().unwrap_or_default();
    if is_good { Ok(text) } else { Err(text) }
}

fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// The sum of a metric over those lines of a page that have all of these words.
pub(crate) fn sum_of_metric(page: &str, name: &str, words: &[&str]) -> u64 {
    let of_metric = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let lines = page.lines().filter(of_metric);
    let lines = lines.filter(|line| words.iter().all(|word| line.contains(word)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
