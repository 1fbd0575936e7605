//! Unmodified programs, each with the little configuration that it cannot do without.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::process::Process;
use lab::world::Rights;
use lab::{Lab, Pod, wait};
use nix::unistd::User;

use crate::cast::Cast;
use crate::flow::NGINX;
use crate::needs::find;

/// Where the programs lie, as far as they are installed and can run here.
pub(crate) struct Programs {
    pub(crate) app: String,
    nginx: Option<PathBuf>,
    redis: Option<PathBuf>,
    postgres: Result<Postgres, String>,
    dir: PathBuf,
}

struct Postgres {
    bin: PathBuf,
    user: User,
    /// `setpriv`'s arguments that give it that user.
    become_user: [String; 6],
}

impl Programs {
    pub(crate) fn find(rights: Rights, lab: &Lab) -> Self {
        Self {
            app: lab.products().path("lab-app").display().to_string(),
            nginx: find("nginx"),
            redis: find("redis-server").filter(|_| find("redis-cli").is_some()),
            postgres: Postgres::find(rights),
            dir: lab.dir().join("programs"),
        }
    }

    pub(crate) fn has_nginx(&self) -> bool {
        self.nginx.is_some()
    }

    pub(crate) fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    pub(crate) fn has_postgres(&self) -> bool {
        self.postgres.is_ok()
    }
}

/// Starts the pods' programs and waits until each serves; also what is left out, a sentence each.
pub(crate) fn serve(cast: &Cast) -> Result<(Vec<Process>, Vec<String>)> {
    let programs = &cast.programs;
    fs::create_dir_all(&programs.dir)?;
    let (mut servers, mut left_out) = (Vec::new(), Vec::new());
    let mut serves = |pod, port, process| servers.push(Server { pod, port, process });
    // postgres takes the longest: it is begun first.
    let database = cast.pod("database")?;
    match &programs.postgres {
        Ok(postgres) => serves(
            database,
            5432,
            postgres.start(database, &programs.dir.join("postgres"))?,
        ),
        Err(why) => {
            left_out.push(format!("postgres, {why}; an echo server stands in for it."));
            serves(database, 5432, programs.echo(database, &["--tcp", "5432"])?);
        }
    }
    for cart in ["cart-a", "cart-b"] {
        let pod = cast.pod(cart)?;
        serves(
            pod,
            9000,
            programs.echo(pod, &["--http", "8080", "--tcp", "9000"])?,
        );
    }
    let printer = cast.pod("printer")?;
    serves(
        printer,
        9100,
        programs.echo(printer, &["--http", "9100", "--tcp", "9000"])?,
    );
    let web = cast.pod("web")?;
    match &programs.nginx {
        Some(nginx) => serves(web, 80, start_nginx(nginx, web, &programs.dir.join("nginx"))?),
        None => {
            left_out.push("nginx, which is not installed; an echo server stands in for it.".to_owned());
            serves(web, 80, programs.echo(web, &["--http", "80"])?);
        }
    }
    let cache = cast.pod("cache")?;
    match &programs.redis {
        Some(redis) => serves(cache, 6379, start_redis(redis, cache, &programs.dir)?),
        None => {
            left_out.push("redis, which is not installed; an echo server stands in for it.".to_owned());
            serves(cache, 6379, programs.echo(cache, &["--tcp", "6379"])?);
        }
    }
    servers
        .iter_mut()
        .try_for_each(|server| server.wait(&programs.app))?;
    if let Ok(postgres) = &programs.postgres {
        postgres.wait(database)?;
    }
    Ok((servers.into_iter().map(|s| s.process).collect(), left_out))
}

impl Programs {
    fn echo(&self, pod: &Pod, ports: &[&str]) -> Result<Process> {
        let mut arguments = vec!["serve", "--name", pod.spec().name.as_str()];
        arguments.extend(ports);
        pod.spawn("app", &self.app, &arguments)
    }
}

fn start_nginx(nginx: &Path, pod: &Pod, dir: &Path) -> Result<Process> {
    fs::create_dir_all(dir.join("html"))?;
    fs::write(dir.join("html/index.html"), format!("{NGINX}\n"))?;
    let d = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {d}/{kind};\n"))
        .collect();
    // Without a master process nginx keeps the user that it has, and with `user root` its files are that user's, too: a
    // user namespace may have no other.
    let text = format!(
        "daemon off;\nuser root root;\nmaster_process off;\npid {d}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n  access_log off;\n{temporary}  server {{ listen 80; listen [::]:80; root {d}/html; }}\n}}\n"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, text)?;
    let (file, dir) = (file.display().to_string(), d.to_string());
    pod.spawn("nginx", nginx, &["-e", "stderr", "-p", &dir, "-c", &file])
}

