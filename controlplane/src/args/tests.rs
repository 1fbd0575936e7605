use clap::CommandFactory;

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
