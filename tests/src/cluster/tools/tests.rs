use std::fs;

use super::fingerprint;

#[test]
fn a_build_is_made_anew_for_its_own_module_file_and_program_and_for_no_other_module_file() {
    let module = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(module.path().join(file), text).unwrap();
    for file in ["go.mod", "go.sum", "go-1.32.mod", "go-1.32.sum", "main.go"] {
        write(file, file);
    }
    let both = || ["go.mod", "go-1.32.mod"].map(|file| fingerprint(module.path(), file).unwrap());
    let [everyday, older] = both();
    assert_ne!(everyday, older);

    write("go-1.32.sum", "another sum");
    let [same, other] = both();
    assert_eq!(same, everyday);
    assert_ne!(other, older);

    write("main.go", "another program");
    let [changed, changed_too] = both();
    assert_ne!(changed, everyday);
    assert_ne!(changed_too, other);
}
