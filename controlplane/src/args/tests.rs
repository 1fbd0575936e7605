use clap::CommandFactory;
use controlplane_index::waypoint::deployment::PodUser;

use super::*;

fn parse(line: &str) -> Result<CommandLine, String> {
    CommandLine::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())
}

#[test]
fn the_definition_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn serve_is_the_default() {
    let named = parse("lateen-controlplane serve --config-dir c --state-dir s").unwrap();
    let bare = parse("lateen-controlplane --config-dir c --state-dir s").unwrap();
    let Some(Command::Serve(named)) = named.command else {
        panic!("serve was named");
    };
    let bare = bare.serve.unwrap();
    assert_eq!(format!("{named:?}"), format!("{bare:?}"));
    assert_eq!(bare.listen, "[::]:15012".parse().unwrap());
    assert_eq!(bare.lease, Duration::from_secs(30));
}

#[test]
fn a_token_needs_an_account_and_a_node() {
    let line =
        "lateen-controlplane token --state-dir s --service-account istio-system/ztunnel --node a --ttl 30d";
    let Some(Command::Token(args)) = parse(line).unwrap().command else {
        panic!("token was named");
    };
    assert_eq!(args.ttl, Duration::from_secs(30 * 24 * 3600));
    assert!(
        parse("lateen-controlplane token --state-dir s --service-account a/b")
            .unwrap_err()
            .contains("--node")
    );
    for wrong in [
        "--service-account a",
        "--service-account a/B",
        "--ttl 0s",
        "--ttl 400d",
        "--node a/b",
        "--pod p",
    ] {
        assert!(parse(&format!("{line} {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn waypoints_are_what_their_cluster_takes() {
    let line = "lateen-controlplane serve --state-dir s --source kube --waypoint-image i";
    let settings = |more: &str| {
        let parsed = parse(&format!("{line} {more}")).unwrap();
        let Some(Command::Serve(args)) = parsed.command else {
            panic!("serve was named");
        };
        args.waypoints().expect("there is an image")
    };
    let plain = settings("--waypoint-image-pull-secret=");
    assert_eq!(plain.user, PodUser::Upstreams);
    assert_eq!(plain.image_pull_secrets, Vec::<Strng>::new());
    let there = settings("--waypoint-platform=openshift --waypoint-image-pull-secret=a,b");
    assert_eq!(there.user, PodUser::Assigned);
    assert_eq!(there.image_pull_secrets, [Strng::from("a"), Strng::from("b")]);
    assert!(parse(&format!("{line} --waypoint-platform=openshfit")).is_err());
    // What the chart gives where it knows of none.
    assert_eq!(settings("--waypoint-platform=").user, PodUser::Upstreams);
}

#[test]
fn a_cluster_can_stand_in_for_the_files_or_beside_them() {
    let serve = |line: &str| parse(line).map(|line| line.serve.expect("serve is meant"));
    let files = serve("lateen-controlplane --config-dir c --state-dir s").unwrap();
    assert_eq!(files.access(), None);
    let both =
        serve("lateen-controlplane --config-dir c --state-dir s --source kube --kubeconfig k").unwrap();
    assert!(both.config_dir.is_some());
    let access = Access::Kubeconfig {
        path: Some("k".into()),
        context: None,
    };
    assert_eq!(both.access(), Some(access));
    let kube = serve("lateen-controlplane --state-dir s --source kube").unwrap();
    assert_eq!(kube.config_dir, None);
    let none = serve("lateen-controlplane --state-dir s").unwrap_err();
    assert!(none.contains("--config-dir"), "{none}");
}
