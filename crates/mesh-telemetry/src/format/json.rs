//! A record as a line of JSON. Numbers stay numbers; what is not there is `null`
//! (Envoy, "Access logging", "Format dictionaries").

use mesh_types::Strng;

use super::{Part, Template};
use crate::record::Record;

pub(super) fn write(fields: &[(Strng, Template)], record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut value = Vec::new();
    for (n, (key, template)) in fields.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        string(key.as_bytes(), out);
        out.push(b':');
        if let Some(operator) = template.single() {
            if let Some(number) = operator.number(record) {
                out.extend_from_slice(number.to_string().as_bytes());
                continue;
            }
            value.clear();
            operator.write(record, &mut value);
            // The flags are a text that may well be a dash.
            match value.as_slice() {
                b"-" if !is_flags(template) => out.extend_from_slice(b"null"),
                value => string(value, out),
            }
            continue;
        }
        value.clear();
        template.write(record, &mut value);
        string(&value, out);
    }
    out.extend_from_slice(b"}\n");
}

fn is_flags(template: &Template) -> bool {
    use super::operator::{Argument, Operator};
    matches!(
        template.parts.as_slice(),
        [Part::Operator(Operator::Text(Argument::ResponseFlags, _))]
    )
}

/// RFC 8259, section 7. What is no UTF-8 becomes replacement characters.
fn string(bytes: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if u32::from(c) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
