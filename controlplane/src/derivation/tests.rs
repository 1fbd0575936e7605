use clap::Parser;

use super::*;
use crate::args::CommandLine;
use crate::config::files::ConfigFiles;
use crate::config::scan::FileName;

const LOST: &str = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: lost, namespace: shop}, \
    spec: {parentRefs: [{group: '', kind: Service, name: nobody}]}}\n";

#[test]
fn authors_are_warned_once_of_what_is_new() {
    let line = ["lateen-controlplane", "--config-dir", "c", "--state-dir", "s"];
    let args = CommandLine::try_parse_from(line).unwrap().serve.unwrap();
    let mut derivation = Derivation::new(&args);
    let mut files = ConfigFiles::default();
    let mut told = |file: &str, text: &str| {
        files.update(&FileName::new(file), text);
        derivation.apply(files.take_changes());
        let warnings = derivation.take_warnings().into_iter();
        warnings
            .map(|w| format!("{}: {}", w.object.reference(), w.text))
            .collect::<Vec<_>>()
    };
    let lost = "HTTPRoute shop/lost: spec.parentRefs[0]: there is no Service shop/nobody";
    assert_eq!(told("a.yaml", LOST), [lost]);
    // The same is said of another content of it: nothing is new.
    assert_eq!(
        told("a.yaml", &LOST.replace("]}}", "], rules: [{name: r}]}}")),
        [""; 0]
    );
    assert_eq!(
        told("b.yaml", &LOST.replace("name: lost", "name: other")).len(),
        1
    );
    assert_eq!(told("a.yaml", ""), [""; 0]);
    // It was gone in between.
    assert_eq!(told("a.yaml", LOST), [lost]);
}