fn start_redis(redis: &Path, pod: &Pod, dir: &Path) -> Result<Process> {
    let arguments = [
        "--port",
        "6379",
        "--bind",
        "0.0.0.0 ::",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        &dir.display().to_string(),
    ];
    pod.spawn("redis", redis, &arguments)
}

impl Postgres {
    /// postgres does not run as root: it needs another user, whom a user namespace may not have.
    fn find(rights: Rights) -> Result<Self, String> {
        let bin = postgres_bin().ok_or("which is not installed")?;
        if rights == Rights::SingleUser {
            return Err(
                "which does not run as root, because no other user exists in this user namespace \
                        (package uidmap, and a range for you in /etc/subuid and /etc/subgid, give it some)"
                    .to_owned(),
            );
        }
        let user = ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .ok_or("which needs a user postgres or nobody")?;
        let become_user = [
            "--reuid",
            &user.uid.to_string(),
            "--regid",
            &user.gid.to_string(),
            "--clear-groups",
            "--",
        ]
        .map(str::to_owned);
        Ok(Self {
            bin,
            user,
            become_user,
        })
    }

    fn start(&self, pod: &Pod, dir: &Path) -> Result<Process> {
        let data = dir.join("data").display().to_string();
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        chown(dir, Some(self.user.uid.as_raw()), Some(self.user.gid.as_raw()))
            .with_context(|| format!("{} for {}", dir.display(), self.user.name))?;
        let initdb = self.bin.join("initdb").display().to_string();
        let arguments = [
            "-D",
            &data,
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ];
        let mut init = vec![initdb.as_str()];
        init.extend(arguments);
        let made = pod.run("setpriv", &self.as_user(&init))?;
        if !made.ok {
            bail!("initdb: {}", made.err.trim());
        }
        let mut access = fs::read_to_string(dir.join("data/pg_hba.conf"))?;
        access.push_str("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n");
        fs::write(dir.join("data/pg_hba.conf"), access)?;
        let server = self.bin.join("postgres").display().to_string();
        let sockets = dir.display().to_string();
        let run = [
            server.as_str(),
            "-D",
            &data,
            "-k",
            &sockets,
            "-c",
            "listen_addresses=*",
            "-c",
            "fsync=off",
            "-c",
            "shared_buffers=16MB",
            "-c",
            "dynamic_shared_memory_type=mmap",
        ];
        pod.spawn("postgres", "setpriv", &self.as_user(&run))
    }

    fn as_user<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        self.become_user
            .iter()
            .map(String::as_str)
            .chain(command.iter().copied())
            .collect()
    }

    fn wait(&self, pod: &Pod) -> Result<()> {
        let ready = self.bin.join("pg_isready").display().to_string();
        wait::until("postgres", STARTUP, || {
            pod.run(&ready, &["-q", "-h", "127.0.0.1"]).ok().filter(|s| s.ok)
        })
        .map(drop)
    }
}

/// A program that serves on a port of its pod.
struct Server<'a> {
    pod: &'a Pod,
    port: u16,
    process: Process,
}

impl Server<'_> {
    /// Waits until it accepts; what it then says does not matter.
    fn wait(&mut self, app: &str) -> Result<()> {
        let (pod, to) = (self.pod, format!("127.0.0.1:{}", self.port));
        self.process
            .wait_until(&format!("it listens at port {}", self.port), STARTUP, || {
                let said = pod
                    .run(app, &["send", &to, "--text", "\r\n\r\n", "--limit-ms", "100"])
                    .ok()?;
                (!said.err.contains("connecting to")).then_some(())
            })
            .with_context(|| pod.full_name())
    }
}

/// The newest of Debian's installed versions.
fn postgres_bin() -> Option<PathBuf> {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|e| e.path().join("bin"))
        .collect();
    versions.retain(|bin| bin.join("postgres").is_file() && find("psql").is_some());
    versions.sort();
    versions.pop()
}

const STARTUP: Duration = Duration::from_secs(20);
