use super::*;
use crate::standin::Standin;

#[test]
fn libraries_are_read_from_all_forms_of_lines() {
    let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f)\n\
                \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
    let paths = parse_ldd(text).expect("all are found");
    let expected = [
        "/lib/x86_64-linux-gnu/libgcc_s.so.1",
        "/lib64/ld-linux-x86-64.so.2",
    ];
    assert_eq!(paths, expected.map(PathBuf::from));
}

#[test]
fn a_static_program_needs_none() {
    assert_eq!(
        parse_ldd("\tstatically linked\n").expect("fine"),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn a_missing_library_is_named() {
    let error = parse_ldd("\tlibmissing.so.3 => not found\n").expect_err("it is missing");
    assert_eq!(
        error.to_string(),
        "libmissing.so.3: no such library on this machine"
    );
}

#[test]
fn a_missing_program_is_named() {
    let error = Files::default()
        .program("/p", Path::new("/no/such"))
        .expect_err("there is none");
    assert_eq!(error.to_string(), "/no/such is not there: build it first");
}

#[test]
fn a_program_comes_with_what_it_needs() {
    let mut files = Files::default();
    files
        .program("/bin/env", Path::new("/usr/bin/env"))
        .expect("a dynamic program");
    let paths: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(paths.contains(&"/bin/env".to_owned()));
    assert!(paths.iter().any(|p| p.contains("libc.so")), "{paths:?}");
}

#[test]
fn a_program_for_hosts_has_no_loader_and_no_library() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("plugin");
    let mut files = Files::default();
    Standin::Static.make(&program);
    files
        .static_program("/plugin", &program, Some(1 << 20))
        .expect("it needs nothing");
    let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [Path::new("/plugin")]);

    Standin::Dynamic.make(&program);
    let error = files
        .static_program("/plugin", &program, None)
        .expect_err("it needs the C library");
    let said = format!("{error:#}");
    assert!(said.starts_with(&program.display().to_string()), "{said}");
    assert!(said.contains("asks for the loader /"), "{said}");
    assert!(said.contains("scripts/plugin.sh"), "{said}");
}

#[test]
fn a_program_for_hosts_that_grew_too_large_is_named_with_both_sizes() {
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("plugin");
    Standin::Static.make(&program);
    let error = Files::default()
        .static_program("/plugin", &program, Some(64))
        .expect_err("it is larger");
    let said = format!("{error:#}");
    assert!(said.ends_with("bytes, of 64 that it may have"), "{said}");
}
