use super::*;

fn wanted() -> Wanted {
    Wanted {
        place: Place::Primary,
        primary: None,
        entry: Entry {
            run_dir: "/var/run/istio-cni".to_owned(),
            pod_namespace: Some("istio-system".to_owned()),
            exempt_prefixes: None,
            timeout_seconds: None,
        },
        group_readable: false,
    }
}

fn own(name: &str) -> Wanted {
    Wanted {
        place: Place::OwnFile(name.to_owned()),
        ..wanted()
    }
}

fn found(files: &[(&str, &str)]) -> Found {
    let file = |content: &str| File {
        content: content.as_bytes().to_vec(),
        mode: 0o644,
    };
    files
        .iter()
        .map(|(name, content)| ((*name).to_owned(), file(content)))
        .collect()
}

/// As a directory would be afterwards.
fn after(mut found: Found, steps: Vec<Step>) -> Found {
    for step in steps {
        match step {
            Step::Write { name, content, mode } => drop(found.insert(name, File { content, mode })),
            Step::Remove { name } => drop(found.remove(&name)),
        }
    }
    found
}

fn json_of(found: &Found, name: &str) -> Value {
    serde_json::from_slice(&found[name].content).expect("JSON")
}

fn types(found: &Found, name: &str) -> Vec<String> {
    let list = json_of(found, name);
    let plugins = list["plugins"].as_array().expect("plugins");
    plugins
        .iter()
        .map(|p| p["type"].as_str().expect("a type").to_owned())
        .collect()
}

const KINDNET: &str = r#"{"cniVersion":"0.3.1","name":"kindnet","plugins":[
    {"type":"ptp","ipMasq":false,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.0.0/24"}]]},"mtu":1500},
    {"type":"portmap","capabilities":{"portMappings":true}}]}"#;
const SINGLE: &str = r#"{"cniVersion":"0.2.0","name":"cbr0","type":"bridge","ipam":{"type":"host-local"}}"#;

#[test]
fn the_plugin_is_the_last_of_the_list_that_the_runtime_takes() {
    let before = found(&[
        ("10-kindnet.conflist", KINDNET),
        ("20-other.conflist", KINDNET),
        ("readme.json", "{}"),
    ]);
    let now = after(before.clone(), install(&wanted(), &before).expect("a network"));
    assert_eq!(types(&now, "10-kindnet.conflist"), ["ptp", "portmap", PLUGIN]);
    assert_eq!(now["10-kindnet.conflist"].mode, 0o644, "as it was");
    let mut list = json_of(&now, "10-kindnet.conflist");
    let entry = list["plugins"].as_array_mut().expect("plugins").pop();
    let entry = entry.expect("three plugins");
    assert_eq!(
        list,
        serde_json::from_str::<Value>(KINDNET).expect("JSON"),
        "the rest is untouched"
    );
    assert_eq!(
        entry,
        json!({"type": PLUGIN, "cni_agent_run_dir": "/var/run/istio-cni", "pod_namespace": "istio-system"})
    );
    assert_eq!(now["20-other.conflist"], before["20-other.conflist"]);
    assert_eq!(install(&wanted(), &now).expect("a network"), [], "once is enough");
    assert_eq!(
        after(now.clone(), remove(&wanted(), &now))
            .keys()
            .collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    assert_eq!(
        json_of(
            &after(now.clone(), remove(&wanted(), &now)),
            "10-kindnet.conflist"
        ),
        serde_json::from_str::<Value>(KINDNET).expect("JSON")
    );
}

#[test]
fn what_the_plugin_reads_is_what_is_written() {
    let wanted = Wanted {
        entry: Entry {
            exempt_prefixes: Some(vec!["mesh-".to_owned()]),
            timeout_seconds: Some(30),
            ..wanted().entry
        },
        ..wanted()
    };
    let before = found(&[("a.conflist", KINDNET)]);
    let now = after(before.clone(), install(&wanted, &before).expect("a network"));
    let mut entry = json_of(&now, "a.conflist")["plugins"][2].clone();
    // As libcni passes it (`buildOneConfig`).
    entry["cniVersion"] = json!("0.3.1");
    entry["name"] = json!("kindnet");
    let read = cni_plugin::spec::NetworkConfig::parse(entry.to_string().as_bytes()).expect("a configuration");
    assert_eq!(
        read.agent_socket.to_str(),
        Some("/var/run/istio-cni/pluginevent.sock")
    );
    assert_eq!(read.agent_timeout.as_secs(), 30);
    assert!(
        read.exempt.holds("istio-system", "mesh-abc") && !read.exempt.holds("istio-system", "ztunnel-abc")
    );
}

#[test]
fn whatever_a_stranger_does_to_the_list_is_put_right() {
    let before = found(&[("10.conflist", KINDNET)]);
    let right = after(before.clone(), install(&wanted(), &before).expect("a network"));
    let change = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut list = json_of(&right, "10.conflist");
        change(list["plugins"].as_array_mut().expect("plugins"));
        found(&[("10.conflist", &list.to_string())])
    };
    for (what, changed) in [
        ("thrown out", before.clone()),
        ("twice", change(&|plugins| plugins.push(plugins[2].clone()))),
        ("not the last", change(&|plugins| plugins.swap(1, 2))),
        (
            "another directory",
            change(&|plugins| plugins[2]["cni_agent_run_dir"] = json!("/elsewhere")),
        ),
        (
            "upstream's",
            change(&|plugins| {
                plugins[2] = json!({"type": PLUGIN, "ambient_enabled": true, "plugin_log_level": "info"})
            }),
        ),
    ] {
        let steps = install(&wanted(), &changed).expect("a network");
        assert_eq!(steps.len(), 1, "{what}");
        assert_eq!(
            json_of(&after(changed, steps), "10.conflist"),
            json_of(&right, "10.conflist"),
            "{what}"
        );
    }
    // A new network comes before the one that the plugin is part of.
    let mut changed = right.clone();
    changed.extend(found(&[("05-new.conflist", KINDNET)]));
    let now = after(changed.clone(), install(&wanted(), &changed).expect("a network"));
    assert_eq!(
        types(&now, "05-new.conflist").last().map(String::as_str),
        Some(PLUGIN)
    );
    // The plugin goes out of both when it goes.
    let now = after(now.clone(), remove(&wanted(), &now));
    for name in ["05-new.conflist", "10.conflist"] {
        assert_eq!(types(&now, name), ["ptp", "portmap"], "{name}");
    }
}

