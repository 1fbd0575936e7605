use super::*;

#[test]
fn a_file_is_found_under_whichever_path_its_package_listed_it() {
    let text = "libc6:amd64: /lib/x86_64-linux-gnu/libc.so.6\ndiversion by dash from: /bin/sh\n\
                libmnl0:amd64: /usr/lib/x86_64-linux-gnu/libmnl.so.0\na, b: /usr/share/shared\n";
    let found = parse_search(text);
    assert_eq!(found[Path::new("/lib/x86_64-linux-gnu/libc.so.6")], "libc6:amd64");
    assert_eq!(found[Path::new("/usr/share/shared")], "a");
    assert_eq!(found.len(), 3);
    let spelled = spellings(Path::new("/lib/no/such.so"));
    assert_eq!(spelled.len(), 2);
    assert!(spelled.contains(Path::new("/usr/lib/no/such.so")), "{spelled:?}");
    let spelled = spellings(Path::new("/usr/lib/no/such.so"));
    assert!(spelled.contains(Path::new("/lib/no/such.so")), "{spelled:?}");
}

#[test]
fn packages_are_named_as_lists_of_materials_name_them() {
    let shown = "libc6:amd64\tlibc6\t2.36-9+deb12u10\tamd64\nbind9\tbind9\t1:9.18~1\tall\n";
    let installed = parse_shown(shown, distribution("NAME=\"D\"\nID=\"debian\"\nVERSION_ID=12\n"));
    assert_eq!(
        installed["libc6:amd64"].purl(),
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64"
    );
    assert_eq!(
        installed["bind9"].purl(),
        "pkg:deb/debian/bind9@1%3A9.18~1?arch=all"
    );
}

#[test]
fn what_nobody_packaged_has_no_owner() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("own");
    fs::write(&file, "text").expect("written");
    assert_eq!(owners(&[&file]).expect("asked"), BTreeMap::new());
}
