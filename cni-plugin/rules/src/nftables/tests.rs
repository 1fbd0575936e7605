//! Golden files, and what the machine's `nft` and kernel say to them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mesh_net::process::in_namespaces;

use crate::audit;
use crate::plan::{HostOptions, PodOptions, host, leaving_pod, pod};
use crate::rule::{InterfaceName, Ruleset};
use crate::{nftables, text};

fn cases() -> Vec<(&'static str, Ruleset)> {
    let default = PodOptions::default();
    let virt = vec![InterfaceName::new("k6t-eth0").expect("valid")];
    let pods = ["10.0.0.7", "10.0.0.12", "fd00::7"].map(|ip| ip.parse().expect("an address"));
    vec![
        ("pod", pod(&default)),
        (
            "pod-ingress",
            pod(&PodOptions {
                bypass_inbound_capture: true,
                ..default.clone()
            }),
        ),
        (
            "pod-dns-and-virtual-interfaces",
            pod(&PodOptions {
                dns_capture: true,
                reroute_virtual_interfaces: virt,
                ..default
            }),
        ),
        ("host-without-pods", host(&HostOptions::default())),
        (
            "host",
            host(&HostOptions {
                pods: pods.into(),
                ..HostOptions::default()
            }),
        ),
        ("pod-leaving", leaving_pod()),
        ("removed", Ruleset::empty()),
    ]
}

/// `LATEEN_UPDATE=1` rewrites the golden files; read the difference before committing it.
#[test]
fn rules_are_those_of_the_golden_files() {
    for (name, ruleset) in cases() {
        let rendered = text::render(&ruleset);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.nft"));
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            fs::write(&path, &rendered).expect("the golden file can be written");
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(rendered, golden, "{} differs", path.display());
    }
}

#[test]
fn nft_accepts_both_forms_and_lists_what_was_wanted() {
    in_namespaces(|| {
        for (name, ruleset) in cases() {
            nft(&["flush", "ruleset"], "");
            let text = text::render(&ruleset);
            let json = nftables::transaction(&ruleset);
            nft(&["-c", "-f", "-"], &text);
            nft(&["-c", "-j", "-f", "-"], &json);

            nft(&["-f", "-"], &text);
            let from_text = nft(&["-j", "list", "ruleset"], "");
            nft(&["flush", "ruleset"], "");
            nft(&["-j", "-f", "-"], &json);
            let from_json = nft(&["-j", "list", "ruleset"], "");
            for listing in [from_text, from_json] {
                let findings = audit::compare(&ruleset, listing.as_bytes()).expect("nft's JSON");
                assert_eq!(findings, [], "{name}");
            }

            // Applied twice nothing changes, and what was there before is replaced whole.
            nft(&["-j", "-f", "-"], &json);
            let again = nft(&["-j", "list", "ruleset"], "");
            assert_eq!(
                audit::compare(&ruleset, again.as_bytes()),
                Ok(Vec::new()),
                "{name}"
            );
        }
    });
}

#[test]
fn whatever_was_there_is_replaced_and_foreign_tables_stay() {
    in_namespaces(|| {
        nft(&["add table inet theirs"], "");
        let mut before = None;
        for (name, ruleset) in cases() {
            nft(&["-j", "-f", "-"], &nftables::transaction(&ruleset));
            let listing = nft(&["-j", "list", "ruleset"], "");
            assert!(listing.contains("theirs"), "{name}");
            if name.starts_with("pod") || name == "removed" {
                assert_eq!(
                    audit::compare(&ruleset, listing.as_bytes()),
                    Ok(Vec::new()),
                    "{name}"
                );
            }
            assert_ne!(before, Some(listing.clone()), "{name}");
            before = Some(listing);
        }
    });
}

#[test]
fn tampering_is_found() {
    in_namespaces(|| {
        let ruleset = pod(&PodOptions::default());
        let json = nftables::transaction(&ruleset);
        for tampering in [
            "flush ruleset",
            "delete table inet istio-ambient-nat",
            "flush chain inet istio-ambient-mangle output",
            "add rule inet istio-ambient-nat output accept",
            "insert rule inet istio-ambient-nat output accept",
            "add chain inet istio-ambient-nat x",
            "add table inet istio-ambient-raw",
            "chain inet istio-ambient-nat output { policy drop; }",
        ] {
            nft(&["-j", "-f", "-"], &json);
            nft(&[tampering], "");
            let listing = nft(&["-j", "list", "ruleset"], "");
            let findings = audit::compare(&ruleset, listing.as_bytes()).expect("nft's JSON");
            assert!(!findings.is_empty(), "{tampering}");
        }
    });
}

fn nft(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft (package nftables) is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("nft reads");
    drop(stdin);
    let output = child.wait_with_output().expect("nft ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {arguments:?}: {stderr}\n{input}");
    String::from_utf8(output.stdout).expect("text")
}
