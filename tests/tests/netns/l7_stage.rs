//! A waypoint, an application behind it in two versions, and somebody who asks.

use anyhow::{Context, Result, ensure};
use lab::config::PodSpec;
use lab::lab::Waypoint;
use lab::process::Process;
use lab::{Lab, Pod};

use crate::client::LIMIT;
use crate::party::{ENROLLED, namespaces};

/// Everything that most tests of requests need.
pub(crate) struct Stage {
    pub(crate) client: Pod,
    pub(crate) apps: Vec<App>,
    pub(crate) waypoint: Waypoint,
}

/// An application: HTTP, gRPC and WebSocket on port 8080, an echo on 9000.
pub(crate) struct App {
    pub(crate) pod: Pod,
    _servers: [Process; 2],
}

/// What `curl` was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status; `000` where there was none.
    pub(crate) status: String,
    /// Who says that it was them; empty where nobody does.
    pub(crate) by: String,
    /// What was said.
    pub(crate) text: String,
}

impl Stage {
    /// The client on the first node; `app-v1`, `app-v2` and a waypoint pod on the second; a Service `app` that is bound
    /// by its own label, and one for each version that is not.
    pub(crate) fn set(lab: &mut Lab) -> Result<Self> {
        let stage = Self::unbound(lab, "service", &[1])?;
        service(lab, "app", APP, "app: app", USE)?;
        stage.served(lab)?;
        Ok(stage)
    }

    /// The same, and nothing is bound yet.
    pub(crate) fn unbound(lab: &mut Lab, traffic: &str, nodes: &[usize]) -> Result<Self> {
        namespaces(lab)?;
        gateway(lab, WAYPOINT, traffic)?;
        service(lab, "app", APP, "app: app", "")?;
        let apps = vec![App::start(lab, "app-v1", 1)?, App::start(lab, "app-v2", 1)?];
        for (n, app) in apps.iter().enumerate() {
            let name = &app.pod.spec().name;
            service(
                lab,
                name,
                &format!("10.96.3.{}", n + 2),
                &format!("name: {name}"),
                "",
            )?;
        }
        let client = lab.start_pod(&PodSpec::new(ENROLLED, "client", 0))?;
        let waypoint = lab.start_waypoint(&gateway_file(WAYPOINT), WAYPOINT_VIP, nodes)?;
        Ok(Self {
            client,
            apps,
            waypoint,
        })
    }

    /// Waits until requests to the Service pass the waypoint and are answered.
    pub(crate) fn served(&self, lab: &Lab) -> Result<()> {
        lab.nodes()[0].wait_for_config("the waypoint of app", |dump| {
            let mut services = dump["services"].as_array().into_iter().flatten();
            services.any(|s| s["name"] == "app" && !s["waypoint"].is_null())
        })?;
        self.until("an answer", &["http://10.96.3.1/"], |a| a.status == "200")
            .map(drop)
    }

    /// Waits until an answer is as it should be.
    pub(crate) fn until(
        &self,
        what: &str,
        arguments: &[&str],
        right: impl Fn(&Answer) -> bool,
    ) -> Result<Answer> {
        let mut last = None;
        let found = lab::wait::until(what, LIMIT, || {
            let answer = self.get(arguments).ok()?;
            last = Some(answer.clone());
            right(&answer).then_some(answer)
        });
        found.with_context(|| format!("the last answer was {last:?}"))
    }

    /// The same requests again and again until all answers of one turn are right: for what a single answer can be by chance.
    pub(crate) fn until_all(
        &self,
        what: &str,
        arguments: &[&str],
        right: impl Fn(&Answer) -> bool,
    ) -> Result<()> {
        let mut last = None;
        let found = lab::wait::until(what, LIMIT, || {
            let answers = self.get_all(arguments).ok()?;
            let settled = answers.iter().all(&right);
            last = Some(answers);
            settled.then_some(())
        });
        found.with_context(|| format!("the last answers were {last:?}"))
    }

