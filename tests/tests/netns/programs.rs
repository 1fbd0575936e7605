//! Unmodified programs: they know nothing of the mesh, and the access log proves that it carried them over mTLS.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use lab::config::PodSpec;
use lab::lab::Waypoint;
use lab::process::Process;
use lab::{Lab, Pod};
use nix::unistd::User;

use crate::client::LIMIT;
use crate::harness::{Test, test};
use crate::l7_stage;
use crate::party::{ENROLLED, knows_service, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test("curl_and_nginx_talk_through_the_mesh", web),
    test("redis_and_its_client_talk_through_the_mesh", cache),
    test("psql_and_postgres_talk_through_the_mesh", database),
    test("curl_and_nginx_talk_through_a_waypoint", |lab| {
        let stage = Stage::behind_waypoint(lab, "web", ("http", 80), "10.96.6.1")?;
        web_on(lab, stage)
    }),
    test("redis_and_its_client_talk_through_a_waypoint", |lab| {
        let stage = Stage::behind_waypoint(lab, "cache", ("tcp", 6379), "10.96.6.2")?;
        cache_on(lab, stage)
    }),
    test("psql_and_postgres_talk_through_a_waypoint", |lab| {
        let stage = Stage::behind_waypoint(lab, "database", ("tcp", 5432), "10.96.6.3")?;
        database_on(lab, stage)
    }),
];

/// A pod to serve and one to ask, on two nodes, and the service between them.
struct Stage {
    client: Pod,
    server: Pod,
    name: &'static str,
    dir: PathBuf,
    /// Connections to the service pass it.
    waypoint: Option<Waypoint>,
}

impl Stage {
    fn set(lab: &mut Lab, name: &'static str, port: u16, vip: &str) -> Result<Self> {
        namespaces(lab)?;
        let server = lab.start_pod(&PodSpec::new(ENROLLED, name, 1))?;
        let client = lab.start_pod(&PodSpec::new(ENROLLED, "client", 0))?;
        lab.config().service(ENROLLED, name, vip, name, &[(port, port)])?;
        knows_service(lab, 0, name)?;
        let hostname = format!("{name}.{ENROLLED}.svc.cluster.local");
        lab.write_hosts(&[(vip.parse()?, &hostname)])?;
        let dir = lab.dir().join(name);
        fs::create_dir_all(&dir)?;
        Ok(Self {
            client,
            server,
            name,
            dir,
            waypoint: None,
        })
    }

    /// The same, with a waypoint before the service, whose port has this name.
    fn behind_waypoint(
        lab: &mut Lab,
        name: &'static str,
        (speaks, port): (&str, u16),
        vip: &str,
    ) -> Result<Self> {
        let stage = Self::set(lab, name, port, vip)?;
        l7_stage::gateway(lab, l7_stage::WAYPOINT, "service")?;
        let file = l7_stage::gateway_file(l7_stage::WAYPOINT);
        let waypoint = lab.start_waypoint(&file, l7_stage::WAYPOINT_VIP, &[1])?;
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {ENROLLED}\n  labels: {{{}}}\nspec:\n  clusterIP: {vip}\n  selector: {{app: {name}}}\n  ports: [{{name: {speaks}, port: {port}}}]\n",
            l7_stage::USE
        );
        lab.config()
            .write(&format!("service-{ENROLLED}-{name}.yaml"), &text)?;
        let bound = |dump: &serde_json::Value| {
            let mut services = dump["services"].as_array().into_iter().flatten();
            services.any(|s| s["name"] == name && !s["waypoint"].is_null())
        };
        lab.nodes()[0].wait_for_config("the binding", bound)?;
        waypoint.replicas[0].wait_for_config("the binding", bound)?;
        Ok(Self {
            waypoint: Some(waypoint),
            ..stage
        })
    }

    /// The names by which the server is called: its addresses and its service; the service alone behind a waypoint.
    fn names(&self) -> Vec<String> {
        let host = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let service = format!("{}.{ENROLLED}.svc.cluster.local", self.name);
        match self.waypoint {
            None => vec![host(self.server.v4()), host(self.server.v6()), service],
            Some(_) => vec![service],
        }
    }

    /// What a program in the client's pod prints.
    fn ask(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let said = self.client.run(program, arguments)?;
        ensure!(said.ok, "{program} {arguments:?}: {said:?}");
        Ok(said.out)
    }

    /// Waits until a program in the server's own pod gets an answer there.
    fn wait(&self, server: &mut Process, program: &str, arguments: &[&str]) -> Result<()> {
        server
            .wait_until("its answer", LIMIT, || {
                self.server.run(program, arguments).ok().filter(|s| s.ok)
            })
            .map(drop)
    }

    /// Both proxies' lines of one connection, which carry both identities; with a waypoint, its own in between.
    fn over_mtls(&self, trace: &mut Trace) -> Result<()> {
        let of = |name: &str| format!("spiffe://cluster.local/ns/{ENROLLED}/sa/{name}");
        let (from, to) = (of("client"), of(self.name));
        let waypoint = self.waypoint.as_ref().map(Waypoint::identity);
        let hops = [
            (0, "outbound", &from, waypoint.as_ref().unwrap_or(&to)),
            (1, "inbound", waypoint.as_ref().unwrap_or(&from), &to),
        ];
        for (node, direction, from, to) in hops {
            // A waypoint keeps its connections for the next request, so that its hop may not be over yet.
            if waypoint.is_some() && direction == "inbound" {
                continue;
            }
            let values = [
                ("direction", direction),
                ("src.identity", from.as_str()),
                ("dst.identity", to.as_str()),
                ("message", "connection complete"),
            ];
            trace.expect(node, &values)?;
        }
        Ok(())
    }
}

