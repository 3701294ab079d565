//! The lines of the services to Postgres: each through a proxy of its own, which can be cut.
//!
//! They are made once and used by every seed, since a proxy lives as long as its process.

use std::sync::LazyLock;

use crate::proxy::Proxy;
use crate::service::Service;

/// A line for each service that has one.
static LINES: LazyLock<Vec<(Service, Proxy)>> = LazyLock::new(|| {
    let url = std::env::var("GCTB_TEST_DATABASE_URL").expect("GCTB_TEST_DATABASE_URL names a Postgres");
    let (server, _) = server_of(&url);
    let connected = |service| (service, Proxy::to(server.clone()));
    Service::ALL.into_iter().filter(|service| *service != Service::Simulator).map(connected).collect()
});

/// The services that have a line.
pub(super) fn services() -> impl Iterator<Item = Service> {
    LINES.iter().map(|(service, _)| *service)
}

/// This URL of the database, by the line of this service.
pub(super) fn url_through(service: Service, url: &str) -> String {
    let (_, host) = server_of(url);
    url.replacen(&host, &line(service).address().to_string(), 1)
}

/// Cuts the line of a service.
pub(super) fn cut(service: Service) {
    line(service).cut();
}

/// Mends the line of a service.
pub(super) fn mend(service: Service) {
    line(service).mend();
}

fn line(service: Service) -> &'static Proxy {
    let found = LINES.iter().find(|(owner, _)| *owner == service);
    found.map_or_else(|| panic!("{} has no line to Postgres", service.name()), |(_, line)| line)
}

/// host:port of a `postgres://` URL, and how it is written there.
fn server_of(url: &str) -> (String, String) {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let server = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    (server, host.to_owned())
}
