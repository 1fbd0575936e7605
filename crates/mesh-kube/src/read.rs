//! Reading: one object, lists, which versions are served.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::client::{Call, KubeClient};
use crate::error::KubeError;
use crate::resource::{ObjectName, Resource, escape};
use crate::watch::Selection;

/// A page of a list, as the API server sends it.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<'a> {
    #[serde(default)]
    pub(crate) metadata: ListMeta,
    /// Go writes an empty list as `null`.
    #[serde(default, borrow)]
    pub(crate) items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMeta {
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default, rename = "continue")]
    pub(crate) next: String,
}

#[derive(Debug, Deserialize)]
struct GroupVersions {
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Debug, Deserialize)]
struct GroupVersion {
    version: String,
}

#[derive(Debug, Deserialize)]
struct Served {
    #[serde(default)]
    resources: Vec<ServedResource>,
}

#[derive(Debug, Deserialize)]
struct ServedResource {
    name: String,
}

impl KubeClient {
    /// An object.
    ///
    /// # Errors
    /// [`KubeError::NotFound`] when there is none; else what is wrong with the way, our rights or the object.
    pub async fn get<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        object: &ObjectName,
    ) -> Result<T, KubeError> {
        self.json(Call::get(resource.object_path(object, None))).await
    }

    /// An object, if there is one.
    ///
    /// # Errors
    /// Fails with what is wrong with the way, our rights or the object.
    pub async fn find<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        object: &ObjectName,
    ) -> Result<Option<T>, KubeError> {
        match self.get(resource, object).await {
            Ok(found) => Ok(Some(found)),
            Err(KubeError::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All objects that are selected. For what is needed once; whoever keeps them watches instead.
    ///
    /// # Errors
    /// Fails with what is wrong with the way or our rights, and when an object is no `T`.
    pub async fn list<T: DeserializeOwned>(&self, selection: &Selection) -> Result<Vec<T>, KubeError> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let body = self.call(selection.list_call(&next)).await?;
            let bad = |e: serde_json::Error| KubeError::BadAnswer(e.to_string());
            let page: Page<'_> = serde_json::from_slice(&body).map_err(bad)?;
            for item in page.items.unwrap_or_default() {
                all.push(serde_json::from_str(item.get()).map_err(bad)?);
            }
            if page.metadata.next.is_empty() {
                return Ok(all);
            }
            next = page.metadata.next;
        }
    }

    /// The versions in which a resource of a group is served, the one that the API server prefers first. Empty when it
    /// is not served.
    ///
    /// # Errors
    /// Fails with what is wrong with the way or our rights.
    pub async fn served_versions(&self, group: &str, plural: &str) -> Result<Vec<String>, KubeError> {
        let (root, versions) = if group.is_empty() {
            ("/api".to_owned(), vec!["v1".to_owned()])
        } else {
            let mut root = "/apis/".to_owned();
            escape(&mut root, group);
            let found: GroupVersions = match self.json(Call::get(root.clone())).await {
                Err(KubeError::NotFound(_)) => return Ok(Vec::new()),
                found => found?,
            };
            let versions = found.versions.into_iter().map(|v| v.version).collect();
            (root, versions)
        };
        let mut serving = Vec::new();
        for version in versions {
            let mut path = format!("{root}/");
            escape(&mut path, &version);
            let served: Served = match self.json(Call::get(path)).await {
                // A version that went away meanwhile.
                Err(KubeError::NotFound(_)) => continue,
                served => served?,
            };
            if served.resources.iter().any(|r| r.name == plural) {
                serving.push(version);
            }
        }
        Ok(serving)
    }
}

#[cfg(test)]
mod tests;
