//! Whether a cluster can take what is to be installed: what it says of itself, our rights in it, and what others have there.

use serde_json::Value;

use super::helm::{InstallError, output};
use super::standing::conflict;
use super::{Release, Target, Task, Values};
use crate::ask::cluster::Asked;
use crate::check::Checks;
use crate::objects::{self, Kinds};
use crate::precheck::{self, Wanted, look, rights};

/// Looks, and judges.
///
/// # Errors
/// Fails where something that has to be known cannot be asked, and where helm does not render the charts.
pub async fn survey(
    cluster: &Asked,
    release: &Release,
    values: &Values,
    target: &Target<'_>,
) -> anyhow::Result<Checks> {
    let platform = values.platform()?;
    let mut facts = look::without_rights(cluster.client(), cluster.system()).await?;
    let rendered = match output(Task::Objects(release, values, &facts.kubernetes), target).await {
        Ok(rendered) => Some(objects::read(&rendered)?),
        // The rest can be said without it.
        Err(InstallError::NoHelm(..)) => None,
        Err(error) => return Err(error.into()),
    };
    let mut kinds = Kinds::of(cluster.client());
    let mut conflicts = Vec::new();
    if let Some(rendered) = &rendered {
        let needs = rights::needs(rendered, &mut kinds).await?;
        facts.denied = rights::denied(cluster.client(), &needs.rights, cluster.system()).await?;
        facts.unserved = needs.unserved;
        conflicts = conflicting(cluster, &mut kinds, rendered, &release.release).await?;
    }
    let wanted = Wanted {
        system: cluster.system(),
        release: &release.release,
        platform: &platform,
    };
    let mut checks = precheck::precheck(&facts, &wanted);
    if rendered.is_none() {
        checks.error(
            "helm",
            format!(
                "{}: cannot be run, so that rights and objects of others were not looked at",
                release.helm.display()
            ),
            "https://helm.sh/docs/intro/install, or name another place with --helm PATH",
        );
    }
    add(&mut checks, conflicts);
    Ok(checks)
}

/// What others have of what is to be installed, and nothing else.
///
/// # Errors
/// As [`survey`].
pub async fn conflicts(
    cluster: &Asked,
    release: &Release,
    values: &Values,
    target: &Target<'_>,
) -> anyhow::Result<Checks> {
    let facts = look::without_rights(cluster.client(), cluster.system()).await?;
    let rendered = output(Task::Objects(release, values, &facts.kubernetes), target).await?;
    let rendered = objects::read(&rendered)?;
    let mut kinds = Kinds::of(cluster.client());
    let mut checks = Checks::default();
    add(
        &mut checks,
        conflicting(cluster, &mut kinds, &rendered, &release.release).await?,
    );
    Ok(checks)
}

async fn conflicting(
    cluster: &Asked,
    kinds: &mut Kinds,
    rendered: &[Value],
    release: &str,
) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    // Helm makes those of hooks anew each time.
    for object in rendered.iter().filter(|object| !is_hook(object)) {
        if let Some(live) = kinds.live(object, cluster.system()).await? {
            found.extend(conflict(object, &live, release, cluster.system()));
        }
    }
    Ok(found)
}

fn add(checks: &mut Checks, conflicts: Vec<String>) {
    for conflict in conflicts {
        checks.error(
            "objects",
            conflict,
            "remove it, or install under another --system and --release",
        );
    }
}

fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/hook"].is_string()
}
