//! What a log line looks like.
//!
//! Plain: `<time>\t<level>\t<target>\t<message>\t<key>=<value> <key>="<text>"`, as upstream's ztunnel writes it.
//! JSON: `{"level":..,"time":..,"scope":..,"message":..,"<key>":..}`, the keys that Istio's components share.
//! Control characters in values are escaped in both: a log line is data, never markup.

use std::fmt::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;

/// Formats events in one of the two formats.
pub(super) struct LineFormat {
    pub(super) format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::new(self.format);
        event.record(&mut fields);
        let meta = event.metadata();
        let head = Head {
            level: level_name(*meta.level()),
            time: Timestamp(SystemTime::now()),
            target: meta.target(),
        };
        match self.format {
            LogFormat::Plain => {
                let mut spans = String::new();
                if let Some(scope) = ctx.event_scope() {
                    for span in scope.from_root() {
                        write!(spans, "{}:", span.name())?;
                    }
                }
                fields.write_plain(&head, &spans, &mut out)
            }
            LogFormat::Json => fields.write_json(&head, &mut out),
        }
    }
}

struct Head<'a> {
    level: &'static str,
    time: Timestamp,
    target: &'a str,
}

/// Collects an event's message and fields, already in their final form.
struct Fields {
    format: LogFormat,
    message: String,
    rest: String,
}

impl Fields {
    fn new(format: LogFormat) -> Self {
        Self {
            format,
            message: String::new(),
            rest: String::with_capacity(256),
        }
    }

    fn write_plain(&self, head: &Head<'_>, spans: &str, out: &mut Writer<'_>) -> fmt::Result {
        let Head { level, time, target } = head;
        write!(
            out,
            "{time}\t{level}\t{target}{}{spans}\t",
            if spans.is_empty() { "" } else { ":" }
        )?;
        write_escaped(out, &self.message)?;
        if !self.rest.is_empty() {
            write!(out, "\t{}", self.rest)?;
        }
        writeln!(out)
    }

    fn write_json(&self, head: &Head<'_>, out: &mut Writer<'_>) -> fmt::Result {
        let Head { level, time, target } = head;
        write!(
            out,
            r#"{{"level":"{level}","time":"{time}","scope":"{target}","message":"#
        )?;
        write_quoted(out, &self.message)?;
        write!(out, "{}", self.rest)?;
        writeln!(out, "}}")
    }

    /// Writes `key` and the separator before its value.
    fn key(&mut self, key: &str) {
        match self.format {
            LogFormat::Plain => {
                if !self.rest.is_empty() {
                    self.rest.push(' ');
                }
                self.rest.push_str(key);
                self.rest.push('=');
            }
            LogFormat::Json => {
                self.rest.push_str(",\"");
                self.rest.push_str(key);
                self.rest.push_str("\":");
            }
        }
    }

    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.key(field.name());
        // Writing to a String cannot fail.
        let _ = write!(self.rest, "{value}");
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.key(field.name());
            let _ = write_quoted(&mut self.rest, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        self.key(field.name());
        match self.format {
            LogFormat::Plain => {
                let _ = write!(Escaping(&mut self.rest), "{value:?}");
            }
            LogFormat::Json => {
                self.rest.push('"');
                let _ = write!(Quoting(&mut self.rest), "{value:?}");
                self.rest.push('"');
            }
        }
    }
}

/// Replaces control characters by their escapes.
struct Escaping<'a, W>(&'a mut W);

/// Replaces what a JSON string cannot hold as it is (RFC 8259, section 7).
struct Quoting<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaping<'_, W> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if !s.contains(|c: char| c.is_control()) {
            return self.0.write_str(s);
        }
        for c in s.chars() {
            if c.is_control() {
                write!(self.0, "{}", c.escape_default())?;
            } else {
                self.0.write_char(c)?;
            }
        }
        Ok(())
    }
}

impl<W: fmt::Write> fmt::Write for Quoting<'_, W> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if !s.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
            return self.0.write_str(s);
        }
        for c in s.chars() {
            match c {
                '"' => self.0.write_str("\\\"")?,
                '\\' => self.0.write_str("\\\\")?,
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                c if c.is_control() => write!(self.0, "\\u{:04x}", u32::from(c))?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn write_escaped(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    Escaping(out).write_str(text)
}

fn write_quoted(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    Quoting(out).write_str(text)?;
    out.write_char('"')
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// RFC 3339 in UTC with microseconds.
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z",
            since.subsec_micros()
        )
    }
}

/// The proleptic Gregorian date of a day count since 1970-01-01 (ISO 8601; 400-year eras that start in March).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
