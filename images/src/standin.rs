//! Programs that stand in for the products, for tests: as small as a linker makes them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a stand-in is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standin {
    /// With the C library of this machine.
    Dynamic,
    /// Without anything.
    Static,
}

impl Standin {
    /// Makes it there.
    pub(crate) fn make(self, at: &Path) {
        let (source, arguments): (&str, &[&str]) = match self {
            Self::Dynamic => ("int main(void) { return 0; }", &["-g"]),
            Self::Static => (
                "void _start(void) { for (;;) ; }",
                &["-g", "-static", "-nostdlib"],
            ),
        };
        let mut compiler = Command::new("cc");
        compiler.args(arguments).args(["-x", "c", "-", "-o"]).arg(at);
        let mut child = compiler.stdin(Stdio::piped()).spawn().expect("cc starts");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(source.as_bytes()).expect("cc reads");
        drop(input);
        assert!(
            child.wait().expect("cc ends").success(),
            "cc makes {}",
            at.display()
        );
    }
}
