//! What each CNI command does.
//!
//! ADD fails unless the agent says that the pod is in order: an absent, silent or refusing agent is an error with a
//! reason, never a pod outside the mesh. Only the mesh's own pods, which the agent needs, start without it. DEL always succeeds: the agent finds out by itself what is gone.

use crate::agent::{self, AgentError, Answer};
use crate::event::{AddEvent, Event, GcEvent, SandboxEvent};
use crate::spec::{CniError, CniVersion, Command, Environment, ErrorCode, NetworkConfig, PodArgs, Sandbox};

/// What the process says and how it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// For standard output: a result or an error of the specification.
    pub stdout: String,
    /// For standard error: what people should know though the command succeeded.
    pub stderr: String,
    /// Whether the command succeeded (exit code 0, else 1).
    pub success: bool,
}

/// Asks the agent; a parameter so that tests need no socket.
pub trait Ask {
    /// Sends an event and waits for the answer.
    ///
    /// # Errors
    /// Fails when there is no answer.
    fn ask(&self, config: &NetworkConfig, event: &Event) -> Result<Answer, AgentError>;
}

/// The agent on its socket.
#[derive(Clone, Copy, Debug)]
pub struct OnSocket;

impl Ask for OnSocket {
    fn ask(&self, config: &NetworkConfig, event: &Event) -> Result<Answer, AgentError> {
        agent::ask(&config.agent_socket, event, config.agent_timeout)
    }
}

/// Does what the runtime asks for.
pub fn run(environment: &Environment, input: &[u8], agent: &impl Ask) -> Output {
    let command = match Command::from_environment(environment) {
        Ok(command) => command,
        Err(error) => return Output::error(&error, CniVersion::NEWEST),
    };
    match command {
        Command::Version => version(input),
        Command::Del => {
            let quiet = NetworkConfig::parse(input).and_then(|config| del(&config, environment, agent));
            Output::success(String::new(), quiet.err())
        }
        Command::Add | Command::Check | Command::Gc | Command::Status => {
            let config = match NetworkConfig::parse(input) {
                Ok(config) => config,
                Err(error) => return Output::error(&error, CniVersion::NEWEST),
            };
            match answer(command, &config, environment, agent) {
                Ok(stdout) => Output::success(stdout, None),
                Err(error) => Output::error(&error, config.version),
            }
        }
    }
}

fn answer(
    command: Command,
    config: &NetworkConfig,
    environment: &Environment,
    agent: &impl Ask,
) -> Result<String, CniError> {
    if config.version < command.since() {
        let message = format!(
            "cniVersion {} has no {command:?} command",
            config.version.as_str()
        );
        return Err(CniError::new(
            ErrorCode::IncompatibleVersion,
            message.replace("Gc", "GC"),
        ));
    }
    match command {
        Command::Add => add(config, environment, agent),
        Command::Check => check(config, environment, agent).map(|()| String::new()),
        Command::Gc => gc(config, agent).map(|()| String::new()),
        Command::Status => status(config, agent).map(|()| String::new()),
        Command::Del | Command::Version => Ok(String::new()),
    }
}

fn add(config: &NetworkConfig, environment: &Environment, agent: &impl Ask) -> Result<String, CniError> {
    let sandbox = Sandbox::from_environment(environment)?;
    let (previous, ips) = config.previous()?;
    // What was there is handed on as it is; alone, this plugin adds no interface and no address.
    let result = previous.map_or_else(
        || serde_json::json!({ "cniVersion": config.version.as_str() }).to_string(),
        |previous| previous.get().to_owned(),
    );
    let netns = sandbox
        .netns
        .ok_or_else(|| CniError::new(ErrorCode::InvalidEnvironment, "CNI_NETNS is missing"))?;
    let pod = sandbox.pod.ok_or_else(|| {
        CniError::new(
            ErrorCode::InvalidEnvironment,
            "CNI_ARGS names no pod (K8S_POD_NAMESPACE and K8S_POD_NAME): whether it belongs to the mesh is unknown",
        )
    })?;
    if config.exempt.holds(&pod.namespace, &pod.name) {
        return Ok(result);
    }
    let event = Event::Add(AddEvent {
        netns,
        pod_name: pod.name,
        pod_namespace: pod.namespace,
        ips,
        pod_uid: pod.uid,
        container_id: Some(sandbox.container_id),
    });
    accepted(agent.ask(config, &event))?;
    Ok(result)
}