fn web(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab, "web", 80, "10.96.6.1")?;
    web_on(lab, stage)
}

fn web_on(lab: &mut Lab, stage: Stage) -> Result<()> {
    let mut page = vec![0_u8; 4 << 20];
    fastrand::Rng::with_seed(2).fill(&mut page);
    fs::create_dir_all(stage.dir.join("html"))?;
    fs::write(stage.dir.join("html/index.html"), "served by nginx\n")?;
    fs::write(stage.dir.join("html/large"), &page)?;
    let mut nginx = stage.server.spawn_command("nginx", nginx(&stage)?)?;
    stage.wait(&mut nginx, "curl", &["-sf", "http://127.0.0.1/"])?;
    let mut trace = Trace::follow(lab)?;
    for host in stage.names() {
        // Two requests on one connection.
        let url = format!("http://{host}/");
        let said = stage.ask("curl", &["-gsSf", "--max-time", "10", &url, &url])?;
        ensure!(said == "served by nginx\n".repeat(2), "{url}: {said}");
        stage.over_mtls(&mut trace).context(url)?;
        let (url, copy) = (format!("http://{host}/large"), stage.dir.join("copy"));
        let to = copy.display().to_string();
        stage.ask("curl", &["-gsSf", "--max-time", "10", "-o", &to, &url])?;
        ensure!(fs::read(&copy)? == page, "{url} arrived changed");
        stage.over_mtls(&mut trace).context(url)?;
    }
    Ok(())
}

fn nginx(stage: &Stage) -> Result<std::process::Command> {
    let dir = stage.dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .concat();
    // It is root inside and stays root, with and without a master process: a user namespace may have nobody else.
    let text = format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}server {{ listen 80; listen [::]:80; root {dir}/html; }}\n}}\n"
    );
    let config = stage.dir.join("nginx.conf");
    fs::write(&config, text)?;
    let mut command = stage.server.command("/usr/sbin/nginx");
    command
        .args(["-e", "stderr", "-p"])
        .arg(&stage.dir)
        .arg("-c")
        .arg(config);
    Ok(command)
}

fn cache(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab, "cache", 6379, "10.96.6.2")?;
    cache_on(lab, stage)
}

