use super::*;

/// What a parser or a server says may have lines and snippets.
#[test]
fn a_failure_is_one_line_whatever_others_said() {
    let failure =
        Failure::from(anyhow::anyhow!("line 1\n  |\n1 | a: [\n  |    ^ here\r\n").context("the file"));
    assert_eq!(failure.line(), "the file: line 1 | 1 | a: [ | ^ here");
}
