//! How to look around in a mesh that is left running.

use anyhow::Result;
use lab::Pod;
use lab::world::{Rights, World};

use crate::cast::Cast;
use crate::screen::{self, note, say};
use crate::waypoint::Stage;

/// Prints commands that work as they stand.
pub(crate) fn print(cast: &Cast, stage: &Stage, world: &World) -> Result<()> {
    screen::heading("The mesh goes on running: how to look around");
    let pid = world.outer_pid.map_or_else(
        || "<process id of the inner demo>".to_owned(),
        |pid| pid.to_string(),
    );
    let enter = enter(world.rights, &pid);
    let outside = |path: String| format!("/proc/{pid}/root{path}");

    note("A shell inside the lab, from another terminal:");
    command(&format!("{enter} bash"));
    note("In that shell, a shell inside a pod, and calls from there:");
    let web = cast.pod("web")?;
    command(&format!("{} bash", inside(web)));
    command("curl http://cart.shop/                       # twice: a cart on each node answers");
    command(&format!(
        "curl http://{}:8080/                 # cart-b, on the other node",
        cast.pod("cart-b")?.v4()
    ));
    let batch = cast.pod("batch")?;
    command(&format!(
        "{} redis-cli -h {} ping   # from outside the mesh: refused (STRICT)",
        inside(batch),
        cast.pod("cache")?.v4()
    ));
    if let Some(waypoint) = stage.waypoint() {
        let ns = waypoint.replicas[0].pod.namespace().path();
        let ns = ns.display();
        command(&format!(
            "{} curl -i http://reviews.store/        # through the waypoint",
            inside(stage.shopper())
        ));
        command(&format!(
            "nsenter --net={ns} curl -s localhost:15000/config_dump   # what the waypoint knows"
        ));
    }
    note("Pods:");
    for pod in cast.pods().chain(stage.pods()) {
        command(&format!(
            "{:<15} {:<12} /run/netns/{}",
            pod.full_name(),
            pod.v4(),
            pod.namespace()
        ));
    }
    note("The YAML; edit it, and the mesh follows (the same files inside the lab: without the first part):");
    command(&outside(cast.lab.config().path().display().to_string()));
    note("Logs of everything; the access log is in those of the ztunnels:");
    command(&format!(
        "tail -f {}/node*-ztunnel.log",
        outside(cast.lab.logs().display().to_string())
    ));
    note("In the shell inside the lab: what each part knows of itself:");
    for node in cast.lab.nodes() {
        let ns = node.ztunnel_namespace().path();
        let ns = ns.display();
        command(&format!(
            "nsenter --net={ns} curl -s localhost:15000/config_dump   # {}'s ztunnel",
            node.name()
        ));
        command(&format!("nsenter --net={ns} curl -s localhost:15020/metrics"));
    }
    let control = cast.lab.control_namespace().path();
    for page in ["debug/config", "metrics"] {
        command(&format!(
            "nsenter --net={} curl -s localhost:15014/{page}   # control plane",
            control.display()
        ));
    }
    say("");
    note("Ctrl-C here takes everything down.");
    Ok(())
}

/// The command that runs another one inside the lab.
fn enter(rights: Rights, pid: &str) -> String {
    let user = match rights {
        Rights::Root => "",
        Rights::UserNamespace | Rights::SingleUser => " --user --preserve-credentials",
    };
    format!("nsenter --target {pid}{user} --mount --net --pid --ipc --uts")
}

fn inside(pod: &Pod) -> String {
    format!("nsenter --net={}", pod.namespace().path().display())
}

fn command(text: &str) {
    say(&format!("      {text}"));
}
