use super::*;

const LOG: &str = "1970-01-01T00:16:30.5Z first\n  of two lines\n1970-01-01T00:16:39.9Z second\n1970-01-01T00:16:40Z third\n\
                   1970-01-01T00:16:41Z fourth\n";

#[test]
fn a_log_ends_where_its_window_does() {
    let window = Window::ago(1100, 600, 100);
    assert_eq!(window.since(), 600);
    let kept = window.cut(LOG);
    assert!(
        kept.ends_with("second\n") && kept.contains("  of two lines\n"),
        "{kept}"
    );
}

#[test]
fn without_an_end_all_of_it_is_kept() {
    assert_eq!(Window::ago(1100, 600, 0).cut(LOG), LOG);
}
