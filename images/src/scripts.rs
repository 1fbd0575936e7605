//! What the scripts beside this crate tell compilers: held to what compilers then do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `scripts/dist.sh` gives to cargo, whatever stands in for it.
struct Told {
    arguments: String,
    rust: Vec<String>,
    c: Vec<String>,
}

/// A machine's own cargo home and target directory.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let cargo = "#!/bin/sh\necho \"$@\"\necho \"$CARGO_ENCODED_RUSTFLAGS\"\necho \"$CFLAGS\"\n";
        let machine = Self { dir };
        fs::write(machine.path("cargo"), cargo).expect("written");
        fs::set_permissions(machine.path("cargo"), fs::Permissions::from_mode(0o755)).expect("executable");
        for folder in ["home/registry/src", "elsewhere/out"] {
            fs::create_dir_all(machine.path(folder)).expect("made");
        }
        machine
    }

    fn path(&self, relative: &str) -> PathBuf {
        let root = self.dir.path().canonicalize().expect("there");
        root.join(relative)
    }

    fn told(&self, flags: &str) -> Told {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/dist.sh");
        let mut dist = Command::new(script);
        dist.args(["build", "--bins"])
            .env("CARGO", self.path("cargo"))
            .env("CARGO_HOME", self.path("home"))
            .env("CARGO_TARGET_DIR", self.path("elsewhere"))
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", flags)
            .env("CFLAGS", "-O1");
        let out = dist.output().expect("the script runs");
        let text = String::from_utf8(out.stdout).expect("text");
        let [arguments, rust, c] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text:?} {}", String::from_utf8_lossy(&out.stderr));
        };
        Told {
            arguments: arguments.to_owned(),
            rust: rust.split('\x1f').map(str::to_owned).collect(),
            c: c.split(' ').map(str::to_owned).collect(),
        }
    }
}

fn printed(command: &mut Command) -> String {
    let out = command.output().expect("it starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text").trim().to_owned()
}

#[test]
fn what_is_shipped_is_built_without_paths_of_this_machine() {
    let machine = Machine::new();
    let told = machine.told("");
    assert_eq!(told.arguments, "build --profile dist --locked --bins");

    let source = machine.path("home/registry/src/main.rs");
    fs::write(&source, "fn main() { println!(\"{}\", file!()); }").expect("written");
    let program = machine.path("rust");
    let mut rustc = Command::new("rustc");
    printed(rustc.args(&told.rust).arg(&source).arg("-o").arg(&program));
    assert_eq!(
        printed(&mut Command::new(&program)),
        "/build/cargo/registry/src/main.rs"
    );

    let source = machine.path("elsewhere/out/main.c");
    let text = "#include <stdio.h>\nint main(void) { puts(__FILE__); return 0; }\n";
    fs::write(&source, text).expect("written");
    let program = machine.path("c");
    let mut cc = Command::new("cc");
    printed(cc.args(&told.c).arg(&source).arg("-o").arg(&program));
    assert_eq!(printed(&mut Command::new(&program)), "/build/target/out/main.c");
}

#[test]
fn flags_that_somebody_gives_are_kept() {
    let told = Machine::new().told("-C opt-level=1");
    assert_eq!(told.rust[..2], ["-C", "opt-level=1"]);
    assert_eq!(told.rust.len(), 5);
    assert_eq!(told.c[0], "-O1");
    assert_eq!(told.c.len(), 4);
}
