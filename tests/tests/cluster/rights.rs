//! Each part of the mesh does its work with exactly the rights that the charts give it: the API server's own log says what was
//! asked for, and the release's own roles what may be.

use anyhow::{Context as _, Result, ensure};
use lab::cluster::rights::{Judgement, Right, judge, rights};
use serde_json::Value;

use crate::Test;
use crate::mesh::{Mesh, SYSTEM};
use crate::waypoint::GATEWAY_NAME;

/// Behind the tests whose requests it looks at.
pub(crate) const TESTS: &[Test] = &[Test {
    name: "no_part_of_the_mesh_asks_for_more_than_its_role_grants_and_no_role_grants_more_than_is_used",
    run: exactly,
}];

/// Rights that no request of these tests shows.
const NOT_SHOWN: &[(&str, &str, &str)] = &[
    (
        "istiod",
        "attest signers.certificates.k8s.io named istio.io/istiod-ca",
        "the API server asks this of itself when a ClusterTrustBundle is written",
    ),
    (
        "istiod",
        "create tokenreviews.authentication.k8s.io",
        "only of a token whose key is not published, or whose pod is not known yet",
    ),
    (
        "istiod",
        "update secrets in istio-system named lateen-trusted-roots",
        "the record of earlier roots changes when another authority follows, and none does here",
    ),
    (
        "istiod",
        "update secrets in istio-system named istio-ca-secret",
        "the root is renewed when a fifth of its ten years is left",
    ),
    (
        "istiod",
        "get secrets in istio-system named lateen-trusted-roots",
        "it is read before it changes",
    ),
];

fn exactly(mesh: &mut Mesh) -> Result<()> {
    with_every_feature(mesh)?;
    let granted = granted(mesh, "manifest")?;
    ensure!(granted.len() > 50, "the release gives {} rights", granted.len());
    let in_time = match mesh.is_whole {
        true => mesh.eventually("every right was used", || {
            Ok(without_need(&judged(mesh, &granted)?).is_empty())
        }),
        false => {
            println!("  not all tests run: whether every right is used is not looked at");
            Ok(())
        }
    };
    let judgement = judged(mesh, &granted)?;
    ensure!(
        judgement.uncovered.is_empty(),
        "without a right: {:#?}",
        judgement.uncovered
    );
    ensure!(judgement.refused.is_empty(), "refused: {:#?}", judgement.refused);
    in_time.with_context(|| format!("never used: {:#?}", without_need(&judgement)))?;
    for (account, right, why) in NOT_SHOWN {
        let is_it = |r: &Right| r.account.ends_with(account) && r.to_string().ends_with(right);
        ensure!(
            granted.iter().any(is_it),
            "{account}: {right} is not granted any more ({why})"
        );
    }
    println!("  {} rights of {} accounts", granted.len(), accounts(&granted));
    // The namespace stays: the release has a role there from now on.
    Ok(())
}

/// What is off by itself has a role, too.
fn with_every_feature(mesh: &Mesh) -> Result<()> {
    mesh.namespace(VAULT, "")?;
    mesh.with_gateway_api()?;
    mesh.upgrade_with(FEATURES)?;
    every_object_of_a_waypoint(mesh)?;
    mesh.eventually("the root is in a bundle", || {
        let bundles = mesh.kubectl.get(&["clustertrustbundles"])?;
        Ok(bundles["items"].as_array().is_some_and(|all| !all.is_empty()))
    })?;
    let taint = format!("{TAINT}=true:NoSchedule");
    mesh.kubectl
        .run(&["taint", "node", "node2", "--overwrite", &taint])?;
    mesh.eventually("a node whose agent is ready has no taint", || {
        let node = mesh.kubectl.get(&["node", "node2"])?;
        let taints = node["spec"]["taints"].as_array();
        Ok(taints.is_none_or(|all| all.iter().all(|taint| taint["key"] != TAINT)))
    })
}

