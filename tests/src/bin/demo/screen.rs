//! Lines for people: at most [`WIDTH`] columns, colour only on a terminal.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::process::exit;
use std::time::Duration;

/// Columns that every terminal has.
const WIDTH: usize = 120;

/// What an act found, for the summary.
pub(crate) struct Findings {
    title: &'static str,
    all: Vec<Finding>,
}

struct Finding {
    good: bool,
    text: String,
}

impl Findings {
    pub(crate) fn new(title: &'static str) -> Self {
        Self {
            title,
            all: Vec::new(),
        }
    }

    /// Notes one finding, and says it.
    pub(crate) fn add(&mut self, good: bool, text: impl Into<String>) {
        self.all.push(Finding {
            good,
            text: text.into(),
        });
    }

    pub(crate) fn good(&self) -> bool {
        self.all.iter().all(|f| f.good)
    }

    /// The act's verdict, and below it what it rests on.
    pub(crate) fn print(&self) {
        let verdict = if self.good() {
            "as it should be"
        } else {
            "NOT as it should be"
        };
        say(&paint(&format!(
            "{} {}: {verdict}",
            mark(self.good()),
            self.title
        )));
        for finding in &self.all {
            let text = wrap(&finding.text, WIDTH - 6, "      ");
            say(&format!("    {} {text}", paint(&mark(finding.good).to_string())));
        }
    }
}

/// One line, or several. Whoever reads them may have gone away: then there is nobody to run for.
pub(crate) fn say(text: &str) {
    let mut out = stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        exit(1);
    }
}

/// The start of a part.
pub(crate) fn heading(title: &str) {
    say("");
    say(&bold(&format!(
        "── {title} {}",
        "─".repeat(WIDTH.saturating_sub(title.chars().count() + 4))
    )));
}

/// The start of a smaller part.
pub(crate) fn part(title: &str) {
    say("");
    say(&bold(&format!("  {title}")));
}

/// Rows of a table under a word.
pub(crate) fn rows(title: &str, text: &str) {
    say(&format!("  {title}"));
    for line in text.lines() {
        say(&paint(&format!("    {line}")));
    }
}

/// What was started, and how long that took.
pub(crate) fn step(what: &str, took: Duration) {
    say(&format!("  {what:<92} {:>6.2} s", took.as_secs_f64()));
}

/// A paragraph.
pub(crate) fn note(text: &str) {
    say(&wrap(text, WIDTH - 2, "  "));
}

/// A table, painted.
pub(crate) fn table(text: &str) {
    for line in text.lines() {
        say(&paint(&format!("  {line}")));
    }
}

/// Text that is meant for copying, or a piece of a file.
pub(crate) fn verbatim(prefix: &str, text: &str) {
    for line in text.lines() {
        say(&format!("      {prefix}{line}"));
    }
}

pub(crate) fn mark(good: bool) -> char {
    if good { '✓' } else { '✗' }
}

/// Milliseconds as people read them.
pub(crate) fn ms(time: Duration) -> String {
    match time.as_secs_f64() * 1000.0 {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() + indent.len() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    let first_indent = if indent.len() > 2 { "" } else { indent };
    format!("{first_indent}{}", lines.join(&format!("\n{indent}")))
}

fn bold(text: &str) -> String {
    if stdout().is_terminal() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Colours the words that a reader looks for. Widths are settled by then.
fn paint(text: &str) -> String {
    if !stdout().is_terminal() {
        return text.to_owned();
    }
    let colours = [
        ("✓", 32),
        ("✗", 31),
        ("mTLS", 32),
        ("plain", 33),
        ("denied", 31),
        ("unconfirmed", 31),
    ];
    colours.iter().fold(text.to_owned(), |text, (word, colour)| {
        text.replace(word, &format!("\x1b[{colour}m{word}\x1b[0m"))
    })
}
