use std::cell::RefCell;
use std::path::Path;

use super::*;
use crate::fuzz;

/// An agent that gives one answer and remembers what it was asked.
struct Agent {
    answer: Option<Answer>,
    asked: RefCell<Vec<Event>>,
}

impl Agent {
    fn saying(status: u16, text: &str) -> Self {
        Self {
            answer: Some(Answer {
                status,
                text: text.to_owned(),
            }),
            asked: RefCell::default(),
        }
    }

    fn absent() -> Self {
        Self {
            answer: None,
            asked: RefCell::default(),
        }
    }
}

impl Ask for Agent {
    fn ask(&self, config: &NetworkConfig, event: &Event) -> Result<Answer, AgentError> {
        self.asked.borrow_mut().push(event.clone());
        self.answer.clone().ok_or_else(|| AgentError::Unreachable {
            path: config.agent_socket.display().to_string(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
}

fn environment(command: &str) -> Environment {
    let pairs = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c0ffee"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0"),
    ];
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// Odd spacing and unknown keys on purpose: they must come back as they are.
const PREVIOUS: &str = r#"{ "cniVersion":"1.0.0",  "interfaces":[{"name":"eth0","sandbox":"/run/netns/x"}],
  "ips":[{"address":"10.0.0.7/24","interface":0}], "dns": {}, "x-future": [1, 2] }"#;

fn config(version: &str) -> Vec<u8> {
    format!(r#"{{"cniVersion":"{version}","name":"n","type":"lateen-cni","prevResult":{PREVIOUS}}}"#)
        .into_bytes()
}

fn error(output: &Output) -> (u64, String) {
    assert!(!output.success);
    let json: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    (
        json["code"].as_u64().expect("a code"),
        json["msg"].as_str().expect("a message").to_owned(),
    )
}

#[test]
fn add_tells_the_agent_and_passes_the_previous_result_through() {
    for version in CniVersion::ALL {
        let agent = Agent::saying(200, "");
        let output = run(&environment("ADD"), &config(version.as_str()), &agent);
        assert_eq!(output, Output::success(PREVIOUS.to_owned(), None));
        let asked = agent.asked.take();
        let [Event::Add(event)] = &asked[..] else {
            panic!("one event, not {asked:?}");
        };
        assert_eq!((&*event.pod_namespace, &*event.pod_name), ("shop", "web-0"));
        assert_eq!(
            (event.ips.len(), event.container_id.as_deref()),
            (1, Some("c0ffee"))
        );
    }
}

#[test]
fn alone_it_adds_nothing_to_the_network_and_leaves_addresses_to_the_agent() {
    let config = br#"{"cniVersion":"0.3.1","name":"istio-cni","type":"istio-cni","chained":false}"#;
    let agent = Agent::saying(200, "");
    let output = run(&environment("ADD"), config, &agent);
    assert_eq!(
        output,
        Output::success(r#"{"cniVersion":"0.3.1"}"#.to_owned(), None)
    );
    let asked = agent.asked.take();
    assert!(
        matches!(&asked[..], [Event::Add(event)] if event.ips.is_empty()),
        "{asked:?}"
    );
    // Whoever forgot to chain it is told so.
    let forgotten = br#"{"cniVersion":"0.3.1","name":"n","type":"istio-cni"}"#;
    let (code, message) = error(&run(&environment("ADD"), forgotten, &Agent::saying(200, "")));
    assert!(
        code == 7 && message.contains("prevResult is missing"),
        "{code} {message}"
    );
}

#[test]
fn add_fails_closed() {
    for (agent, code, reason) in [
        (Agent::absent(), 11, "not running"),
        (Agent::saying(503, "control plane away"), 11, "control plane away"),
        (Agent::saying(500, "rules refused"), 100, "rules refused"),
        (Agent::saying(404, ""), 100, "status 404"),
    ] {
        let (found, message) = error(&run(&environment("ADD"), &config("1.0.0"), &agent));
        assert_eq!(found, code);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn the_meshs_own_pods_start_without_the_agent_and_nobody_else_does() {
    let run_as = |command: &str, pod: &str, extra: &str| {
        let mut environment = environment(command);
        let (namespace, name) = pod.split_once('/').expect("namespace/name");
        let args = format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}");
        environment.insert("CNI_ARGS".to_owned(), args);
        let config = format!(
            r#"{{"cniVersion":"1.0.0","name":"n","type":"lateen-cni",{extra}"prevResult":{PREVIOUS}}}"#
        );
        let agent = Agent::absent();
        let success = run(&environment, config.as_bytes(), &agent).success;
        // Whoever passes, passes without a question.
        assert_eq!(success, agent.asked.take().is_empty(), "{pod}");
        success
    };
    let ours = r#""pod_namespace":"istio-system","#;
    for pod in [
        "istio-cni-node-x7",
        "lateen-node-x7",
        "ztunnel-9sd2f",
        "istiod-1-2",
    ] {
        let pod = format!("istio-system/{pod}");
        assert!(run_as("ADD", &pod, ours), "{pod}");
        assert!(run_as("CHECK", &pod, ours), "{pod}");
        assert!(!run_as("ADD", &pod, ""), "{pod} without the namespace configured");
    }
    for pod in [
        "shop/ztunnel-9sd2f",
        "istio-system/ztunnel-",
        "istio-system/my-ztunnel-1",
        "istio-system/waypoint-1",
    ] {
        assert!(!run_as("ADD", pod, ours), "{pod}");
    }
    let listed = r#""pod_namespace":"mesh","exempt_pod_prefixes":["node-agent-"],"#;
    assert!(run_as("ADD", "mesh/node-agent-1", listed));
    assert!(!run_as("ADD", "mesh/ztunnel-1", listed));
}

#[test]
fn an_exemption_of_everything_is_refused() {
    let config =
        br#"{"cniVersion":"1.0.0","name":"n","type":"lateen-cni","pod_namespace":"a","exempt_pod_prefixes":[""]}"#;
    let (code, message) = error(&run(&environment("ADD"), config, &Agent::absent()));
    assert_eq!(code, 7);
    assert!(message.contains("exempt_pod_prefixes"), "{message}");
}

#[test]
fn add_never_succeeds_without_asking() {
    let yes = Agent::saying(200, "");
    let mut podless = environment("ADD");
    podless.remove("CNI_ARGS");
    assert_eq!(error(&run(&podless, &config("1.0.0"), &yes)).0, 4);
    let mut homeless = environment("ADD");
    homeless.remove("CNI_NETNS");
    assert_eq!(error(&run(&homeless, &config("1.0.0"), &yes)).0, 4);
    let alone = br#"{"cniVersion":"1.0.0","name":"n"}"#;
    assert_eq!(error(&run(&environment("ADD"), alone, &yes)).0, 7);
    assert!(yes.asked.take().is_empty());
}

#[test]
fn del_always_succeeds() {
    for (environment, input, agent) in [
        (environment("DEL"), config("1.0.0"), Agent::saying(200, "")),
        (environment("DEL"), config("1.0.0"), Agent::absent()),
        (environment("DEL"), b"no json".to_vec(), Agent::absent()),
        (
            [("CNI_COMMAND".to_owned(), "DEL".to_owned())].into(),
            config("9.9.9"),
            Agent::absent(),
        ),
    ] {
        let output = run(&environment, &input, &agent);
        assert!(output.success && output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn commands_exist_from_their_version_on() {
    let yes = || Agent::saying(200, "");
    assert_eq!(error(&run(&environment("CHECK"), &config("0.3.1"), &yes())).0, 1);
    assert!(run(&environment("CHECK"), &config("0.4.0"), &yes()).success);
    for command in ["GC", "STATUS"] {
        assert_eq!(error(&run(&environment(command), &config("1.0.0"), &yes())).0, 1);
    }
    assert!(run(&environment("STATUS"), &config("1.1.0"), &yes()).success);
    let away = run(&environment("STATUS"), &config("1.1.0"), &Agent::absent());
    assert_eq!(error(&away).0, 50);
}

#[test]
fn gc_needs_the_list_of_what_is_valid() {
    let agent = Agent::saying(200, "");
    assert_eq!(error(&run(&environment("GC"), &config("1.1.0"), &agent)).0, 7);
    let input =
        br#"{"cniVersion":"1.1.0","cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}]}"#;
    assert!(run(&environment("GC"), input, &agent).success);
    let valid_container_ids = vec!["a".to_owned()];
    assert_eq!(agent.asked.take(), [Event::Gc(GcEvent { valid_container_ids })]);
}

#[test]
fn version_lists_what_is_spoken() {
    let output = run(
        &environment("VERSION"),
        br#"{"cniVersion":"0.4.0"}"#,
        &Agent::absent(),
    );
    assert_eq!(
        output.stdout,
        r#"{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0","1.0.0","1.1.0"]}"#
    );
}

#[test]
fn fuzz_everything_from_outside() {
    fuzz_over("event", fuzz::event);
    fuzz_over("call", fuzz::call);
    fuzz_over("answer", fuzz::answer);
}

fn fuzz_over(name: &str, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let corpus = mesh_types::fuzzing::corpus(&dir);
    for input in mesh_types::fuzzing::mutations(&corpus, 7, 20_000) {
        target(&input);
    }
}
