//! The programs of a cluster: built from Go modules once, and kept beside the products.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::release::Release;

/// Where the built programs lie, and which Kubernetes they are.
#[derive(Clone, Debug)]
pub struct Tools {
    dir: PathBuf,
    release: Release,
}

impl Tools {
    /// Builds what is not there yet, from the modules in `sources` (`tests/cluster`), into `dir`: of the Kubernetes that
    /// `LATEEN_KUBERNETES` names ([`Release::chosen`]), each in a folder of its own but for that of every day. `say` is told
    /// before each build that takes minutes.
    ///
    /// # Errors
    /// Fails without Go or a C compiler, with the last lines of a build that fails, and for a Kubernetes that is none of ours.
    pub fn build(sources: &Path, dir: &Path, say: fn(&str)) -> Result<Self> {
        let release = Release::chosen()?;
        let dir = dir.join(release.folder());
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let tools = Self {
            dir: dir.canonicalize().context("directory of tools")?,
            release,
        };
        let hyperkube = sources.join("hyperkube");
        tools.once_from(
            "hyperkube",
            &fingerprint(&hyperkube, release.module_file())?,
            || {
                say(&format!(
                    "building Kubernetes {} from its Go modules (about ten minutes on two cores, once)",
                    release.version()
                ));
                let module_file = format!("-modfile={}", release.module_file());
                tools.go(
                    &hyperkube,
                    "build",
                    &[&module_file, "-trimpath", "-ldflags", &kubernetes_flags(release)],
                    "hyperkube",
                    ".",
                )
            },
        )?;
        for component in COMPONENTS {
            let link = tools.path(component);
            if fs::symlink_metadata(&link).is_err() {
                symlink("hyperkube", &link).with_context(|| link.display().to_string())?;
            }
        }
        tools.once("pause", &hyperkube, || tools.pause())?;
        Ok(tools)
    }

    /// Those of the tests: built from this package's modules, and kept in the target directory of the test that asks, or
    /// where `LATEEN_CLUSTER_TOOLS` says. To be called outside the private namespaces, from which no registry is reached.
    ///
    /// # Errors
    /// As [`Tools::build`].
    pub fn of_tests() -> Result<Self> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster");
        let dir = match std::env::var_os("LATEEN_CLUSTER_TOOLS") {
            Some(dir) => PathBuf::from(dir),
            None => {
                let test = std::env::current_exe().context("own path")?;
                // <target>/<profile>/deps/<test>
                test.ancestors()
                    .nth(3)
                    .context("target directory")?
                    .join("cluster")
            }
        };
        Self::build(&sources, &dir, |what| println!("== {what}"))
    }

    /// Builds the servers that Gateway API's suite starts in its pods.
    ///
    /// # Errors
    /// As [`Tools::build`].
    pub fn echo_servers(&self, sources: &Path, say: fn(&str)) -> Result<()> {
        let module = sources.join("echo");
        for (name, package) in ECHO_SERVERS {
            self.once(name, &module, || {
                say(&format!("building the suite's {name}"));
                self.go(
                    &module,
                    "build",
                    &["-trimpath", "-ldflags", "-s -w"],
                    name,
                    package,
                )
            })?;
        }
        Ok(())
    }

    /// Builds Gateway API's conformance suite as one program.
    ///
    /// # Errors
    /// As [`Tools::build`].
    pub fn conformance(&self, sources: &Path, say: fn(&str)) -> Result<PathBuf> {
        let module = sources.join("conformance");
        self.once("conformance.test", &module, || {
            say("building Gateway API's conformance suite (about two minutes, once)");
            self.go(
                &module,
                "test",
                &["-c"],
                "conformance.test",
                "sigs.k8s.io/gateway-api/conformance",
            )
        })?;
        Ok(self.path("conformance.test"))
    }

    /// Which Kubernetes they are.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// One of the programs.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where the sources of a module lie that another module requires; fetched where they are not there yet.
    pub(super) fn module(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let mut fetch = Command::new("go");
        fetch.args(["mod", "download", name]).current_dir(from);
        run(fetch)?;
        let mut list = Command::new("go");
        list.args(["list", "-m", "-f", "{{.Dir}}", name])
            .current_dir(from);
        Ok(run(list)?.trim_end().into())
    }

    /// Builds a program when its module differs from the one that it was built from.
    pub(super) fn once(&self, name: &str, module: &Path, build: impl FnOnce() -> Result<()>) -> Result<()> {
        self.once_from(name, &fingerprint(module, MODULE_FILE)?, build)
    }

    /// The same, for a program of which it is known already what decides what its build gives.
    fn once_from(&self, name: &str, now: &[u8], build: impl FnOnce() -> Result<()>) -> Result<()> {
        let stamp = self.path(&format!("{name}.from"));
        if self.path(name).is_file() && fs::read(&stamp).is_ok_and(|then| then == now) {
            return Ok(());
        }
        build().with_context(|| name.to_owned())?;
        fs::write(&stamp, now).with_context(|| stamp.display().to_string())
    }

    fn go(&self, module: &Path, verb: &str, flags: &[&str], name: &str, package: &str) -> Result<()> {
        let mut go = Command::new("go");
        go.arg(verb)
            .args(flags)
            .arg("-o")
            .arg(self.path(name))
            .arg(package);
        // Static: it runs in containers too.
        go.current_dir(module).env("CGO_ENABLED", "0");
        run(go).map(drop)
    }

    /// What keeps a pod's namespaces open.
    fn pause(&self) -> Result<()> {
        let source = self.path("pause.c");
        fs::write(&source, PAUSE).with_context(|| source.display().to_string())?;
        let mut cc = Command::new("cc");
        cc.args(["-Os", "-static", "-o"])
            .arg(self.path("pause"))
            .arg(&source);
        run(cc).map(drop)
    }
}

