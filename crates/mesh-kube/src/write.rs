//! Writing: making, applying, patching, status, deleting.

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::client::{Call, JSON, KubeClient};
use crate::error::KubeError;
use crate::resource::{ObjectName, Resource, escape};

/// Who applies, and over whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply<'a> {
    /// The field manager: what it applied before and does not apply now is taken away.
    pub manager: &'a str,
    /// Takes fields over from other managers; without it, theirs give [`KubeError::Owned`].
    pub force: bool,
}

/// What became of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was written.
    Changed,
    /// There was nothing to change.
    Unchanged,
    /// The object is gone.
    Gone,
}

/// A status that several writers share, as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedStatus {
    /// All of it, with what others wrote as they wrote it.
    pub whole: Value,
    /// The part that is applied: the entries that are the writer's own.
    pub own: Value,
}

/// Which part of an object is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All but its status, where that is a part of its own.
    #[default]
    Main,
    /// Its status.
    Status,
}

impl KubeClient {
    /// Makes an object; gives it as the API server has it then. Reviews (`TokenReview`) are made, too.
    ///
    /// # Errors
    /// [`KubeError::AlreadyExists`] when there is one of this name; else what is wrong with the way, our rights or the
    /// object.
    pub async fn create<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        object: &impl Serialize,
    ) -> Result<T, KubeError> {
        let path = resource.path(Some(namespace));
        self.json(Call::with(Method::POST, path, JSON, object)?).await
    }

    /// Makes something below an object, such as the `token` of a ServiceAccount; gives what the API server answers.
    ///
    /// # Errors
    /// Fails with what is wrong with the way, our rights or what is asked for, and when the object is not there.
    pub async fn create_below<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        name: &ObjectName,
        part: &str,
        object: &impl Serialize,
    ) -> Result<T, KubeError> {
        let path = resource.object_path(name, Some(part));
        self.json(Call::with(Method::POST, path, JSON, object)?).await
    }

    /// Server-side apply: makes an object, or changes those of its fields that are named.
    ///
    /// # Errors
    /// [`KubeError::Owned`] when another manager owns a field; else what is wrong with the way, our rights or the
    /// object.
    pub async fn apply<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        name: &ObjectName,
        part: Part,
        how: Apply<'_>,
        object: &impl Serialize,
    ) -> Result<T, KubeError> {
        let mut path = resource.object_path(name, part.path());
        path.push_str("?fieldManager=");
        escape(&mut path, how.manager);
        if how.force {
            path.push_str("&force=true");
        }
        self.json(Call::with(Method::PATCH, path, APPLY, object)?).await
    }

    /// Changes the fields that a JSON merge patch (RFC 7396) names.
    ///
    /// # Errors
    /// Fails with what is wrong with the way, our rights or the patch, and when the object is not there.
    pub async fn merge_patch(
        &self,
        resource: &Resource,
        name: &ObjectName,
        part: Part,
        patch: &Value,
    ) -> Result<(), KubeError> {
        let path = resource.object_path(name, part.path());
        let call = Call::with(Method::PATCH, path, MERGE, patch)?;
        self.call(call).await.map(drop)
    }

    /// Replaces an object that was read before: its resource version says what it was.
    ///
    /// # Errors
    /// [`KubeError::Conflict`] when somebody changed it meanwhile; else what is wrong with the way, our rights or the
    /// object.
    pub async fn replace<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        name: &ObjectName,
        part: Part,
        object: &impl Serialize,
    ) -> Result<T, KubeError> {
        let path = resource.object_path(name, part.path());
        self.json(Call::with(Method::PUT, path, JSON, object)?).await
    }

    /// Reads an object and writes the status that `decide` makes of it, or nothing; begins again when somebody else was
    /// quicker, so `decide` is called once or more often.
    ///
    /// # Errors
    /// [`KubeError::Conflict`] when others are quicker again and again; else what is wrong with the way, our rights or
    /// the status.
    pub async fn update_status(
        &self,
        resource: &Resource,
        name: &ObjectName,
        mut decide: impl FnMut(&Value) -> Option<Value>,
    ) -> Result<Written, KubeError> {
        let mut backoff = Backoff::new(RETRY, RETRY * 16);
        let mut attempts = 1;
        loop {
            let Some(mut object) = self.find::<Value>(resource, name).await? else {
                return Ok(Written::Gone);
            };
            let before = object.get("status").cloned().unwrap_or(Value::Null);
            let Some(status) = decide(&object).filter(|status| *status != before) else {
                return Ok(Written::Unchanged);
            };
            object["status"] = status;
            match self.replace::<Value>(resource, name, Part::Status, &object).await {
                Ok(_) => return Ok(Written::Changed),
                Err(KubeError::Conflict(_)) if attempts < ATTEMPTS => {
                    attempts += 1;
                    sleep(backoff.next_delay()).await;
                }
                Err(KubeError::NotFound(_)) => return Ok(Written::Gone),
                Err(e) => return Err(e),
            }
        }
    }

    /// Reads an object and applies (server-side) what is the writer's own of the status that `decide` makes of it, or nothing.
    /// It is for statuses whose lists are maps to the API server: others' entries are not touched, nor need they hold still.
    /// What the writer is to take away and did not apply itself (an earlier writer did) is taken away by a patch of the version that
    /// was read; then `decide` is called more than once.
    ///
    /// # Errors
    /// [`KubeError::Conflict`] when others are quicker again and again; else what is wrong with the way, our rights or
    /// the status.
    pub async fn apply_status(
        &self,
        resource: &Resource,
        name: &ObjectName,
        manager: &str,
        mut decide: impl FnMut(&Value) -> Option<SharedStatus>,
    ) -> Result<Written, KubeError> {
        let how = Apply { manager, force: true };
        let mut backoff = Backoff::new(RETRY, RETRY * 16);
        let mut attempts = 1;
        let mut written = Written::Unchanged;
        loop {
            let Some(object) = self.find::<Value>(resource, name).await? else {
                return Ok(Written::Gone);
            };
            let wanted = decide(&object).filter(|wanted| left_over(&object, &wanted.whole).is_some());
            let Some(wanted) = wanted else {
                return Ok(written);
            };
            let body = applied(resource, &object, &wanted.own);
            let after = match self
                .apply::<Value>(resource, name, Part::Status, how, &body)
                .await
            {
                Ok(after) => after,
                Err(KubeError::NotFound(_)) => return Ok(Written::Gone),
                Err(e) => return Err(e),
            };
            written = Written::Changed;
            let Some(left) = decide(&after).and_then(|wanted| left_over(&after, &wanted.whole)) else {
                return Ok(written);
            };
            match self.merge_patch(resource, name, Part::Status, &left).await {
                Ok(()) => return Ok(written),
                Err(KubeError::NotFound(_)) => return Ok(Written::Gone),
                Err(KubeError::Conflict(_)) if attempts < ATTEMPTS => {
                    attempts += 1;
                    sleep(backoff.next_delay()).await;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Deletes an object, and what belongs to it in the background; with a uid, only that one of this name. Says
    /// whether there was one.
    ///
    /// # Errors
    /// [`KubeError::Conflict`] when the object of this name has another uid; else what is wrong with the way or our
    /// rights.
    pub async fn delete(
        &self,
        resource: &Resource,
        name: &ObjectName,
        uid: Option<&str>,
    ) -> Result<bool, KubeError> {
        let mut options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
        if let Some(uid) = uid {
            options["preconditions"] = json!({ "uid": uid });
        }
        let path = resource.object_path(name, None);
        match self.call(Call::with(Method::DELETE, path, JSON, &options)?).await {
            Ok(_) => Ok(true),
            Err(KubeError::NotFound(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl Part {
    fn path(self) -> Option<&'static str> {
        match self {
            Self::Main => None,
            Self::Status => Some("status"),
        }
    }
}

/// What is sent to apply a part of an object's status; of another object of this name it is refused.
fn applied(resource: &Resource, object: &Value, own: &Value) -> Value {
    let of = &object["metadata"];
    let mut metadata = json!({"name": of["name"], "uid": of["uid"]});
    if !of["namespace"].is_null() {
        metadata["namespace"] = of["namespace"].clone();
    }
    json!({
        "apiVersion": resource.api_version(),
        "kind": resource.kind,
        "metadata": metadata,
        "status": own,
    })
}

/// The patch (RFC 7396) that makes of an object's status, in the version that was read, what it is to be; nothing where it is so.
fn left_over(object: &Value, whole: &Value) -> Option<Value> {
    let before = &object["status"];
    let is_empty = |status: &Value| status.as_object().is_none_or(serde_json::Map::is_empty);
    if before == whole || is_empty(before) && is_empty(whole) {
        return None;
    }
    let mut status = whole.clone();
    for field in before.as_object().into_iter().flat_map(|fields| fields.keys()) {
        if whole.get(field).is_none() {
            status[field] = Value::Null;
        }
    }
    Some(json!({"metadata": {"resourceVersion": object["metadata"]["resourceVersion"]}, "status": status}))
}

/// JSON is YAML, too.
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const RETRY: std::time::Duration = std::time::Duration::from_millis(10);
const ATTEMPTS: u32 = 5;

#[cfg(test)]
mod tests;
