//! Installing, upgrading and removing, step by step: look, refuse in time, run helm, and say what is there where it gave up.

use std::io::{self, Write as _};

use anyhow::anyhow;
use serde_json::Value;

use super::standing::{State, Step, aftermath, conflict, obstacle, state};
use super::{Hooks, Installation, Release, Target, Task, output, run};
use crate::ask::cluster::Asked;
use crate::exit::{Done, Failure};
use crate::leftovers;
use crate::objects::{self, Kinds, shown};
use crate::output::Format;
use crate::precheck::{self, Wanted, look};
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
    let release = args.release.release.as_str();
    refuse(cluster, Step::Install, &args.release).await?;
    if !args.skip_checks {
        tell("looking whether the cluster can take the mesh");
        let platform = args.values.platform()?;
        let facts = look::look(cluster.client(), cluster.system()).await?;
        let wanted = Wanted {
            system: cluster.system(),
            release,
            platform: &platform,
        };
        let checks = precheck::precheck(&facts, &wanted);
        let rendered = Task::Objects(&args.release, &args.values, &facts.kubernetes);
        let rendered = output(rendered, target)?;
        let conflicts = conflicts(cluster, &objects::read(&rendered)?, release).await?;
        if checks.has_errors() || !conflicts.is_empty() {
            let mut checks = checks.bad();
            for conflict in conflicts {
                checks.error(
                    "objects",
                    conflict,
                    "remove it, or install under another --system and --release",
                );
            }
            checks.view("").print(format)?;
            return Err(anyhow!("nothing was changed; --skip-checks goes on nevertheless").into());
        }
        for warning in checks.bad().all() {
            tell(&format!(
                "warning: {}: {}; {}",
                warning.matter, warning.found, warning.remedy
            ));
        }
    }
    helm(cluster, Step::Install, Task::Install(args), target).await?;
    if !args.dry_run {
        tell("installed; lateen verify-install looks at it, lateen status at its proxies");
    }
    Ok(Done::Good)
}

/// Upgrades.
///
/// # Errors
/// As [`install`].
pub async fn upgrade(cluster: &Asked, args: &Installation, target: &Target<'_>) -> Result<Done, Failure> {
    refuse(cluster, Step::Upgrade, &args.release).await?;
    helm(cluster, Step::Upgrade, Task::Upgrade(args), target).await?;
    if !args.dry_run {
        tell("upgraded; lateen verify-install looks at it");
    }
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
    let stands = state(cluster.client(), &release.release, cluster.system()).await?;
    // What an earlier one left can be taken away when the release itself is gone.
    if stands != State::Absent || !purge {
        refuse(cluster, Step::Uninstall, release).await?;
        let hooks = match leftovers::is_anybody_in_the_mesh(cluster).await? {
            true => Hooks::Run,
            false => Hooks::Skip,
        };
        if hooks == Hooks::Run {
            tell("taking namespaces and pods out of the mesh, then removing it");
        }
        let task = Task::Uninstall(release, hooks);
        helm(cluster, Step::Uninstall, task, target).await?;
    }
    let left = leftovers::find(cluster).await?;
    if !purge {
        leftovers::view(
            &left,
            "left in the cluster; lateen uninstall --purge takes it, too",
        )
        .print(format)?;
        return Ok(Done::Good);
    }
    leftovers::purge(cluster, &left).await?;
    leftovers::view(&left, "taken away").print(format)?;
    Ok(Done::Good)
}

/// Looks at an installation; where there is none, at whether there could be one.
///
/// # Errors
/// Fails when somebody who has to be asked does not answer.
pub async fn verify_install(
    cluster: &Asked,
    args: &super::VerifyArgs,
    target: &Target<'_>,
    format: Format,
) -> Result<Done, Failure> {
    let release = args.release.release.as_str();
    if state(cluster.client(), release, cluster.system()).await? == State::Absent {
        tell("there is no such release yet; looking whether the cluster can take it");
        let platform = args.values.platform()?;
        let facts = look::look(cluster.client(), cluster.system()).await?;
        let wanted = Wanted {
            system: cluster.system(),
            release,
            platform: &platform,
        };
        let mut checks = precheck::precheck(&facts, &wanted);
        let rendered = Task::Objects(&args.release, &args.values, &facts.kubernetes);
        let rendered = output(rendered, target)?;
        let rendered = objects::read(&rendered)?;
        for conflict in conflicts(cluster, &rendered, release).await? {
            checks.error(
                "objects",
                conflict,
                "remove it, or install under another --system and --release",
            );
        }
        checks.view("the cluster can take the mesh").print(format)?;
        return Ok(Done::unless(checks.has_errors()));
    }
    let rendered = output(Task::Installed(&args.release), target)?;
    let observed = live::observe(cluster, objects::read(&rendered)?).await?;
    let checks = verify::verify(&observed);
    checks.view("the mesh is installed and works").print(format)?;
    Ok(Done::unless(checks.has_errors()))
}

async fn refuse(cluster: &Asked, step: Step, release: &Release) -> Result<(), Failure> {
    let stands = state(cluster.client(), &release.release, cluster.system()).await?;
    match obstacle(step, stands, &release.release, cluster.system()) {
        Some(why) => Err(anyhow!(why).into()),
        None => Ok(()),
    }
}

async fn conflicts(cluster: &Asked, rendered: &[Value], release: &str) -> anyhow::Result<Vec<String>> {
    let mut kinds = Kinds::of(cluster.client());
    let mut found = Vec::new();
    for object in rendered {
        if let Some(live) = kinds.live(object, cluster.system()).await? {
            found.extend(conflict(object, &live, release, cluster.system()));
        }
    }
    Ok(found)
}

/// Runs helm; where it gives up, says what is there.
async fn helm(cluster: &Asked, step: Step, task: Task<'_>, target: &Target<'_>) -> Result<(), Failure> {
    let Err(error) = run(task, target) else {
        return Ok(());
    };
    if !task.is_dry_run() {
        for line in after(cluster, step, task, target).await {
            tell(&line);
        }
    }
    Err(error.into())
}

/// Whatever can still be said is said: the first error counts.
async fn after(cluster: &Asked, step: Step, task: Task<'_>, target: &Target<'_>) -> Vec<String> {
    let release = task.release();
    let Ok(stands) = state(cluster.client(), &release.release, cluster.system()).await else {
        return vec!["the cluster does not say what is there; helm status does, once it answers".to_owned()];
    };
    let mut there = Vec::new();
    if stands != State::Absent
        && let Ok(manifest) = output(Task::Installed(release), target)
        && let Ok(rendered) = objects::read(&manifest)
    {
        let mut kinds = Kinds::of(cluster.client());
        for object in rendered {
            if let Ok(Some(live)) = kinds.live(&object, cluster.system()).await {
                there.push(shown(&live));
            }
        }
    }
    // What runs is of more interest than what is read.
    there.sort_by_key(|object| !object.starts_with("DaemonSet") && !object.starts_with("Deployment"));
    let waiting = live::waiting(cluster).await.unwrap_or_default();
    aftermath(step, stands, &there, &waiting)
}

/// Progress is for people, and never mixed with answers.
fn tell(line: &str) {
    // Nobody is left to tell where this cannot be written.
    let _ = writeln!(io::stderr(), "{line}");
}
