use super::*;

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
