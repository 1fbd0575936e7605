//! Installing, upgrading and removing, step by step: look, refuse in time, run helm, and say what is there where it gave up.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::json;
use tempfile::NamedTempFile;

use super::helm::{self, InstallError, output};
use super::progress;
use super::standing::{Aftermath, Named, Standing, State, Step, aftermath, obstacle, standing};
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
    let mut stops = helm::stops().context("signals")?;
    let prepare = async {
        refuse(cluster, Step::Install, &args.release).await?;
        taken(cluster, args, &args.values, target, format).await
    };
    let ownership = unless(&mut stops, prepare, UNCHANGED).await?;
    let task = Task::Install(args, ownership);
    helm(cluster, Step::Install, task, target, format, &mut stops).await?;
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
    let mut stops = helm::stops().context("signals")?;
    let prepare = async {
        let stands = refuse(cluster, Step::Upgrade, &args.release).await?;
        // Helm goes on with what was set before, so that this is what the cluster has to take.
        let kept = kept(&args.release, stands, target).await?;
        let values = Values {
            files: [vec![kept.path().to_owned()], args.values.files.clone()].concat(),
            set: args.values.set.clone(),
        };
        taken(cluster, args, &values, target, format).await
    };
    let ownership = unless(&mut stops, prepare, UNCHANGED).await?;
    let task = Task::Upgrade(args, ownership);
    helm(cluster, Step::Upgrade, task, target, format, &mut stops).await?;
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
    let mut stops = helm::stops().context("signals")?;
    let prepare = prepare_removal(cluster, release, purge);
    let (hooks, others) = unless(&mut stops, prepare, UNCHANGED).await?;
    if let Some(hooks) = hooks {
        if hooks == Hooks::Run {
            tell("taking namespaces and pods out of the mesh, then removing it");
        }
        let task = Task::Uninstall(release, hooks);
        helm(cluster, Step::Uninstall, task, target, format, &mut stops).await?;
    }
    let rest = clear(cluster, release, purge, hooks.is_some(), others);
    let view = unless(&mut stops, rest, LEFT).await?;
    view.print(format)?;
    Ok(Done::Good)
}

/// How helm is to remove the release, where there is one, and whether other releases are there.
async fn prepare_removal(
    cluster: &Asked,
    release: &Release,
    purge: bool,
) -> Result<(Option<Hooks>, bool), Failure> {
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
    if stands.state == State::Absent {
        return Ok((None, !others.is_empty()));
    }
    let hooks = match leftovers::is_anybody_in_the_mesh(cluster).await? {
        true => Hooks::Run,
        false => Hooks::Skip,
    };
    Ok((Some(hooks), !others.is_empty()))
}

/// Takes away what the release itself does not have, and says what is left.
async fn clear(
    cluster: &Asked,
    release: &Release,
    purge: bool,
    was_there: bool,
    others: bool,
) -> Result<View, Failure> {
    let name = release.release.as_str();
    if was_there {
        leftovers::wait_for_control_plane(cluster, name, GONE).await?;
    } else if !purge && others {
        refuse(cluster, Step::Uninstall, release).await?;
    }
    let left = leftovers::find(cluster, name).await?;
    let (gone, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|left| left.goes(purge));
    // What an earlier one left can be taken away when the release itself is gone.
    if !was_there && !purge && gone.is_empty() {
        refuse(cluster, Step::Uninstall, release).await?;
    }
    leftovers::remove(cluster, &gone).await?;
    Ok(leftovers::view(&gone, &left, purge))
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
    let rendered = output(Task::Installed(&args.release), target).await?;
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
async fn kept(release: &Release, stands: Standing, target: &Target<'_>) -> anyhow::Result<NamedTempFile> {
    let values = output(Task::Kept(release, stands.good), target).await?;
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
    match obstacle(step, stands, named(cluster, release)) {
        Some(why) => Err(anyhow!(why).into()),
        None => Ok(stands),
    }
}

fn named<'a>(cluster: &'a Asked, release: &'a Release) -> Named<'a> {
    Named {
        release: &release.release,
        system: cluster.system(),
    }
}

/// The outcome of `work`, unless somebody wants us to stop before it is there.
async fn unless<T>(
    stops: &mut impl AsyncFnMut(),
    work: impl Future<Output = Result<T, Failure>>,
    so_far: &'static str,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        () = stops() => Err(anyhow!("stopped; {so_far}").into()),
    }
}

/// Runs helm, and tells what it waits for; where it gives up or is stopped, says what is there.
async fn helm(
    cluster: &Asked,
    step: Step,
    task: Task<'_>,
    target: &Target<'_>,
    format: Format,
    stops: &mut impl AsyncFnMut(),
) -> Result<(), Failure> {
    let progress = async {
        if task.is_dry_run() {
            std::future::pending::<()>().await;
        }
        progress::follow(cluster, step, LOOK, tell).await
    };
    let ended = helm::change(task, target, format, progress, stops, STOP).await?;
    let status = ended.status;
    if status.success() {
        return match step {
            Step::Uninstall if ended.stopped => Err(anyhow!("stopped; {LEFT}").into()),
            _ => Ok(()),
        };
    }
    let remedy = if task.is_dry_run() {
        "nothing was changed".to_owned()
    } else {
        let after = tokio::select! {
            after = after(cluster, step, task, target) => after,
            () = stops() => unseen(named(cluster, task.release())),
        };
        after.lines.iter().for_each(|line| tell(line));
        after.remedy
    };
    Err(match ended.stopped {
        true => InstallError::Stopped { status, remedy },
        false => InstallError::Helm { status, remedy },
    }
    .into())
}

/// Whatever can still be said is said: the first error counts.
async fn after(cluster: &Asked, step: Step, task: Task<'_>, target: &Target<'_>) -> Aftermath {
    let (release, system) = (task.release(), cluster.system());
    let named = named(cluster, release);
    let Ok(stands) = standing(cluster.client(), &release.release, system).await else {
        return unseen(named);
    };
    let mut there = Vec::new();
    if stands.state != State::Absent
        && let Ok(manifest) = output(Task::Installed(release), target).await
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
    aftermath(step, stands, named, &there, &waiting)
}

/// Nobody could look.
fn unseen(named: Named<'_>) -> Aftermath {
    let Named { release, system } = named;
    Aftermath {
        lines: Vec::new(),
        remedy: format!(
            "the cluster does not say what is there; helm status {release} -n {system} does, once it answers"
        ),
    }
}

const UNCHANGED: &str = "nothing was changed";
const LEFT: &str =
    "the release is removed, and what it left was not looked at: lateen uninstall again does that";
/// How long helm may take to end once it is told to stop: it writes down what became of the release.
const STOP: Duration = Duration::from_secs(30);
/// How often it is looked what helm waits for.
const LOOK: Duration = Duration::from_secs(5);
/// How long a control plane may take to go after its Deployment.
const GONE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
