use super::*;

fn installation() -> Installation {
    Installation {
        release: Release {
            release: "lateen".into(),
            helm: "helm".into(),
        },
        values: Values {
            files: vec!["mine.yaml".into()],
            set: vec!["global.platform=gke".into()],
        },
        no_wait: false,
        timeout: 300,
        dry_run: false,
        skip_checks: false,
    }
}

fn told(task: Task<'_>) -> String {
    let target = Target {
        system: "istio-system",
        kubeconfig: Some(Path::new("/k")),
        context: None,
    };
    let words = arguments(task, &target, Path::new("/chart"));
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

#[test]
fn helm_installs_the_chart_with_what_was_given_and_waits() {
    assert_eq!(
        told(Task::Install(&installation(), Ownership::Respect)),
        "install lateen /chart --create-namespace --values mine.yaml --set global.platform=gke --wait --timeout 300s \
         --namespace istio-system --kubeconfig /k"
    );
}

#[test]
fn a_dry_run_asks_the_cluster_and_waits_for_nothing() {
    let installation = Installation {
        dry_run: true,
        ..installation()
    };
    let told = told(Task::Upgrade(&installation, Ownership::Respect));
    assert!(
        told.contains("--dry-run=server") && !told.contains("--wait"),
        "{told}"
    );
}

#[test]
fn an_upgrade_keeps_what_was_set() {
    assert!(
        told(Task::Upgrade(&installation(), Ownership::Respect))
            .starts_with("upgrade lateen /chart --reset-then-reuse-values ")
    );
}

#[test]
fn a_release_is_removed_by_its_name() {
    let release = installation().release;
    assert_eq!(
        told(Task::Uninstall(&release, Hooks::Run)),
        "uninstall lateen --wait --namespace istio-system --kubeconfig /k"
    );
    assert_eq!(
        told(Task::Uninstall(&release, Hooks::Skip)),
        "uninstall lateen --wait --no-hooks --namespace istio-system --kubeconfig /k"
    );
}

#[test]
fn what_is_installed_and_what_would_be_are_asked_of_helm() {
    let installation = installation();
    let release = &installation.release;
    assert_eq!(
        told(Task::Installed(release)),
        "get manifest lateen --namespace istio-system --kubeconfig /k"
    );
    let rendered = told(Task::Objects(release, &installation.values, "v1.34.1"));
    assert!(
        rendered.starts_with("template lateen /chart --kube-version v1.34.1 "),
        "{rendered}"
    );
}

#[test]
fn the_platform_is_what_helm_would_take() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("v.yaml");
    std::fs::write(&file, "global: {platform: k3s}\n").expect("written");
    let values = |set: &[&str]| Values {
        files: vec![file.clone()],
        set: set.iter().map(|&set| set.to_owned()).collect(),
    };
    assert_eq!(Values::default().platform().expect("no file"), "");
    assert_eq!(values(&[]).platform().expect("a file"), "k3s");
    let told = values(&["a=b,global.platform=gke", "global.platform=openshift"]);
    assert_eq!(told.platform().expect("a file"), "openshift");
    let gone = Values {
        files: vec!["/nowhere/v.yaml".into()],
        set: Vec::new(),
    };
    assert!(
        gone.platform()
            .expect_err("no file")
            .to_string()
            .contains("/nowhere/v.yaml")
    );
}

#[test]
fn crds_of_others_are_taken_over_only_where_the_values_say_so() {
    let values = |set: &[&str]| Values {
        files: Vec::new(),
        set: set.iter().map(|&set| set.to_owned()).collect(),
    };
    for (set, ownership) in [
        (&[][..], Ownership::Respect),
        (&["base.crds.adopt=true"], Ownership::Take),
        (
            &["base.crds.adopt=true", "base.crds.adopt=false"],
            Ownership::Respect,
        ),
    ] {
        assert_eq!(values(set).ownership().expect("no file"), ownership, "{set:?}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("v.yaml");
    std::fs::write(&file, "base: {crds: {adopt: true}}\n").expect("written");
    let from_file = Values {
        files: vec![file],
        set: Vec::new(),
    };
    assert_eq!(from_file.ownership().expect("a file"), Ownership::Take);
    let installation = installation();
    for task in [
        Task::Install(&installation, Ownership::Take),
        Task::Upgrade(&installation, Ownership::Take),
    ] {
        assert!(told(task).contains(" --take-ownership "), "{}", told(task));
    }
}

#[test]
fn values_that_are_no_yaml_are_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("v.yaml");
    std::fs::write(&file, "a: 1\nglobal: {platform: [k3s\nb: 2\n").expect("written");
    let values = Values {
        files: vec![file],
        set: Vec::new(),
    };
    let error = format!("{:#}", values.platform().expect_err("no YAML"));
    assert!(error.contains("v.yaml") && error.lines().count() == 1, "{error}");
}

#[test]
fn the_values_that_were_set_are_asked_of_the_revision_that_helm_goes_on_with() {
    let release = installation().release;
    assert_eq!(
        told(Task::Kept(&release, Some(3))),
        "get values lateen --output yaml --revision 3 --namespace istio-system --kubeconfig /k"
    );
    assert_eq!(
        told(Task::Kept(&release, None)),
        "get values lateen --output yaml --namespace istio-system --kubeconfig /k"
    );
}
