//! The fuzz target of the state file's reader: no content may panic, and what is read survives being written.

/// Reads `data` as a state file.
///
/// # Panics
/// Panics when records do not survive their own encoding.
pub fn state_file(data: &[u8]) {
    if let Ok(records) = crate::state_file::parse(data) {
        let written = crate::state_file::encode(records.iter()).expect("records are JSON");
        assert_eq!(crate::state_file::parse(&written).as_ref(), Ok(&records));
    }
}
