//! Quotas: counted for all replicas of a waypoint together, by a service that may end and come back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::config::PodSpec;
use lab::lab::node_name;
use lab::process::Process;
use lab::{Lab, Pod};

use crate::client::LIMIT;
use crate::harness::{Test, test};
use crate::l7_stage::{APP, Stage, USE, service};

pub(crate) const TESTS: &[Test] = &[test("a_quota_holds_for_all_replicas_and_over_a_crash", quota)];

/// A shard of the rate-limit service.
struct Shard {
    pod: Pod,
    process: Process,
    number: usize,
}

// row: RateLimitPolicy global.limits
fn quota(lab: &mut Lab) -> Result<()> {
    let stage = Stage::unbound(lab, "service", &[0, 1])?;
    let mut shards = start(lab)?;
    limit(lab, "Open")?;
    service(lab, "app", APP, "app: app", USE)?;
    stage.served(lab)?;
    // Whoever waits for the quota to come into force uses up those of other users.
    lab::wait::until("the quota", LIMIT, || {
        let told = stage
            .client
            .run("curl", &["-sSi", "-H", "x-user: nobody", URL])
            .ok()?;
        told.out
            .to_ascii_lowercase()
            .contains("ratelimit-limit: 10")
            .then_some(())
    })?;

    for replica in &stage.waypoint.replicas {
        replica.wait_for_config("the quota", |dump| {
            let mut policies = dump["attachedPolicies"].as_array().into_iter().flatten();
            policies.any(|policy| {
                policy
                    .as_str()
                    .is_some_and(|p| p.starts_with("RateLimitPolicy/shop/app"))
            })
        })?;
    }

    for shard in &shards {
        shard.holds_a_certificate()?;
    }

    // Each `curl` comes over a connection of its own; both waypoints are asked, and both shards count.
    let users: Vec<String> = (0..6).map(|n| format!("x-user: user-{n}")).collect();
    for user in &users {
        let passed = passed(&stage, user, 8)? + passed(&stage, user, 8)?;
        ensure!(passed == 10, "{passed} of 10 passed for {user}");
    }
    let counted: Vec<usize> = shards.iter().map(Shard::counters).collect::<Result<_>>()?;
    ensure!(
        counted.iter().sum::<usize>() == users.len() + 1,
        "each is counted once: {counted:?}"
    );
    let told = stage.client.run("curl", &["-sSi", "-H", &users[0], URL])?.out;
    let told = told.to_ascii_lowercase();
    for header in [
        "http/1.1 429",
        "ratelimit-limit: 10",
        "ratelimit-remaining: 0",
        "ratelimit-reset: ",
    ] {
        ensure!(told.contains(header), "no {header} in {told}");
    }

    // Killed, and back: nobody gets anything twice.
    shards.iter_mut().for_each(|shard| shard.process.kill());
    let free = stage.until("an answer without a service", &["-H", &users[0], URL], |a| {
        a.status == "200"
    });
    free.context("the failure mode Open lets requests pass")?;
    limit(lab, "Closed")?;
    stage
        .until("a refusal without a service", &["-H", &users[0], URL], |a| {
            a.status == "500"
        })
        .context("the failure mode Closed lets nothing pass")?;
    for shard in &mut shards {
        shard.process = run(lab, &shard.pod, shard.number)?;
        shard.wait_ready()?;
    }
    for user in &users {
        stage.until("the service's answer", &["-H", user, URL], |a| a.status == "429")?;
        let passed = passed(&stage, user, 4)?;
        ensure!(passed == 0, "{passed} more passed for {user} after a crash");
    }
    // The limit is raised while everything runs.
    policy(lab, "Closed", 12)?;
    let user = &users[1];
    stage.until("more room", &["-H", user, URL], |a| a.status == "200")?;
    let more = 1 + passed(&stage, user, 5)?;
    ensure!(more == 2, "{more} more passed, not 2");
    Ok(())
}

fn passed(stage: &Stage, user: &str, requests: usize) -> Result<usize> {
    let mut passed = 0;
    for _ in 0..requests {
        let answer = stage.get(&["-H", user, URL])?;
        ensure!(["200", "429"].contains(&answer.status.as_str()), "{answer:?}");
        passed += usize::from(answer.status == "200");
    }
    Ok(passed)
}

fn limit(lab: &Lab, failure_mode: &str) -> Result<()> {
    policy(lab, failure_mode, 10)
}

