use super::*;

#[test]
fn only_what_nobody_changed_is_let_go() {
    let mapping = |head: &str, rss: u32, anonymous: u32, locked: u32| {
        format!(
            "{head}\nSize: 2048 kB\nRss:   {rss} kB\nAnonymous:  {anonymous} kB\nLocked: {locked} kB\nVmFlags: rd ex mr mw me\n"
        )
    };
    let smaps = [
        mapping("1000-5000 r--p 00000000 fe:00 17   /bin/program", 8, 0, 0),
        mapping("5000-9000 r-xp 00004000 fe:00 17   /bin/program", 12, 0, 0),
        // Relocated once, and read-only since.
        mapping("9000-a000 r--p 00008000 fe:00 17   /bin/program", 4, 4, 0),
        mapping("a000-b000 rw-p 00009000 fe:00 17   /bin/program", 4, 0, 0),
        mapping("b000-c000 r-xp 00000000 00:00 0    [vdso]", 4, 0, 0),
        mapping("c000-d000 r--s 00000000 fe:00 18   /shared", 4, 0, 0),
        mapping("d000-e000 r-xp 00000000 fe:00 19   /lib/locked", 4, 0, 4),
        mapping("e000-f000 r-xp 00000000 fe:00 20   /lib/with a space", 4, 0, 0),
    ];
    let found = unchanged_mappings(&smaps.concat());
    let expected = [(0x1000..0x5000, 8), (0x5000..0x9000, 12), (0xe000..0xf000, 4)];
    let expected = expected.map(|(addresses, kilobytes)| Unchanged {
        addresses,
        resident: kilobytes * 1024,
    });
    assert_eq!(found, expected);
}

#[test]
fn the_program_goes_on() {
    let before: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let released = release_file_pages().expect("/proc is there");
    assert!(
        released > 64 * 1024,
        "at least this test's own code was there: {released}"
    );
    assert_eq!(before.concat().len(), 190);
    std::thread::spawn(|| assert!(release_file_pages().is_ok()))
        .join()
        .expect("libraries work as before");
}
