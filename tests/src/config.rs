//! The directory of YAML that the control plane reads, and the objects that the lab writes into it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A directory of YAML files, each replaced as a whole (write, then rename), as editors and ConfigMaps do.
#[derive(Clone, Debug)]
pub struct ConfigDir(PathBuf);

/// A Pod, as far as the lab needs one.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its service account.
    pub service_account: String,
    /// The node it runs on, by index.
    pub node: usize,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

impl ConfigDir {
    /// Makes the directory.
    ///
    /// # Errors
    /// Fails when it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes one file.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let hidden = self.0.join(format!(".{name}.new"));
        fs::write(&hidden, text).with_context(|| hidden.display().to_string())?;
        fs::rename(&hidden, self.0.join(name)).with_context(|| name.to_owned())
    }

    /// Reads one file.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.0.join(name)).with_context(|| name.to_owned())
    }

    /// Removes one file.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.0.join(name)).with_context(|| name.to_owned())
    }

    /// Writes a Namespace, enrolled or not.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn namespace(&self, name: &str, enrolled: bool) -> Result<()> {
        let labels = if enrolled {
            "labels: {istio.io/dataplane-mode: ambient}"
        } else {
            "labels: {}"
        };
        let text = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  {labels}\n");
        self.write(&format!("namespace-{name}.yaml"), &text)
    }

    /// Writes a Pod.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn pod(&self, pod: &PodSpec) -> Result<()> {
        self.write(&pod.file(), &pod.yaml())
    }

    /// Writes a Service that selects `app: <app>`.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn service(
        &self,
        namespace: &str,
        name: &str,
        vip: &str,
        app: &str,
        ports: &[(u16, u16)],
    ) -> Result<()> {
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  clusterIP: \"{vip}\"\n  selector: {{app: {app}}}\n  ports:\n"
        );
        for (port, target) in ports {
            writeln!(
                text,
                "  - {{name: tcp-{port}, port: {port}, targetPort: {target}}}"
            )?;
        }
        self.write(&format!("service-{namespace}-{name}.yaml"), &text)
    }
}

impl PodSpec {
    /// A pod that is called like its application and has a service account of that name.
    #[must_use]
    pub fn new(namespace: &str, name: &str, node: usize) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            service_account: name.to_owned(),
            node,
            labels: vec![("app".to_owned(), name.to_owned())],
        }
    }

    /// The same with one label more.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.retain(|(k, _)| k != key);
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The same with another service account.
    #[must_use]
    pub fn service_account(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service_account);
        self
    }

    /// The file it is written to.
    #[must_use]
    pub fn file(&self) -> String {
        format!("pod-{}-{}.yaml", self.namespace, self.name)
    }

    fn yaml(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(k, v)| format!("{k}: \"{v}\"")).collect();
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {}\n  namespace: {}\n  labels: {{{}}}\nspec:\n  serviceAccountName: {}\n  nodeName: {}\n  containers: [{{name: app, image: app}}]\n",
            self.name,
            self.namespace,
            labels.join(", "),
            self.service_account,
            crate::lab::node_name(self.node),
        )
    }
}