fn policy(lab: &Lab, failure_mode: &str, requests: u32) -> Result<()> {
    // A machine that is busy is no reason to think that nobody answers.
    let text = format!(
        "
apiVersion: lateen.dev/v1alpha1
kind: RateLimitPolicy
metadata: {{name: app, namespace: shop}}
spec:
  targetRefs: [{{group: '', kind: Service, name: app}}]
  global:
    limits: [{{name: users, by: [{{key: user, header: x-user}}], requests: {requests}, unit: Year}}]
    failureMode: {failure_mode}
    timeout: 5s
"
    );
    lab.config().write("quota.yaml", &text)
}

/// The Service, and a shard on each node.
fn start(lab: &mut Lab) -> Result<Vec<Shard>> {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {NAME}, namespace: {ROOT}}}\nspec:\n  clusterIP: 10.96.3.200\n  selector: {{app: {NAME}}}\n  ports: [{{name: grpc, port: 8081}}]\n"
    );
    lab.config().write("service-ratelimit.yaml", &text)?;
    let mut pods = Vec::new();
    for n in 0..2 {
        let spec = PodSpec::new(ROOT, &format!("{NAME}-{n}"), n)
            .label("app", NAME)
            .label("networking.istio.io/tunnel", "http")
            .service_account(NAME);
        pods.push(lab.start_pod(&spec)?);
    }
    let list: Vec<String> = pods
        .iter()
        .map(|pod| format!("{}={}", pod.spec().name, pod.v4()))
        .collect();
    std::fs::write(lab.dir().join(LIST), list.join(","))?;
    let mut shards = Vec::new();
    for (number, pod) in pods.into_iter().enumerate() {
        let process = run(lab, &pod, number)?;
        shards.push(Shard { pod, process, number });
    }
    shards.iter_mut().try_for_each(Shard::wait_ready)?;
    Ok(shards)
}

fn run(lab: &Lab, pod: &Pod, number: usize) -> Result<Process> {
    let name = &pod.spec().name;
    let dir = lab.dir().join("quota").join(name);
    std::fs::create_dir_all(&dir)?;
    let token = dir.join("token");
    std::fs::write(&token, lab.pod_token(pod, "1h")?)?;
    let mut command = pod.command(lab.products().path("lateen-controlplane"));
    command
        .arg("ratelimit")
        .arg("--data-dir")
        .arg(dir.join("data"))
        .arg("--shards")
        .arg(std::fs::read_to_string(lab.dir().join(LIST))?)
        .args(["--shard", name])
        .args(["--pod", name])
        .args(["--node", &node_name(number)])
        .args(["--address", &pod.v4().to_string()])
        .arg("--root")
        .arg(lab.root_certificate())
        .arg("--token")
        .arg(&token);
    pod.spawn_command("ratelimit", command)
}

impl Shard {
    fn wait_ready(&mut self) -> Result<()> {
        let inside = self.pod.namespace().clone();
        let ready = || {
            let url = "http://127.0.0.1:15021/healthz/ready";
            inside.output("curl", &["-sf", url]).ok()
        };
        self.process
            .wait_until("its readiness", Duration::from_secs(60), ready)
            .map(drop)
    }

    /// Its page says so as every other proxy's does.
    fn holds_a_certificate(&self) -> Result<()> {
        let url = "http://127.0.0.1:15000/certificates";
        let page = || {
            let page = self.pod.namespace().output("curl", &["-sf", url]).ok()?;
            let held: serde_json::Value = serde_json::from_str(&page).ok()?;
            let own = format!("spiffe://cluster.local/ns/{ROOT}/sa/{NAME}");
            let held = held.as_array()?.iter().find(|held| held["identity"] == own)?;
            (held["state"] == "Available" && held["expirationTime"].is_string()).then_some(())
        };
        lab::wait::until("its page names its certificate", LIMIT, page)
    }

    fn counters(&self) -> Result<usize> {
        let url = "http://127.0.0.1:15000/counters?output=json";
        let page = self.pod.namespace().output("curl", &["-sf", url])?;
        let counters: serde_json::Value = serde_json::from_str(&page)?;
        Ok(counters.as_array().context("a list")?.len())
    }
}

const URL: &str = "http://10.96.3.1/q";
const ROOT: &str = "istio-system";
const NAME: &str = "lateen-ratelimit";
const LIST: &str = "shards";
