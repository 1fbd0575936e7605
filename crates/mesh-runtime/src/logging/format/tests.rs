use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// What `body` logs, in `format`.
fn lines(format: LogFormat, body: impl FnOnce()) -> String {
    let sink = Sink::default();
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(LineFormat { format })
        .with_writer({
            let sink = sink.clone();
            move || sink.clone()
        });
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), body);
    let bytes = sink.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log_one() {
    tracing::event!(
        target: "access",
        Level::INFO,
        src.addr = %"10.0.0.1:80",
        src.workload = "a\"b\n",
        bytes_sent = 7u64,
        "connection complete"
    );
}

#[test]
fn plain_lines_are_tab_separated() {
    let line = lines(LogFormat::Plain, log_one);
    let parts: Vec<_> = line.trim_end().split('\t').collect();
    assert_eq!(parts[1..4], ["info", "access", "connection complete"]);
    assert_eq!(
        parts[4],
        r#"src.addr=10.0.0.1:80 src.workload="a\"b\n" bytes_sent=7"#
    );
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn json_lines_are_json() {
    let line = lines(LogFormat::Json, log_one);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["level"], "info");
    assert_eq!(value["scope"], "access");
    assert_eq!(value["message"], "connection complete");
    assert_eq!(value["src.addr"], "10.0.0.1:80");
    assert_eq!(value["src.workload"], "a\"b\n");
    assert_eq!(value["bytes_sent"], 7);
}

#[test]
fn control_characters_never_start_a_second_line() {
    let forged = "x\n2026-01-01T00:00:00Z\tinfo\taccess\tforged";
    for format in [LogFormat::Plain, LogFormat::Json] {
        let line = lines(format, || tracing::info!(value = %forged, "{forged}"));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
    }
}

#[test]
fn times_are_rfc_3339() {
    let at = |seconds, micros| {
        Timestamp(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros)).to_string()
    };
    assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
    assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
    assert_eq!(at(1_795_225_306, 0), "2026-11-21T01:41:46.000000Z");
    assert_eq!(at(4_107_542_399, 999_999), "2100-02-28T23:59:59.999999Z");
}