    /// One request, by `curl` in the client's pod.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Answer> {
        let all = self.get_all(arguments)?;
        ensure!(all.len() == 1, "{} answers to {arguments:?}", all.len());
        all.into_iter().next().context("an answer")
    }

    /// Several requests, as many as the URLs of the arguments mean.
    pub(crate) fn get_all(&self, arguments: &[&str]) -> Result<Vec<Answer>> {
        let limit = LIMIT.as_secs().to_string();
        let common = ["-sS", "--max-time", &limit, "-w", CURL_SAYS];
        let said = self.client.run("curl", &[&common, arguments].concat())?;
        let mut answers = Vec::new();
        let mut text = String::new();
        for line in said.out.lines() {
            match line.strip_prefix(MARK) {
                None => text += &format!("{}\n", line.trim_end()),
                Some(summary) => {
                    let (status, by) = summary.split_once(' ').unwrap_or((summary, ""));
                    answers.push(Answer {
                        status: status.to_owned(),
                        by: by.to_owned(),
                        text: std::mem::take(&mut text),
                    });
                }
            }
        }
        ensure!(!answers.is_empty(), "curl {arguments:?}: {}", said.err);
        if let Some(failed) = answers.iter_mut().find(|a| a.status == "000") {
            failed.text += &said.err;
        }
        Ok(answers)
    }
}

impl App {
    /// Starts one; its Services select it by `app: app` and by `name`.
    pub(crate) fn start(lab: &mut Lab, name: &str, node: usize) -> Result<Self> {
        Self::of(lab, &PodSpec::new(ENROLLED, name, node))
    }

    /// Starts one as specified.
    pub(crate) fn of(lab: &mut Lab, spec: &PodSpec) -> Result<Self> {
        let name = spec.name.clone();
        let spec = spec.clone().label("app", "app").label("name", &name);
        let pod = lab.start_pod(&spec)?;
        let program = lab.products().path("lab-app");
        let mut web = pod.spawn("web", &program, &["web", "--name", &name])?;
        let log = web.log_path().to_owned();
        web.wait_until("its port", LIMIT, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            said.contains("serving\n").then_some(())
        })?;
        let echo = pod.serve(lab.products(), &["--tcp", "9000"])?;
        Ok(Self {
            pod,
            _servers: [web, echo],
        })
    }
}

/// Writes the Gateway of a waypoint.
pub(crate) fn gateway(lab: &Lab, name: &str, traffic: &str) -> Result<()> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: {name}\n  namespace: {ENROLLED}\n  labels: {{istio.io/waypoint-for: {traffic}}}\nspec:\n  gatewayClassName: istio-waypoint\n  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]\n"
    );
    lab.config().write(&gateway_file(name), &text)
}

pub(crate) fn gateway_file(name: &str) -> String {
    format!("gateway-{name}.yaml")
}

/// Writes a Service with HTTP on port 80, gRPC on 9090 and an echo on 9000.
pub(crate) fn service(lab: &Lab, name: &str, vip: &str, selector: &str, labels: &str) -> Result<()> {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {ENROLLED}\n  labels: {{{labels}}}\nspec:\n  clusterIP: {vip}\n  selector: {{{selector}}}\n  ports:\n  - {{name: http, port: 80, targetPort: 8080}}\n  - {{name: grpc, port: 9090, targetPort: 8080}}\n  - {{name: tcp-echo, port: 9000}}\n"
    );
    lab.config()
        .write(&format!("service-{ENROLLED}-{name}.yaml"), &text)
}

pub(crate) const WAYPOINT: &str = "waypoint";
pub(crate) const USE: &str = "istio.io/use-waypoint: waypoint";
/// The addresses of the Services `app` and `waypoint`.
pub(crate) const APP: &str = "10.96.3.1";
pub(crate) const WAYPOINT_VIP: &str = "10.96.3.100";
const MARK: &str = "==> ";
const CURL_SAYS: &str = "\n==> %{http_code} %header{x-served-by}\n";
