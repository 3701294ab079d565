//! Logs, metrics and traces of a process.
//!
//! JSON log lines on standard output, OpenTelemetry metrics in Prometheus' text form, traces over OTLP/HTTP where a
//! receiver is set. It sees only what callers give it: keeping people's data out of that is their duty (invariant I9).

use std::time::Duration;

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus::{Registry, TextEncoder};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter, fmt};

use crate::settings::{ServiceIdentity, TelemetrySettings};

/// librdkafka repeats itself while brokers are away, and HTTP clients talk about every connection. The health pages
/// say the same once. A directive of the settings overrides these.
const QUIET: &str = "librdkafka=warn,rdkafka=warn,opentelemetry=warn,hyper=warn,reqwest=warn,actix_server=warn";

/// Most time that the last spans may take to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The running telemetry of a process. Clones share it.
#[derive(Clone, Debug)]
pub struct Telemetry {
    registry: Registry,
    meters: SdkMeterProvider,
    tracers: SdkTracerProvider,
}

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is not one.
    #[error("the setting telemetry.log_filter cannot be read")]
    LogFilter(#[source] filter::ParseError),
    /// The exporter could not be built.
    #[error("could not prepare sending traces to telemetry.otlp_endpoint")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The metrics reader could not be built.
    #[error("could not prepare the metrics")]
    Metrics(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// The process has a log subscriber already.
    #[error("telemetry was started twice in one process")]
    AlreadyStarted,
}

impl Telemetry {
    /// Starts logs, metrics and traces for this process. Call it once.
    ///
    /// # Errors
    /// [`TelemetryError`] for a filter or an endpoint that cannot be used.
    pub fn start(identity: &ServiceIdentity, settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let telemetry = Self::without_logs(identity, settings)?;
        let log_filter =
            EnvFilter::try_new(format!("{QUIET},{}", settings.log_filter)).map_err(TelemetryError::LogFilter)?;
        let service = identity.name;
        let logs = fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(|lines| WithService { service, lines })
            .with_filter(log_filter);
        // Only our own spans: libraries may put into theirs what we must not send (invariant I9).
        let ours = filter::filter_fn(|span| span.is_span() && span.target().starts_with("gctb"));
        let tracer = telemetry.tracers.tracer("gctb");
        let traces = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours);
        let subscriber = tracing_subscriber::registry().with(logs).with(traces);
        subscriber.try_init().map_err(|_| TelemetryError::AlreadyStarted)?;
        Ok(telemetry)
    }

    /// Metrics and tracers, without becoming the process's log subscriber.
    fn without_logs(identity: &ServiceIdentity, settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let resource = Resource::builder_empty().with_service_name(identity.name).build();
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(TelemetryError::Metrics)?;
        let meters = SdkMeterProvider::builder().with_reader(reader).with_resource(resource.clone()).build();
        let mut tracers = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler(settings));
        if let Some(endpoint) = &settings.otlp_endpoint {
            tracers = tracers.with_batch_exporter(exporter(endpoint)?);
        }
        Ok(Self { registry, meters, tracers: tracers.build() })
    }

    /// Where instruments come from. Names begin with `gctb_` and end with their unit; counters get `_total` added.
    pub fn meter(&self) -> Meter {
        self.meters.meter("gctb")
    }

    /// All metrics in Prometheus' text form.
    pub fn render_metrics(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::warn!(error = %error, "some metrics could not be rendered");
        }
        text
    }

    /// Sends what has not been sent. Blocks for some seconds at most.
    pub fn shutdown(&self) {
        let ends = [
            ("traces", self.tracers.shutdown_with_timeout(FLUSH_TIMEOUT)),
            ("metrics", self.meters.shutdown_with_timeout(FLUSH_TIMEOUT)),
        ];
        for (what, end) in ends {
            if let Err(error) = end {
                tracing::warn!(what, error = %error, "the last telemetry could not be sent");
            }
        }
    }
}

#[expect(clippy::float_arithmetic, reason = "OpenTelemetry takes the ratio as a float; no money is near")]
fn sampler(settings: &TelemetrySettings) -> Sampler {
    let ratio = f64::from(settings.trace_sample_permille.min(1000)) / 1000.0;
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)))
}

/// Built on a thread of its own: the exporter's blocking HTTP client panics where an async runtime is running.
fn exporter(endpoint: &str) -> Result<SpanExporter, TelemetryError> {
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let build =
        move || SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(endpoint).build();
    let built = std::thread::spawn(build).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    built.map_err(TelemetryError::Exporter)
}

/// Puts the service's name in front of every JSON line.
struct WithService {
    service: &'static str,
    lines: Format<Json>,
}

impl<S> FormatEvent<S, JsonFields> for WithService
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        let fields = line.strip_prefix('{').unwrap_or(&line);
        write!(writer, "{{\"service\":\"{}\",{fields}", self.service)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use opentelemetry::KeyValue;
    use opentelemetry::trace::Tracer;

    use super::*;

    #[test]
    fn metrics_carry_their_labels_and_the_service_and_nothing_of_the_library() {
        let identity = ServiceIdentity { name: "gctb-test", about: "", defaults: "" };
        let settings =
            TelemetrySettings { log_filter: "info".to_owned(), otlp_endpoint: None, trace_sample_permille: 1000 };
        let telemetry = Telemetry::without_logs(&identity, &settings).expect("it starts");
        telemetry.meter().u64_counter("gctb_entries").build().add(3, &[KeyValue::new("outcome", "routed")]);
        let text = telemetry.render_metrics();
        assert!(text.contains("gctb_entries_total{outcome=\"routed\"} 3"), "{text}");
        assert!(text.contains("service_name=\"gctb-test\""), "{text}");
        assert!(!text.contains("otel_scope"), "{text}");
    }

    #[test]
    fn spans_reach_the_receiver_before_the_process_ends() {
        let receiver = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}/", receiver.local_addr().expect("an address"));
        let received = std::thread::spawn(move || {
            let (mut stream, _) = receiver.accept().expect("a request");
            let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
            let mut head = Vec::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a header");
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push(line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answered");
            (head.concat(), String::from_utf8_lossy(&body).into_owned())
        });
        let identity = ServiceIdentity { name: "gctb-test", about: "", defaults: "" };
        let settings = TelemetrySettings {
            log_filter: "info".to_owned(),
            otlp_endpoint: Some(endpoint),
            trace_sample_permille: 1000,
        };
        let telemetry = Telemetry::without_logs(&identity, &settings).expect("it starts");
        telemetry.tracers.tracer("gctb").in_span("consume gctb.batches", |_| {});
        telemetry.shutdown();
        let (head, body) = received.join().expect("a request came");
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        assert!(body.contains("gctb-test") && body.contains("consume gctb.batches"));
    }
}
