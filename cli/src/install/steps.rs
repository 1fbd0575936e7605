//! Installing, upgrading and removing, step by step: look, refuse in time, run helm, and say what is there where it gave up.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::json;
use tempfile::NamedTempFile;

use super::helm::{self, InstallError, output};
use super::progress;
use super::standing::{Aftermath, Standing, State, Step, aftermath, obstacle, standing};
use super::survey::{conflicts, survey};
use super::{Hooks, Installation, Ownership, Release, Target, Task, Values};
use crate::ask::cluster::Asked;
use crate::check::Checks;
use crate::exit::{Done, Failure};
use crate::leftovers;
use crate::objects::{self, Kinds, shown};
use crate::output::{Format, View};
use crate::tell::tell;
use crate::verify::{self, live};

/// Installs.
///
/// # Errors
/// Fails when it cannot be done, having said what is there.
pub async fn install(
    cluster: &Asked,
    args: &Installation,
    target: &Target<'_>,
    format: Format,
) -> Result<Done, Failure> {
    refuse(cluster, Step::Install, &args.release).await?;
    let ownership = taken(cluster, args, &args.values, target, format).await?;
    let task = Task::Install(args, ownership);
    helm(cluster, Step::Install, task, target, format).await?;
    done(
        args,
        target,
        "installed; lateen verify-install looks at it, lateen status at its proxies",
    )
    .print(format)?;
    Ok(Done::Good)
}

/// Upgrades.
///
/// # Errors
/// As [`install`].
pub async fn upgrade(
    cluster: &Asked,
    args: &Installation,
    target: &Target<'_>,
    format: Format,
) -> Result<Done, Failure> {
    let stands = refuse(cluster, Step::Upgrade, &args.release).await?;
    // Helm goes on with what was set before, so that this is what the cluster has to take.
    let kept = kept(&args.release, stands, target)?;
    let values = Values {
        files: [vec![kept.path().to_owned()], args.values.files.clone()].concat(),
        set: args.values.set.clone(),
    };
    let ownership = taken(cluster, args, &values, target, format).await?;
    let task = Task::Upgrade(args, ownership);
    helm(cluster, Step::Upgrade, task, target, format).await?;
    done(args, target, "upgraded; lateen verify-install looks at it").print(format)?;
    Ok(Done::Good)
}

/// Removes; shows what is left, and takes that too where it is asked for.
///
/// # Errors
/// As [`install`].
pub async fn uninstall(
    cluster: &Asked,
    release: &Release,
    purge: bool,
    target: &Target<'_>,
    format: Format,
) -> Result<Done, Failure> {
    let name = release.release.as_str();
    let stands = standing(cluster.client(), name, cluster.system()).await?;
    let others = leftovers::other_releases(cluster, name).await?;
    if let Some(other) = others.first().filter(|_| purge) {
        return Err(anyhow!(
            "nothing was changed: {other} is in the cluster, and lives on CRDs that --purge takes away: lateen uninstall without \
             --purge, or remove that one first"
        )
        .into());
    }
    if stands.state != State::Absent {
        let hooks = match leftovers::is_anybody_in_the_mesh(cluster).await? {
            true => Hooks::Run,
            false => Hooks::Skip,
        };
        if hooks == Hooks::Run {
            tell("taking namespaces and pods out of the mesh, then removing it");
        }
        let task = Task::Uninstall(release, hooks);
        helm(cluster, Step::Uninstall, task, target, format).await?;
        leftovers::wait_for_control_plane(cluster, name, GONE).await?;
    } else if !purge && !others.is_empty() {
        refuse(cluster, Step::Uninstall, release).await?;
    }
    let left = leftovers::find(cluster, name).await?;
    let (gone, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|left| left.goes(purge));
    // What an earlier one left can be taken away when the release itself is gone.
    if stands.state == State::Absent && !purge && gone.is_empty() {
        refuse(cluster, Step::Uninstall, release).await?;
    }
    leftovers::remove(cluster, &gone).await?;
    leftovers::view(&gone, &left, purge).print(format)?;
    Ok(Done::Good)
}

/// Looks whether the cluster can take the mesh.
///
/// # Errors
/// Fails when somebody who has to be asked does not answer.
pub async fn precheck(
    cluster: &Asked,
    release: &Release,
    values: &Values,
    target: &Target<'_>,
    format: Format,
) -> Result<Done, Failure> {
    let checks = survey(cluster, release, values, target).await?;
    checks.view("the cluster can take the mesh").print(format)?;
    Ok(Done::unless(checks.has_errors()))
}

/// Looks at an installation; where there is none, at whether there could be one.
///
/// # Errors
/// As [`precheck`].
pub async fn verify_install(
    cluster: &Asked,
    args: &super::VerifyArgs,
    target: &Target<'_>,
    format: Format,
) -> Result<Done, Failure> {
    let release = args.release.release.as_str();
    if standing(cluster.client(), release, cluster.system()).await?.state == State::Absent {
        tell("there is no such release yet; looking whether the cluster can take it");
        return precheck(cluster, &args.release, &args.values, target, format).await;
    }
    let rendered = output(Task::Installed(&args.release), target)?;
    let observed = live::observe(cluster, objects::read(&rendered)?).await?;
    let checks = verify::verify(&observed);
    let well = format!(
        "the mesh is installed and works; no connection was tried: helm test {release} -n {} does that",
        cluster.system()
    );
    checks.view(&well).print(format)?;
    Ok(Done::unless(checks.has_errors()))
}

