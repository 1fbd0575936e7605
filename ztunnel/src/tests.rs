use super::*;

fn parse(arguments: &[&str]) -> Result<Option<Command>, clap::Error> {
    let arguments = std::iter::once("ztunnel").chain(arguments.iter().copied());
    Ok(Arguments::try_parse_from(arguments)?.command)
}

/// `args: ["proxy", "ztunnel"]` in Istio's DaemonSet, `proxy` in older ones, nothing by hand.
#[test]
fn it_starts_from_the_manifests_of_istio() {
    assert!(matches!(parse(&[]), Ok(None)));
    assert!(matches!(
        parse(&["proxy"]),
        Ok(Some(Command::Proxy { kind: None }))
    ));
    let kind = Some(ProxyKind::Ztunnel);
    assert!(matches!(parse(&["proxy", "ztunnel"]), Ok(Some(Command::Proxy { kind: k })) if k == kind));
    assert!(parse(&["proxy", "sidecar"]).is_err());
}