/// What a Gateway may become is made, and what it does not ask for any more goes.
fn every_object_of_a_waypoint(mesh: &Mesh) -> Result<()> {
    mesh.kubectl.apply(&format!(
        "{OVERLAY}---\n{}",
        GATEWAY.replace("MORE", WITH_OVERLAY)
    ))?;
    let kinds = "deployments,services,serviceaccounts,horizontalpodautoscalers,poddisruptionbudgets";
    let names = |mesh: &Mesh| -> Result<Vec<String>> {
        let all = mesh.kubectl.get(&[kinds, "-n", VAULT])?;
        let all = all["items"].as_array().context("objects")?;
        let ours = all
            .iter()
            .filter(|o| o["metadata"]["labels"][GATEWAY_NAME] == "front");
        Ok(ours
            .filter_map(|o| o["metadata"]["name"].as_str().map(str::to_owned))
            .collect())
    };
    mesh.eventually("all five are there", || Ok(names(mesh)?.len() == 5))?;
    mesh.kubectl.apply(&GATEWAY.replace("MORE", ""))?;
    mesh.eventually("two are gone", || Ok(names(mesh)?.len() == 3))?;
    // Under another name, with an account that is there already, and nothing of those before.
    for annotation in ["name-override=back", "service-account=default"] {
        let annotation = format!("gateway.istio.io/{annotation}");
        mesh.kubectl
            .run(&["annotate", "gateway", "front", "-n", VAULT, &annotation])?;
    }
    mesh.eventually(
        "both have the other name, and there is no account of its own",
        || {
            let names = names(mesh)?;
            Ok(names.len() == 2 && names.iter().all(|name| name == "back"))
        },
    )?;
    mesh.kubectl
        .run(&["delete", "gateway", "front", "-n", VAULT])
        .map(drop)
}

/// The rights that the release gives; `part` is `manifest` or `hooks`.
pub(crate) fn granted(mesh: &Mesh, part: &str) -> Result<Vec<Right>> {
    let rendered = mesh.lateen.helm(&["get", part, "lateen", "-n", SYSTEM])?;
    let of_roles = |document: &&str| {
        let mut lines = document.lines();
        lines.any(|line| {
            matches!(
                line,
                "kind: Role" | "kind: ClusterRole" | "kind: RoleBinding" | "kind: ClusterRoleBinding"
            )
        })
    };
    let documents = rendered.split("---\n").filter(of_roles);
    let parse = |text: &str| serde_saphyr::from_str::<Value>(text).with_context(|| text.to_owned());
    let objects = documents.map(parse).collect::<Result<Vec<_>>>()?;
    Ok(rights(&objects))
}

/// What was asked for so far, held against these rights.
pub(crate) fn judged(mesh: &Mesh, granted: &[Right]) -> Result<Judgement> {
    let audit = mesh.cluster.audit().context("the API server keeps no audit")?;
    Ok(judge(granted, &audit.asked()?))
}

/// Rights that are neither used nor known not to be shown.
fn without_need(judgement: &Judgement) -> Vec<String> {
    let is_known = |right: &Right| {
        let mut known = NOT_SHOWN.iter();
        known
            .any(|(account, known, _)| right.account.ends_with(account) && right.to_string().ends_with(known))
    };
    let unused = judgement.unused.iter().filter(|right| !is_known(right));
    unused.map(ToString::to_string).collect()
}

fn accounts(rights: &[Right]) -> usize {
    let mut accounts: Vec<_> = rights.iter().map(|right| &right.account).collect();
    accounts.dedup();
    accounts.len()
}

const OVERLAY: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: front, namespace: vaulted}
data:
  horizontalPodAutoscaler: '{spec: {minReplicas: 1, maxReplicas: 2}}'
  podDisruptionBudget: '{spec: {minAvailable: 1}}'
";
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: vaulted}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
MORE";
const WITH_OVERLAY: &str = "  infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: front}}\n";
const VAULT: &str = "vaulted";
const TAINT: &str = "cni.istio.io/not-ready";
const FEATURES: &str = "
controlplane:
  features:
    clusterTrustBundle: true
    untaint: {enabled: true}
    secretNamespaces: [vaulted]
";