/// Whether helm may take the charts to the cluster, and what it may take over.
async fn taken(
    cluster: &Asked,
    args: &Installation,
    values: &Values,
    target: &Target<'_>,
    format: Format,
) -> Result<Ownership, Failure> {
    let ownership = values.ownership()?;
    let checks = match (args.skip_checks, ownership) {
        (false, _) => {
            tell("looking whether the cluster can take the mesh");
            survey(cluster, &args.release, values, target).await?
        }
        // Helm would take everything of others that has one of the release's names, and not only CRDs.
        (true, Ownership::Take) => conflicts(cluster, &args.release, values, target).await?,
        (true, Ownership::Respect) => Checks::default(),
    };
    if checks.has_errors() {
        checks.bad().view("").print(format)?;
        let why = if args.skip_checks {
            "nothing was changed; objects of others are not taken over with base.crds.adopt"
        } else {
            "nothing was changed; --skip-checks goes on nevertheless"
        };
        return Err(anyhow!(why).into());
    }
    for warning in checks.bad().all() {
        tell(&format!(
            "warning: {}: {}; {}",
            warning.matter, warning.found, warning.remedy
        ));
    }
    Ok(ownership)
}

/// What was set in the revision whose values helm goes on with.
fn kept(release: &Release, stands: Standing, target: &Target<'_>) -> anyhow::Result<NamedTempFile> {
    let values = output(Task::Kept(release, stands.good), target)?;
    let file = NamedTempFile::new().context("a file of the values that were set before")?;
    std::fs::write(file.path(), values).context("a file of the values that were set before")?;
    Ok(file)
}

fn done(args: &Installation, target: &Target<'_>, what: &str) -> View {
    let line = if args.dry_run {
        "the cluster would take it; nothing was changed"
    } else {
        what
    };
    let data = json!({
        "release": args.release.release,
        "namespace": target.system,
        "version": env!("CARGO_PKG_VERSION"),
        "changed": !args.dry_run,
    });
    View::lines([line.to_owned()], data)
}

/// How the release stands, where it may be done.
async fn refuse(cluster: &Asked, step: Step, release: &Release) -> Result<Standing, Failure> {
    let stands = standing(cluster.client(), &release.release, cluster.system()).await?;
    match obstacle(step, stands, &release.release, cluster.system()) {
        Some(why) => Err(anyhow!(why).into()),
        None => Ok(stands),
    }
}

/// Runs helm, and tells what it waits for; where it gives up, says what is there.
async fn helm(
    cluster: &Asked,
    step: Step,
    task: Task<'_>,
    target: &Target<'_>,
    format: Format,
) -> Result<(), Failure> {
    let stops = helm::stops().context("signals")?;
    let progress = async {
        if task.is_dry_run() {
            std::future::pending::<()>().await;
        }
        progress::follow(cluster, step, LOOK, tell).await
    };
    let ended = helm::change(task, target, format, progress, stops).await?;
    if ended.status.success() {
        return match step {
            Step::Uninstall if ended.stopped => Err(anyhow!(
                "the release is removed, and what it left was not looked at: lateen uninstall again does that"
            )
            .into()),
            _ => Ok(()),
        };
    }
    let remedy = if task.is_dry_run() {
        "nothing was changed".to_owned()
    } else {
        let after = after(cluster, step, task, target).await;
        after.lines.iter().for_each(|line| tell(line));
        after.remedy
    };
    let status = ended.status;
    Err(InstallError::Helm { status, remedy }.into())
}

/// Whatever can still be said is said: the first error counts.
async fn after(cluster: &Asked, step: Step, task: Task<'_>, target: &Target<'_>) -> Aftermath {
    let (release, system) = (task.release(), cluster.system());
    let name = release.release.as_str();
    let Ok(stands) = standing(cluster.client(), name, system).await else {
        return Aftermath {
            lines: Vec::new(),
            remedy: format!(
                "the cluster does not say what is there; helm status {name} -n {system} does, once it answers"
            ),
        };
    };
    let mut there = Vec::new();
    if stands.state != State::Absent
        && let Ok(manifest) = output(Task::Installed(release), target)
        && let Ok(rendered) = objects::read(&manifest)
    {
        let mut kinds = Kinds::of(cluster.client());
        for object in rendered {
            if let Ok(Some(live)) = kinds.live(&object, system).await {
                there.push(shown(&live));
            }
        }
    }
    // What runs is of more interest than what is read.
    there.sort_by_key(|object| !object.starts_with("DaemonSet") && !object.starts_with("Deployment"));
    let waiting = live::waiting(cluster).await.unwrap_or_default();
    aftermath(step, stands, (name, system), &there, &waiting)
}

/// How often it is looked what helm waits for.
const LOOK: Duration = Duration::from_secs(5);
/// How long a control plane may take to go after its Deployment.
const GONE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