/// What this machine lacks for tests on a cluster.
#[must_use]
pub fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("they need the machine's root");
    }
    (!go_is_there()).then_some("they need Go, of whose modules Kubernetes is built (https://go.dev/dl)")
}

/// Whether Go is there; without it there is no cluster.
#[must_use]
pub fn go_is_there() -> bool {
    let mut go = Command::new("go");
    go.arg("version").stdout(Stdio::null()).stderr(Stdio::null());
    go.status().is_ok_and(|status| status.success())
}

/// All that decides what a build by this module file gives.
fn fingerprint(module: &Path, module_file: &str) -> Result<Vec<u8>> {
    let listed = fs::read_dir(module).with_context(|| module.display().to_string())?;
    let mut paths = listed
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    let sums = Path::new(module_file).with_extension("sum");
    let module_files = [Some(OsStr::new(module_file)), Some(sums.as_os_str())];
    paths.retain(|path| {
        path.extension() == Some(OsStr::new("go")) || module_files.contains(&path.file_name())
    });
    let read = |path: &PathBuf| fs::read(path).with_context(|| path.display().to_string());
    paths
        .iter()
        .map(read)
        .collect::<Result<Vec<_>>>()
        .map(|files| files.concat())
}

/// What it prints.
fn run(mut command: Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| program.clone())?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let lines: Vec<_> = said.lines().collect();
    bail!(
        "{program} failed:\n{}",
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    )
}

fn kubernetes_flags(release: Release) -> String {
    let version = release.version();
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let minor = minor.split('.').next().unwrap_or(minor);
    let mut flags = "-s -w".to_owned();
    for (variable, value) in [
        ("k8s.io/component-base/version.gitVersion", format!("v{version}")),
        ("k8s.io/client-go/pkg/version.gitVersion", format!("v{version}")),
        ("k8s.io/component-base/version.gitMajor", major.to_owned()),
        ("k8s.io/component-base/version.gitMinor", minor.to_owned()),
    ] {
        flags.push_str(&format!(" -X {variable}={value}"));
    }
    flags
}

/// Go's own name of a module's file.
const MODULE_FILE: &str = "go.mod";
const COMPONENTS: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "kubectl",
];
const ECHO_SERVERS: [(&str, &str); 3] = [
    ("echo-client", "istio.io/istio/pkg/test/echo/cmd/client"),
    ("echo-server", "istio.io/istio/pkg/test/echo/cmd/server"),
    ("echo-basic", "sigs.k8s.io/gateway-api/conformance/echo-basic"),
];
const PAUSE: &str = "#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
    static void stop(int signal) { (void)signal; _exit(0); }\n\
    int main(void) { signal(SIGTERM, stop); signal(SIGINT, stop); for (;;) pause(); }\n";
const TAIL: usize = 30;

#[cfg(test)]
mod tests;