fn cache_on(lab: &mut Lab, stage: Stage) -> Result<()> {
    let dir = stage.dir.display().to_string();
    let arguments = [
        "--bind",
        "0.0.0.0 ::",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--dir",
        &dir,
    ];
    let mut redis = stage.server.spawn("redis", "redis-server", &arguments)?;
    stage.wait(&mut redis, "redis-cli", &["ping"])?;
    let mut trace = Trace::follow(lab)?;
    let value = "v".repeat(100_000);
    for host in stage.names() {
        let host = host.trim_matches(['[', ']']);
        for (command, answer) in [
            (vec!["set", "key", value.as_str()], "OK\n".to_owned()),
            (vec!["get", "key"], format!("{value}\n")),
            (vec!["-r", "100", "echo", "again"], "again\n".repeat(100)),
        ] {
            let said = stage.ask("redis-cli", &[&["-h", host], command.as_slice()].concat())?;
            ensure!(said == answer, "{host}, {}: {} bytes", command[0], said.len());
            stage.over_mtls(&mut trace).context(host.to_owned())?;
        }
    }
    Ok(())
}

fn database(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab, "database", 5432, "10.96.6.3")?;
    database_on(lab, stage)
}

fn database_on(lab: &mut Lab, stage: Stage) -> Result<()> {
    let mut server = postgres(&stage)?;
    stage.wait(
        &mut server,
        "psql",
        &["-U", "postgres", "-h", "127.0.0.1", "-c", "select 1"],
    )?;
    let mut trace = Trace::follow(lab)?;
    let script = "create table if not exists t as select i, md5(i::text) as h from generate_series(1, 20000) i;\n\
                  copy t to stdout;";
    for host in stage.names() {
        let host = host.trim_matches(['[', ']']);
        let arguments = [
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-h",
            host,
            "-c",
            script,
        ];
        let said = stage.ask("psql", &arguments)?;
        let rows: Vec<_> = said.lines().collect();
        ensure!(rows.len() == 20_000, "{host}: {} rows", rows.len());
        let last = "20000\td9798cdf31c02d86b8b81cc119d94836";
        ensure!(rows.last() == Some(&last), "{host}: {:?}", rows.last());
        stage.over_mtls(&mut trace).context(host.to_owned())?;
    }
    Ok(())
}

/// postgres refuses to be root.
fn postgres(stage: &Stage) -> Result<Process> {
    let bin = newest_postgres()?;
    let data = stage.dir.join("data").display().to_string();
    let sockets = stage.dir.display().to_string();
    let somebody = somebody_else(&stage.dir)?;
    let somebody: Vec<_> = somebody.iter().map(String::as_str).collect();
    let (program, prefix) = somebody.split_first().context("a command")?;
    let initdb = bin.join("initdb").display().to_string();
    let arguments = [
        &initdb,
        "-D",
        &data,
        "-U",
        "postgres",
        "--auth=trust",
        "--no-sync",
        "--locale=C",
    ];
    let made = stage.server.run(program, &[prefix, &arguments].concat())?;
    ensure!(made.ok, "initdb: {made:?}");
    let access = stage.dir.join("data/pg_hba.conf");
    fs::write(&access, "host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")?;
    let server = bin.join("postgres").display().to_string();
    let arguments = [
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
    stage
        .server
        .spawn("postgres", program, &[prefix, &arguments].concat())
}

/// The command that starts another as somebody who is not root and owns `dir`: another user where there is one, else the
/// same one under another number, in a user namespace of its own.
fn somebody_else(dir: &Path) -> Result<Vec<String>> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    let users = ["postgres", "nobody"].into_iter();
    let user = users
        .filter_map(|name| User::from_name(name).ok().flatten())
        .next();
    let user = user.context("there is neither a user postgres nor a user nobody")?;
    if chown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).is_ok() {
        let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
        return Ok([
            "setpriv",
            "--reuid",
            &uid,
            "--regid",
            &gid,
            "--clear-groups",
            "--",
        ]
        .map(str::to_owned)
        .to_vec());
    }
    let map = format!("--map-user={}", user.uid);
    Ok(["unshare", "--user", &map, "--"].map(str::to_owned).to_vec())
}

/// The newest of Debian's installed versions.
fn newest_postgres() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("postgres is not installed")?;
    let mut bins: Vec<_> = versions.flatten().map(|v| v.path().join("bin")).collect();
    bins.retain(|bin| bin.join("postgres").is_file());
    bins.sort();
    match bins.pop() {
        Some(bin) => Ok(bin),
        None => bail!("postgres is not installed"),
    }
}