#[test]
fn a_single_plugin_becomes_a_list_of_the_same_name() {
    let before = found(&[("10-bridge.conf", SINGLE)]);
    let steps = install(&wanted(), &before).expect("a network");
    let Some(Step::Write { name, .. }) = steps.first() else {
        panic!("the list is there before the other is gone: {steps:?}")
    };
    assert_eq!(name, "10-bridge.conflist");
    let now = after(before, steps);
    assert_eq!(now.keys().collect::<Vec<_>>(), ["10-bridge.conflist"]);
    let list = json_of(&now, "10-bridge.conflist");
    assert_eq!(
        (&list["name"], &list["cniVersion"]),
        (&json!("cbr0"), &json!("0.3.1"))
    );
    assert_eq!(
        list["plugins"][0],
        json!({"type": "bridge", "ipam": {"type": "host-local"}})
    );
    assert_eq!(types(&now, "10-bridge.conflist"), ["bridge", PLUGIN]);
    assert_eq!(install(&wanted(), &now).expect("a network"), []);
    // Whoever names the file by what it was called is understood.
    let named = Wanted {
        primary: Some("10-bridge.conf".to_owned()),
        ..wanted()
    };
    assert_eq!(install(&named, &now).expect("a network"), []);
}

#[test]
fn a_file_that_no_runtime_would_take_is_passed_over() {
    for broken in [
        "",
        "[]",
        "{",
        r#"{"cniVersion":"0.3.1","plugins":[{"type":"ptp"}]}"#,
        r#"{"cniVersion":"0.3.1","name":"x","plugins":[]}"#,
        r#"{"cniVersion":"0.3.1","name":"x","plugins":[{"type":""}]}"#,
        r#"{"cniVersion":"0.3.1","name":"x","plugins":{"type":"ptp"}}"#,
    ] {
        let before = found(&[
            ("00.conflist", broken),
            ("01.conf", r#"{"name":"no type"}"#),
            ("10.conflist", KINDNET),
        ]);
        let now = after(before.clone(), install(&wanted(), &before).expect("a network"));
        assert_eq!(
            types(&now, "10.conflist").last().map(String::as_str),
            Some(PLUGIN),
            "{broken}"
        );
        assert_eq!(now["00.conflist"], before["00.conflist"]);
        let alone = found(&[("00.conflist", broken)]);
        assert_eq!(install(&wanted(), &alone), Err(NotYet::NoNetwork), "{broken}");
    }
    assert_eq!(install(&wanted(), &Found::new()), Err(NotYet::NoNetwork));
}

#[test]
fn the_network_that_is_named_is_the_one() {
    let named = Wanted {
        primary: Some("20-other.conflist".to_owned()),
        ..wanted()
    };
    let before = found(&[("10.conflist", KINDNET), ("20-other.conflist", KINDNET)]);
    let now = after(before.clone(), install(&named, &before).expect("a network"));
    assert_eq!(types(&now, "10.conflist").len(), 2);
    assert_eq!(types(&now, "20-other.conflist").len(), 3);
    let error = install(&named, &found(&[("10.conflist", KINDNET)])).expect_err("not there");
    assert_eq!(error, NotYet::NoSuchNetwork("20-other.conflist".to_owned()));
}

#[test]
fn a_version_that_the_plugin_does_not_speak_is_not_touched_but_named() {
    let old = KINDNET.replace("0.3.1", "0.2.0");
    let error = install(&wanted(), &found(&[("10.conflist", &old)])).expect_err("too old");
    assert!(
        error.to_string().contains("10.conflist") && error.to_string().contains("0.2.0"),
        "{error}"
    );
    let several = KINDNET.replace(r#""cniVersion":"0.3.1""#, r#""cniVersions":["0.2.0","1.0.0"]"#);
    assert_eq!(
        install(&wanted(), &found(&[("10.conflist", &several)]))
            .expect("spoken")
            .len(),
        1
    );
}

#[test]
fn a_file_of_our_own_comes_before_the_network_and_follows_it() {
    let wanted = own("02-istio-cni.conflist");
    let before = found(&[("10.conflist", KINDNET)]);
    let now = after(before.clone(), install(&wanted, &before).expect("a network"));
    assert_eq!(now["10.conflist"], before["10.conflist"], "theirs is left alone");
    assert_eq!(types(&now, "02-istio-cni.conflist"), ["ptp", "portmap", PLUGIN]);
    assert_eq!(now["02-istio-cni.conflist"].mode, 0o600);
    assert_eq!(install(&wanted, &now).expect("a network"), []);

    let mut changed = now.clone();
    changed.extend(found(&[("10.conflist", &KINDNET.replace("1500", "9000"))]));
    let followed = after(changed.clone(), install(&wanted, &changed).expect("a network"));
    assert_eq!(
        json_of(&followed, "02-istio-cni.conflist")["plugins"][0]["mtu"],
        9000
    );

    // Without a network of theirs there is nothing to copy, and what was copied stays: pods go on to pass the plugin.
    let mut gone = now.clone();
    gone.remove("10.conflist");
    assert_eq!(install(&wanted, &gone), Err(NotYet::NoNetwork));

    let left = after(now.clone(), remove(&wanted, &now));
    assert_eq!(left, before);
}

#[test]
fn a_file_of_our_own_that_would_not_be_taken_is_refused() {
    let error = install(&own("90-mesh.conflist"), &found(&[("10.conflist", KINDNET)])).expect_err("too late");
    assert!(error.to_string().contains("90-mesh.conflist") && error.to_string().contains("10.conflist"));
}

fn alone(name: &str) -> Wanted {
    Wanted {
        place: Place::Alone(name.to_owned()),
        ..wanted()
    }
}

#[test]
fn alone_it_stands_in_a_file_that_no_network_is_needed_for() {
    let wanted = alone("YYY-istio-cni.conf");
    for before in [found(&[]), found(&[("10.conflist", KINDNET)])] {
        let now = after(before.clone(), install(&wanted, &before).expect("a place"));
        let plugin = json_of(&now, "YYY-istio-cni.conf");
        assert_eq!(
            plugin,
            json!({
                "cniVersion": "0.3.1", "name": PLUGIN, "type": PLUGIN, "chained": false,
                "cni_agent_run_dir": "/var/run/istio-cni", "pod_namespace": "istio-system"
            })
        );
        // What the plugin reads of it: no plugin before it is no error.
        let read = cni_plugin::spec::NetworkConfig::parse(plugin.to_string().as_bytes()).expect("read");
        assert!(
            read.previous()
                .is_ok_and(|(previous, ips)| previous.is_none() && ips.is_empty())
        );
        assert_eq!(install(&wanted, &now).expect("a place"), [], "once is enough");
        assert_eq!(after(now.clone(), remove(&wanted, &now)), before);
    }
}

#[test]
fn whoever_changes_between_chained_and_alone_passes_the_plugin_once() {
    let before = found(&[("10.conflist", KINDNET)]);
    let chained = after(before.clone(), install(&wanted(), &before).expect("a network"));
    let apart = alone("istio-cni.conf");
    let now = after(chained.clone(), install(&apart, &chained).expect("a place"));
    assert_eq!(types(&now, "10.conflist"), ["ptp", "portmap"]);
    assert!(now.contains_key("istio-cni.conf"));
    let back = after(now.clone(), install(&wanted(), &now).expect("a network"));
    assert_eq!(
        back.keys().collect::<Vec<_>>(),
        ["10.conflist"],
        "upstream's file of that kind would go as well"
    );
    assert_eq!(types(&back, "10.conflist"), ["ptp", "portmap", PLUGIN]);
}

#[test]
fn fuzz_configurations() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/cni_configuration");
    let corpus = mesh_types::fuzzing::corpus(&corpus);
    for input in mesh_types::fuzzing::mutations(&corpus, 12, 20_000) {
        crate::fuzz::cni_configuration(&input);
    }
}
