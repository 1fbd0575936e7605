//! Expressions (CEL, `docs/attributes.md`), as proxies compile them.

use mesh_telemetry::cel::Expression;

/// Whether a text is true or false when a request begins.
///
/// # Errors
/// Says why it is not, as the end of a sentence that begins with the field.
pub fn condition(text: &str) -> Result<(), String> {
    match Expression::condition(text) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("is no condition: {why}")),
    }
}

/// Whether a text gives a text when a request begins.
///
/// # Errors
/// Says why it does not, as the end of a sentence that begins with the field.
pub fn key(text: &str) -> Result<(), String> {
    match Expression::key(text) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("is no key: {why}")),
    }
}
