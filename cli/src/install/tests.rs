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
        told(Task::Install(&installation())),
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
    let told = told(Task::Upgrade(&installation));
    assert!(
        told.contains("--dry-run=server") && !told.contains("--wait"),
        "{told}"
    );
}

#[test]
fn an_upgrade_keeps_what_was_set() {
    assert!(
        told(Task::Upgrade(&installation())).starts_with("upgrade lateen /chart --reset-then-reuse-values ")
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
fn what_is_installed_and_what_would_be_are_asked_without_hooks() {
    let installation = installation();
    let release = &installation.release;
    assert_eq!(
        told(Task::Installed(release)),
        "get manifest lateen --namespace istio-system --kubeconfig /k"
    );
    let rendered = told(Task::Objects(release, &installation.values, "v1.34.1"));
    assert!(
        rendered.starts_with("template lateen /chart --no-hooks --kube-version v1.34.1 "),
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
fn without_helm_the_ways_to_go_on_are_said() {
    let mut installation = installation();
    installation.release.helm = "/nowhere/helm".into();
    let target = Target {
        system: "istio-system",
        kubeconfig: None,
        context: None,
    };
    let error = run(Task::Install(&installation), &target)
        .expect_err("no helm")
        .to_string();
    for part in ["/nowhere/helm", "helm.sh", "--helm PATH"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_helm_refuses_is_a_failure_with_the_way_back() {
    let mut installation = installation();
    installation.release.helm = "false".into();
    let target = Target {
        system: "istio-system",
        kubeconfig: None,
        context: None,
    };
    let error = run(Task::Install(&installation), &target)
        .expect_err("refused")
        .to_string();
    assert!(error.contains("lateen uninstall"), "{error}");
    installation.release.helm = "true".into();
    run(Task::Install(&installation), &target).expect("helm said yes");
}
