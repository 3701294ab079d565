//! W3C trace context between Kafka headers, HTTP headers and `tracing` spans.
//!
//! A trace context that cannot be read is left out: a trace is for people who look, never a reason to refuse work.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = gctb_events::header::TRACEPARENT;

/// The trace context of the current span, for a header; None where nothing is traced.
pub fn current_traceparent() -> Option<String> {
    traceparent_of(&Span::current())
}

/// The trace context of `span`. It starts the span's clock; set its parent before.
pub fn traceparent_of(span: &Span) -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes `span` a child of the span that `traceparent` names. Call it before the span is entered.
pub fn set_parent(span: &Span, traceparent: &str) {
    if let Some(context) = context_of(traceparent) {
        // It fails only where telemetry was not started or the span began: then the trace ends here.
        let _ = span.set_parent(context);
    }
}

/// Links `span` to the span that `traceparent` names: related work, in a trace of its own.
pub fn link(span: &Span, traceparent: &str) {
    if let Some(context) = context_of(traceparent) {
        span.add_link(context.span().span_context().clone());
    }
}

fn context_of(traceparent: &str) -> Option<Context> {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    context.span().span_context().is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_trace_goes_on_from_a_header_to_the_next_header() {
        let tracers = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(tracers.tracer("test"));
        let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        assert_eq!(current_traceparent(), None);
        let received = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let span = tracing::info_span!("consume");
        set_parent(&span, received);
        let sent = span.in_scope(current_traceparent).expect("the span is traced");
        assert_eq!(sent[..36], received[..36], "the same trace");
        assert_ne!(sent[36..52], received[36..52], "another span of it");
        let alone = tracing::info_span!("consume");
        set_parent(&alone, "not a traceparent");
        assert!(traceparent_of(&alone).is_some_and(|own| own[..36] != received[..36]));
    }
}
