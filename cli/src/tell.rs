//! Progress, hints and warnings: for people, on standard error, never mixed with answers.

use std::io::{self, Write as _};

/// Tells one line.
pub(crate) fn tell(line: &str) {
    // Nobody is left to tell where this cannot be written.
    let _ = writeln!(io::stderr(), "{line}");
}
