//! The pages as a probe or a scraper sees them.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::settings::{ServiceIdentity, TelemetrySettings};

fn telemetry() -> Telemetry {
    let identity = ServiceIdentity { name: "gctb-admin-test", about: "", defaults: "" };
    let settings = TelemetrySettings { log_filter: "off".to_owned(), otlp_endpoint: None, trace_sample_permille: 0 };
    Telemetry::start(&identity, &settings).expect("the only start in this binary")
}

fn get(address: SocketAddr, page: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn the_pages_tell_health_readiness_and_metrics_and_end_with_their_server() {
    let (health, telemetry, shutdown) = (Health::new(), telemetry(), Shutdown::new());
    let settings = AdminSettings { bind: "127.0.0.1:0".to_owned(), open: false };
    let server = AdminServer::start(&settings, health.clone(), telemetry.clone(), shutdown.clone()).expect("it starts");
    let address = server.address();
    let kafka = health.component("kafka");
    telemetry.meter().u64_counter("gctb_probes").build().add(1, &[]);

    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200"));
    let unready = get(address, "/readyz");
    assert!(
        unready.starts_with("HTTP/1.1 503")
            && unready.ends_with(r#"{"ok":false,"failing":{"kafka":"not yet checked"}}"#),
        "{unready}"
    );
    assert!(get(address, "/metrics").contains("gctb_component_failing{component=\"kafka\"} 1"));
    kafka.ok();
    assert!(get(address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(address, "/metrics").contains("gctb_component_failing{component=\"kafka\"} 0"));
    assert!(get(address, "/metrics").contains("gctb_probes_total 1"));
    shutdown.request();
    assert!(get(address, "/readyz").contains("shutting down"));

    let taken = AdminSettings { bind: address.to_string(), open: false };
    let refused = AdminServer::start(&taken, health, telemetry, shutdown).expect_err("the port is taken");
    assert!(matches!(refused, AdminError::InUse { .. }), "{refused}");
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_that_others_reach_needs_leave() {
    let closed = AdminSettings { bind: "0.0.0.0:0".to_owned(), open: false };
    assert!(matches!(listen(&closed), Err(AdminError::NotLoopback { .. })));
    let open = AdminSettings { bind: "0.0.0.0:0".to_owned(), open: true };
    assert!(listen(&open).is_ok());
    let nonsense = AdminSettings { bind: "localhost".to_owned(), open: false };
    assert!(matches!(listen(&nonsense), Err(AdminError::Address { .. })));
}
