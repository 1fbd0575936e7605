//! The parser's fuzz target.

/// Parses any bytes. What comes out must hold together: an object has a valid key, an error is one line.
///
/// # Panics
/// Panics when the parser breaks one of its promises.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for result in crate::parse(text) {
        match result {
            Ok(located) => {
                assert!(crate::validate::object(&located.value).violations.is_empty());
                for warning in &located.warnings {
                    assert!(!warning.in_file("objects.yaml").contains('\n'));
                }
                if let Some(key) = located.value.key() {
                    assert_eq!(key.kind.is_namespaced(), !key.namespace.is_empty());
                    assert!(!key.name.is_empty());
                }
            }
            Err(e) => {
                let line = e.in_file("objects.yaml");
                assert!(!line.contains('\n') && line.len() > "objects.yaml:".len());
            }
        }
    }
}

#[cfg(test)]
mod tests;
