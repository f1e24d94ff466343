//! The log as one JSON object a line.
//!
//! Each line has `time`, `level`, `event` where the event has a code, `text`, and then every field of the event
//! and of the spans around it, the innermost winning: `message_id`, `conversation_id`, `case_id`, `partner`,
//! `destination`, `attempt` and whatever else was given. Foreign text is escaped by JSON and cut to a readable
//! length (S22), so a line is always one line.

use std::fmt::Debug;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Writes each event as a line of JSON.
pub(super) struct JsonLines<W> {
    writer: Mutex<W>,
    now: fn() -> jiff::Timestamp,
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(writer: W, now: fn() -> jiff::Timestamp) -> Self {
        Self { writer: Mutex::new(writer), now }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.0.clone());
            }
        }
        event.record(&mut fields);
        let line = line(&(self.now)(), event.metadata().level().as_str(), fields.0);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written has nowhere to be complained about.
        drop(writer.write_all(line.as_bytes()).and_then(|()| writer.flush()));
    }
}

fn line(time: &jiff::Timestamp, level: &str, mut fields: Map<String, Value>) -> String {
    let mut line = format!("{{\"time\":\"{time:.3}\",\"level\":\"{level}\"");
    let event = fields.remove("event").map(|code| ("event".to_owned(), code));
    let text = fields.remove("message").map(|text| ("text".to_owned(), text));
    let others = fields.into_iter().filter(|(name, _)| !matches!(name.as_str(), "time" | "level" | "text"));
    for (name, value) in event.into_iter().chain(text).chain(others) {
        line.push(',');
        line.push_str(&Value::String(name).to_string());
        line.push(':');
        line.push_str(&value.to_string());
    }
    line.push_str("}\n");
    line
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        match text.char_indices().nth(FIELD_CHARS_MAX).and_then(|(end, _)| text.get(..end)) {
            Some(kept) => self.put(field, format!("{kept}…")),
            None => self.put(field, text),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

/// The longest text of a field; more is cut.
const FIELD_CHARS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("is not poisoned").write(octets)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn check(log: impl FnOnce(), expected: &str) {
        let sink = Sink::default();
        let epoch = || jiff::Timestamp::UNIX_EPOCH;
        let subscriber = tracing_subscriber::registry().with(JsonLines::new(sink.clone(), epoch));
        tracing::subscriber::with_default(subscriber, log);
        let written = sink.0.lock().expect("is not poisoned").clone();
        assert_eq!(String::from_utf8(written).expect("is text"), expected);
    }

    #[test]
    fn lines_carry_the_fields_of_their_spans() {
        check(
            || {
                let span = tracing::info_span!("message", message_id = "m1", case_id = tracing::field::Empty);
                let _in = span.enter();
                span.record("case_id", "c1");
                tracing::info!(event = "message.accepted", attempt = 2, "accepted");
            },
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"INFO\",\"event\":\"message.accepted\",\
             \"text\":\"accepted\",\"attempt\":2,\"case_id\":\"c1\",\"message_id\":\"m1\"}\n",
        );
    }

    #[test]
    fn foreign_text_stays_on_its_line_and_in_its_field() {
        let forged = "a\",\"level\":\"INFO\"}\n{\"time\":\"\u{1b}[31m";
        check(
            || tracing::warn!(partner = forged, level = "forged", "refused"),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"WARN\",\"text\":\"refused\",\
             \"partner\":\"a\\\",\\\"level\\\":\\\"INFO\\\"}\\n{\\\"time\\\":\\\"\\u001b[31m\"}\n",
        );
        check(
            || tracing::warn!(partner = %"가".repeat(FIELD_CHARS_MAX + 1)),
            &format!(
                "{{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"WARN\",\"partner\":\"{}…\"}}\n",
                "가".repeat(FIELD_CHARS_MAX)
            ),
        );
    }
}
