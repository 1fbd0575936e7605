use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mesh_kube::fake::FakeApi;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::install::standing::SECRETS;
use crate::objects::NAMESPACES;
use crate::precheck::look::CONFIG_MAPS;
use crate::precheck::rights;

/// A cluster with a release that was installed; it has no Linux node, so that it cannot take the mesh.
fn cluster(status: Option<&str>) -> (FakeApi, Asked) {
    let api = FakeApi::new();
    api.page("/version", r#"{"gitVersion": "v1.34.1"}"#);
    for resource in [&SECRETS, &NAMESPACES, &CONFIG_MAPS] {
        api.serve(resource);
    }
    api.review(&rights::REVIEWS, json!({"allowed": true}));
    if let Some(status) = status {
        api.put(
            &SECRETS,
            json!({"metadata": {"name": "sh.helm.release.v1.lateen.v3", "namespace": "istio-system",
                "labels": {"owner": "helm", "name": "lateen", "status": status, "version": "3"}}}),
        );
    }
    let asked = Asked::over(api.client(), "istio-system");
    (api, asked)
}

/// A helm that writes down what it is told, and does what else the script says.
struct Stub(TempDir);

impl Stub {
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("helm");
        let script = format!("#!/bin/sh\necho \"$*\" >> \"$(dirname \"$0\")/told\"\n{script}\n");
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        Self(directory)
    }

    fn installation(&self, skip_checks: bool) -> Installation {
        Installation {
            release: Release {
                release: "lateen".into(),
                helm: self.0.path().join("helm"),
            },
            values: Values::default(),
            no_wait: false,
            timeout: 300,
            dry_run: false,
            skip_checks,
        }
    }

    /// The first two words of each call.
    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.0.path().join("told")).unwrap_or_default();
        told.lines()
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

const TARGET: Target<'static> = Target {
    system: "istio-system",
    kubeconfig: None,
    context: None,
};

#[tokio::test]
async fn an_upgrade_looks_first_whether_the_cluster_can_take_it() {
    let (_api, asked) = cluster(Some("deployed"));
    let helm = Stub::new("[ $1 = get ] && echo 'global: {platform: k3s}'; exit 0");
    let refused = upgrade(&asked, &helm.installation(false), &TARGET, Format::Json).await;
    let error = refused.expect_err("no Linux node").to_string();
    assert!(error.contains("nothing was changed; --skip-checks"), "{error}");
    assert_eq!(helm.told(), ["get values", "template lateen"]);
    let done = upgrade(&asked, &helm.installation(true), &TARGET, Format::Json).await;
    assert_eq!(done.expect("upgraded"), Done::Good);
    assert_eq!(
        helm.told()[2..],
        ["get values".to_owned(), "upgrade lateen".to_owned()]
    );
}

#[tokio::test]
async fn crds_of_others_are_not_adopted_unseen() {
    let (api, asked) = cluster(None);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}});
    api.page(
        "/api/v1",
        r#"{"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": true}]}"#,
    );
    api.put(&CONFIG_MAPS, map.clone());
    let helm = Stub::new(&format!("[ $1 = template ] && echo '{map}'; exit 0"));
    let mut adopting = helm.installation(true);
    adopting.values.set.push("base.crds.adopt=true".into());
    let refused = install(&asked, &adopting, &TARGET, Format::Json).await;
    let error = refused.expect_err("somebody's ConfigMap").to_string();
    assert!(error.contains("objects of others are not taken over"), "{error}");
    assert_eq!(helm.told(), ["template lateen"]);
    let done = install(&asked, &helm.installation(true), &TARGET, Format::Json).await;
    assert_eq!(done.expect("installed"), Done::Good);
}

#[tokio::test]
async fn where_helm_gives_up_the_ways_on_and_back_are_one_line_and_agree() {
    let (_api, asked) = cluster(None);
    let helm = Stub::new("exit 1");
    let failed = install(&asked, &helm.installation(true), &TARGET, Format::Table).await;
    let error = failed.expect_err("helm gave up").to_string();
    assert_eq!(
        error,
        "helm gave up (exit status: 1); nothing of the release is in the cluster, and nothing needs to be undone: lateen install \
         once the cause is gone"
    );
    let (_api, asked) = cluster(Some("failed"));
    let helm = Stub::new("[ $1 = upgrade ] && exit 1; exit 0");
    let failed = upgrade(&asked, &helm.installation(true), &TARGET, Format::Table).await;
    let error = failed.expect_err("helm gave up").to_string();
    assert!(
        error.contains("lateen uninstall") && !error.contains("rollback"),
        "{error}"
    );
}

#[tokio::test]
async fn a_purge_is_refused_while_another_release_lives_on_the_crds() {
    let (api, asked) = cluster(Some("deployed"));
    let deployments = mesh_kube::Resource::namespaced("apps", "v1", "deployments", "Deployment");
    let other = json!({"metadata": {"name": "istiod", "namespace": "mesh-2",
        "labels": {"app": "istiod", "app.kubernetes.io/part-of": "lateen"},
        "annotations": {"meta.helm.sh/release-name": "second", "meta.helm.sh/release-namespace": "mesh-2"}}});
    api.put(&deployments, other);
    let helm = Stub::new("exit 0");
    let release = helm.installation(false).release;
    let refused = uninstall(&asked, &release, true, &TARGET, Format::Table).await;
    let error = refused.expect_err("another one").to_string();
    assert!(
        error.starts_with("nothing was changed: release second in namespace mesh-2 is in the cluster"),
        "{error}"
    );
    assert_eq!(helm.told(), Vec::<String>::new());
    // Without it the release goes, and what both have stays.
    let root = json!({"metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}});
    api.put(&CONFIG_MAPS, root);
    let done = uninstall(&asked, &release, false, &TARGET, Format::Json).await;
    assert_eq!(done.expect("removed"), Done::Good);
    assert_eq!(helm.told(), ["uninstall lateen"]);
    let shared = mesh_kube::ObjectName::new("shop", "istio-ca-root-cert");
    assert!(api.object(&CONFIG_MAPS, &shared).is_some());
}

#[tokio::test]
async fn what_the_control_plane_made_goes_with_the_release_and_later_too() {
    for status in [Some("deployed"), None] {
        let (api, asked) = cluster(status);
        let root = json!({"metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}});
        api.put(&CONFIG_MAPS, root);
        let key = json!({"metadata": {"name": "istio-ca-secret", "namespace": "istio-system"}});
        api.put(&SECRETS, key);
        let helm = Stub::new("exit 0");
        let release = helm.installation(false).release;
        let done = uninstall(&asked, &release, false, &TARGET, Format::Json).await;
        assert_eq!(done.expect("removed"), Done::Good);
        let object = |resource, namespace: &str, name: &str| -> Option<Value> {
            api.object(resource, &mesh_kube::ObjectName::new(namespace, name))
        };
        assert_eq!(object(&CONFIG_MAPS, "shop", "istio-ca-root-cert"), None);
        assert!(object(&SECRETS, "istio-system", "istio-ca-secret").is_some());
    }
    let (_api, asked) = cluster(None);
    let release = Stub::new("exit 0").installation(false).release;
    let refused = uninstall(&asked, &release, false, &TARGET, Format::Table).await;
    let error = refused.expect_err("there is nothing").to_string();
    assert!(error.starts_with("there is no release lateen"), "{error}");
}