fn check(config: &NetworkConfig, environment: &Environment, agent: &impl Ask) -> Result<(), CniError> {
    let sandbox = Sandbox::from_environment(environment)?;
    config.previous()?;
    let exempt = |pod: &PodArgs| config.exempt.holds(&pod.namespace, &pod.name);
    if sandbox.pod.as_ref().is_some_and(exempt) {
        return Ok(());
    }
    accepted(agent.ask(config, &Event::Check(sandbox_event(sandbox))))
}

fn del(config: &NetworkConfig, environment: &Environment, agent: &impl Ask) -> Result<(), CniError> {
    let sandbox = Sandbox::from_environment(environment)?;
    accepted(agent.ask(config, &Event::Del(sandbox_event(sandbox))))
}

fn gc(config: &NetworkConfig, agent: &impl Ask) -> Result<(), CniError> {
    let valid_container_ids = config.valid_attachments.clone().ok_or_else(|| {
        CniError::new(
            ErrorCode::InvalidConfig,
            "cni.dev/valid-attachments is missing: without it every pod would count as gone",
        )
    })?;
    accepted(agent.ask(config, &Event::Gc(GcEvent { valid_container_ids })))
}

fn status(config: &NetworkConfig, agent: &impl Ask) -> Result<(), CniError> {
    accepted(agent.ask(config, &Event::Status))
        .map_err(|error| CniError::new(ErrorCode::NotAvailable, error.message))
}

fn version(input: &[u8]) -> Output {
    #[derive(serde::Deserialize)]
    struct Request {
        #[serde(rename = "cniVersion")]
        cni_version: String,
    }
    // The version of the request is echoed (section 4, "VERSION"); runtimes that send none get the newest.
    let asked = serde_json::from_slice::<Request>(input);
    let asked = asked.map_or_else(
        |_| CniVersion::NEWEST.as_str().to_owned(),
        |request| request.cni_version,
    );
    let supported = CniVersion::ALL.map(CniVersion::as_str);
    let result = serde_json::json!({ "cniVersion": asked, "supportedVersions": supported });
    Output::success(result.to_string(), None)
}

fn accepted(answer: Result<Answer, AgentError>) -> Result<(), CniError> {
    match answer {
        Ok(Answer { status: 200, .. }) => Ok(()),
        // 503 Service Unavailable: the control plane or ztunnel is away.
        Ok(Answer { status: 503, text }) => Err(CniError::new(ErrorCode::TryAgainLater, text)),
        Ok(Answer { status, text }) if text.is_empty() => {
            let message = format!("the node agent refused with status {status}");
            Err(CniError::new(ErrorCode::Refused, message))
        }
        Ok(Answer { text, .. }) => Err(CniError::new(ErrorCode::Refused, text)),
        Err(error) => Err(CniError::new(ErrorCode::TryAgainLater, error.to_string())),
    }
}

fn sandbox_event(sandbox: Sandbox) -> SandboxEvent {
    let (pod_namespace, pod_name, pod_uid) = match sandbox.pod {
        Some(pod) => (Some(pod.namespace), Some(pod.name), pod.uid),
        None => (None, None, None),
    };
    SandboxEvent {
        container_id: sandbox.container_id,
        netns: sandbox.netns,
        pod_name,
        pod_namespace,
        pod_uid,
    }
}

// === impl Output ===

impl Output {
    fn success(stdout: String, note: Option<CniError>) -> Self {
        Self {
            stdout,
            stderr: note.map(|note| note.to_string()).unwrap_or_default(),
            success: true,
        }
    }

    fn error(error: &CniError, version: CniVersion) -> Self {
        Self {
            stdout: error.to_json(version),
            stderr: String::new(),
            success: false,
        }
    }
}

#[cfg(test)]
mod tests;
