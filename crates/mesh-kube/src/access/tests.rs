use super::Access;
use crate::error::{Fault, KubeError};

const KUBECONFIG: &str = r"
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: a, cluster: {server: 'http://127.0.0.1:1'}}
- {name: b, cluster: {server: 'http://127.0.0.1:2'}}
users:
- {name: u, user: {token: t}}
contexts:
- {name: one, context: {cluster: a, user: u, namespace: shop}}
- {name: two, context: {cluster: b, user: u}}
";

fn access(context: Option<&str>, text: &str) -> (tempfile::TempDir, Access) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("config");
    std::fs::write(&path, text).expect("a file");
    let context = context.map(str::to_owned);
    (
        dir,
        Access::Kubeconfig {
            path: Some(path),
            context,
        },
    )
}

#[tokio::test]
async fn a_context_of_a_kubeconfig_can_be_named() {
    for (context, server, namespace) in [
        (None, "http://127.0.0.1:1/", "shop"),
        (Some("two"), "http://127.0.0.1:2/", "default"),
    ] {
        let (_dir, access) = access(context, KUBECONFIG);
        let config = access.config().await.expect("a good kubeconfig");
        assert_eq!(config.cluster_url.to_string(), server);
        assert_eq!(config.default_namespace, namespace);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_kubeconfig_is_named_with_the_file() {
    for (context, text, word) in [
        (
            Some("three"),
            KUBECONFIG,
            "config: there is no context three; it has one, two",
        ),
        (
            None,
            "kind: Config",
            "no context is named, and none is the current one; it has no context at all",
        ),
        (None, "{", "config"),
    ] {
        let (_dir, access) = access(context, text);
        let error = access.config().await.expect_err("a bad kubeconfig");
        assert_eq!(error.fault(), Fault::Configuration);
        let KubeError::NotConfigured(line) = &error else {
            panic!("{error}");
        };
        assert!(line.contains(word), "{line}");
    }
}
