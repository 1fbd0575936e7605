use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    pairs.collect()
}

const POD: &str = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=6f6d";

fn sandbox(args: &str) -> Result<Sandbox, CniError> {
    Sandbox::from_environment(&environment(&[
        ("CNI_CONTAINERID", "c0ffee"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_ARGS", args),
    ]))
}

#[test]
fn a_sandbox_is_read_from_the_environment() {
    let sandbox = sandbox(POD).expect("valid");
    assert_eq!(sandbox.netns, Some("/run/netns/x".into()));
    let pod = sandbox.pod.expect("a pod");
    assert_eq!(
        (&*pod.namespace, &*pod.name, pod.uid.as_deref()),
        ("shop", "web-0", Some("6f6d"))
    );
}

#[test]
fn what_is_said_twice_counts_once() {
    let twice = sandbox(&format!("{POD};{POD}")).expect("valid");
    assert_eq!(twice.pod, sandbox(POD).expect("valid").pod);
    let other = sandbox(&format!("{POD};K8S_POD_UID=7f7e")).expect_err("two pods");
    assert_eq!(other.message, "CNI_ARGS has two different values of K8S_POD_UID");
}

#[test]
fn what_the_specification_forbids_is_refused_by_name() {
    let base = [("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")];
    for (key, value) in [
        ("CNI_CONTAINERID", ""),
        ("CNI_CONTAINERID", "../etc"),
        ("CNI_CONTAINERID", "-x"),
        ("CNI_CONTAINERID", "a b"),
        ("CNI_IFNAME", ""),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "eth0/1"),
        ("CNI_IFNAME", "a-name-that-is-too-long"),
        ("CNI_ARGS", "no pairs"),
        ("CNI_ARGS", "K8S_POD_NAME=a"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=a"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_NAME=c"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=a/../b;K8S_POD_NAME=c"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=a;K8S_POD_NAME=\u{1b}[31m"),
    ] {
        let mut environment = environment(&base);
        environment.insert(key.to_owned(), value.to_owned());
        let error = Sandbox::from_environment(&environment).expect_err(value);
        assert_eq!(error.code, ErrorCode::InvalidEnvironment);
        assert!(error.message.starts_with(key), "{error}");
    }
    let unknown = Command::from_environment(&environment(&[("CNI_COMMAND", "ADDD")]));
    assert_eq!(
        unknown.expect_err("no command").code,
        ErrorCode::InvalidEnvironment
    );
}

#[test]
fn a_configuration_has_upstreams_keys_and_defaults() {
    let config =
        NetworkConfig::parse(br#"{"cniVersion":"1.0.0","name":"n","type":"lateen-cni"}"#).expect("valid");
    assert_eq!(config.version, CniVersion::V1_0_0);
    assert_eq!(
        config.agent_socket,
        PathBuf::from("/var/run/istio-cni/pluginevent.sock")
    );
    let other = br#"{"cniVersion":"0.3.1","cni_agent_run_dir":"/tmp/n1","agent_timeout_seconds":2}"#;
    let config = NetworkConfig::parse(other).expect("valid");
    assert_eq!(config.agent_socket, PathBuf::from("/tmp/n1/pluginevent.sock"));
    assert_eq!(config.agent_timeout, Duration::from_secs(2));
}

#[test]
fn a_bad_configuration_has_the_specifications_code() {
    for (input, code) in [
        (&b"{"[..], ErrorCode::Decode),
        (b"[]", ErrorCode::Decode),
        (br#"{"cniVersion":"0.2.0"}"#, ErrorCode::IncompatibleVersion),
        (br#"{"name":"n"}"#, ErrorCode::IncompatibleVersion),
        (
            br#"{"cniVersion":"1.0.0","cniVersion":"1.1.0"}"#,
            ErrorCode::Decode,
        ),
        (
            br#"{"cniVersion":"1.0.0","cni_agent_run_dir":"run"}"#,
            ErrorCode::InvalidConfig,
        ),
    ] {
        let error = NetworkConfig::parse(input).expect_err("bad");
        assert_eq!(error.code, code, "{error}");
    }
}

#[test]
fn addresses_come_from_the_previous_result() {
    let input = br#"{"cniVersion":"1.0.0","prevResult":{"ips":[
        {"address":"10.0.0.7/24","gateway":"10.0.0.1","interface":1},{"address":"fd00::7/64"}]}}"#;
    let config = NetworkConfig::parse(input).expect("valid");
    let (_, ips) = config.previous().expect("chained");
    let found: Vec<_> = ips
        .iter()
        .map(|ip| (ip.address.ip.to_string(), ip.address.prefix))
        .collect();
    assert_eq!(found, [("10.0.0.7".to_owned(), 24), ("fd00::7".to_owned(), 64)]);

    let bad = br#"{"cniVersion":"1.0.0","prevResult":{"ips":[{"address":"10.0.0.7/33"}]}}"#;
    let config = NetworkConfig::parse(bad).expect("valid so far");
    let error = config.previous().expect_err("33 bits");
    assert!(error.message.contains("10.0.0.7/33"), "{error}");

    let alone = NetworkConfig::parse(br#"{"cniVersion":"1.0.0"}"#).expect("valid so far");
    assert_eq!(
        alone.previous().expect_err("alone").code,
        ErrorCode::InvalidConfig
    );
}

#[test]
fn an_error_is_the_specifications_json() {
    let error = CniError::new(ErrorCode::TryAgainLater, "the \"agent\" is away");
    assert_eq!(
        error.to_json(CniVersion::V0_4_0),
        r#"{"cniVersion":"0.4.0","code":11,"msg":"the \"agent\" is away"}"#
    );
}

#[test]
fn alone_there_need_be_no_plugin_before() {
    let input = br#"{"cniVersion":"0.3.1","name":"istio-cni","chained":false}"#;
    let config = NetworkConfig::parse(input).expect("a configuration");
    let (previous, ips) = config.previous().expect("alone");
    assert!(previous.is_none() && ips.is_empty());
    let told = br#"{"cniVersion":"0.3.1","chained":false,"prevResult":{"ips":[{"address":"10.0.0.7/24"}]}}"#;
    let config = NetworkConfig::parse(told).expect("a configuration");
    assert_eq!(config.previous().expect("told").1.len(), 1);
}
