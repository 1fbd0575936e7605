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
        told(Task::Uninstall(&release)),
        "uninstall lateen --wait --namespace istio-system --kubeconfig /k"
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
