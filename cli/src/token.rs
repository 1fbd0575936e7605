//! Tokens of service accounts, for asking the control plane what a proxy or an agent would ask it.

use anyhow::Context as _;
use mesh_kube::{KubeClient, ObjectName, Resource};
use serde::Deserialize;
use serde_json::json;

use crate::args::TokenArgs;
use crate::output::{Table, View};

/// A token.
#[derive(Clone, Deserialize)]
pub struct Token {
    status: Status,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: String,
    expiration_timestamp: String,
}

/// Asks the API server for one (TokenRequest).
///
/// # Errors
/// Fails with what is wrong with the way or our rights, and when there is no such account.
pub async fn request(client: &KubeClient, args: &TokenArgs) -> anyhow::Result<Token> {
    let namespace = args
        .namespace
        .as_deref()
        .unwrap_or_else(|| client.default_namespace());
    let account = ObjectName::new(namespace, &args.account);
    let asked = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [args.audience], "expirationSeconds": args.duration},
    });
    let token = client.create_below(&ACCOUNTS, &account, "token", &asked).await;
    token.with_context(|| format!("a token of ServiceAccount {account}"))
}

impl Token {
    /// The token itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.status.token
    }

    /// For programs.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            table: Table::new(["TOKEN"]),
            data: json!({"token": self.status.token, "expires": self.status.expiration_timestamp}),
        }
    }
}

const ACCOUNTS: Resource = Resource::namespaced("", "v1", "serviceaccounts", "ServiceAccount");

#[cfg(test)]
mod tests;
