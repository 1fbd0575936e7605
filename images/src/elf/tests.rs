use std::fs;
use std::path::Path;

use super::*;
use crate::standin::Standin;

#[test]
fn a_dynamic_program_asks_for_the_loader_that_lies_here() {
    let file = fs::read("/usr/bin/env").expect("there");
    let loader = interpreter(&file).expect("a program").expect("a dynamic one");
    assert!(loader.is_file(), "{}", loader.display());
}

#[test]
fn a_static_program_asks_for_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("program");
    Standin::Static.make(&program);
    assert_eq!(
        interpreter(&fs::read(program).expect("there")).expect("a program"),
        None
    );
}

#[test]
fn a_file_that_ends_early_or_is_no_program_is_refused_and_never_read_as_static() {
    assert!(interpreter(b"#!/bin/sh\n").is_err());
    let file = fs::read("/usr/bin/env").expect("there");
    let loader = interpreter(&file).expect("a program");
    for end in 0..0x400.min(file.len()) {
        if let Ok(found) = interpreter(&file[..end]) {
            assert_eq!(found, loader, "cut at {end}");
        }
    }
    let mut wild = file;
    wild[0x20..0x28].fill(0xff);
    assert!(interpreter(&wild).is_err());
    assert!(loader.is_some_and(|loader| loader.starts_with(Path::new("/"))));
}
