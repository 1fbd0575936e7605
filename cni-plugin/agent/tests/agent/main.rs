//! The agent as a process, with real rules in real namespaces, between a control plane and a ztunnel of the test's own.

mod world;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use cni_plugin::event::{AddEvent, Event, GcEvent};
use mesh_net::Netns;
use mesh_net::process::in_namespaces;
use mesh_register::{Membership, Redirection};

use world::{Ack, World, eventually, is_captured, sh, uid};

fn in_world(body: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime
        .expect("a runtime")
        .block_on(async { body(World::new().await).await });
}

#[test]
fn a_pod_joins_and_leaves() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let ztunnel = world.ztunnel(Ack::Yes);
            world.assign(1, Membership::Member);
            let pod = world.pod(1);
            let answer = world.add(1).await;
            assert_eq!((answer.status, answer.text.as_str()), (200, ""));
            // Granted means: all of it is so now.
            assert!(is_captured(&pod));
            assert!(ztunnel.pods.lock().contains(&uid(1)));
            assert_eq!(*world.control.reported.lock(), [(uid(1), Redirection::Enabled)]);
            assert_eq!(world.ask(Event::Status).await.status, 200);
            assert_eq!(world.ask(Event::Check(world.sandbox(1))).await.status, 200);

            let answer = world.ask(Event::Del(world.sandbox(1))).await;
            assert_eq!(answer.status, 200);
            assert!(ztunnel.pods.lock().is_empty());
            assert_eq!(*world.control.withdrawn.lock(), [uid(1)]);
            assert!(is_captured(&pod), "what is left of a pod stays closed");
            assert_eq!(world.ask(Event::Check(world.sandbox(1))).await.status, 500);
        });
    });
}

/// As a plugin that is not one of the chain tells of it.
#[test]
fn of_a_pod_whose_addresses_nobody_tells_they_are_found_in_its_network() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let _ztunnel = world.ztunnel(Ack::Yes);
            world.assign(1, Membership::Member);
            let pod = world.pod(1);
            let untold = AddEvent {
                ips: Vec::new(),
                ..world.add_event(1)
            };
            let answer = world.ask(Event::Add(untold.clone())).await;
            assert_eq!(answer.status, 400, "{}", answer.text);
            assert!(answer.text.contains("0 addresses"), "{}", answer.text);
            pod.run(|| {
                sh("ip link add eth0 type veth peer name out");
                sh("ip address add 10.0.0.1/24 dev eth0");
                sh("ip link set eth0 up");
            })
            .expect("the namespace");
            let answer = world.ask(Event::Add(untold)).await;
            assert_eq!((answer.status, answer.text.as_str()), (200, ""));
            assert!(is_captured(&pod));
        });
    });
}

#[test]
fn a_pod_outside_the_mesh_is_not_touched() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            world.assign(1, Membership::Outside);
            let pod = world.pod(1);
            // Without any ztunnel.
            assert_eq!(world.add(1).await.status, 200);
            assert!(!is_captured(&pod));
            assert_eq!(*world.control.reported.lock(), [(uid(1), Redirection::Plain)]);
        });
    });
}

#[test]
fn whoever_is_missing_fails_the_add_by_name_and_leaves_the_pod_closed() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let pod = world.pod(1);
            let answer = world.add(1).await;
            assert_eq!(answer.status, 503);
            assert!(
                answer.text.contains("has not assigned pod shop/web-1"),
                "{}",
                answer.text
            );

            world.assign(1, Membership::Member);
            let answer = world.add(1).await;
            assert_eq!(answer.status, 503);
            assert!(answer.text.contains("ztunnel"), "{}", answer.text);
            assert!(is_captured(&pod));

            let ztunnel = world.ztunnel(Ack::No);
            let answer = world.add(1).await;
            assert_eq!(answer.status, 500);
            assert!(answer.text.contains("port 15001 is taken"), "{}", answer.text);
            ztunnel.stop();

            // Nobody listens at this address.
            world.kill_agent();
            world.start_agent_of("http://127.0.0.1:9").await;
            let _ztunnel = world.ztunnel(Ack::Yes);
            let _pod = world.pod(2);
            let answer = world.add(2).await;
            assert_eq!(answer.status, 503);
            assert!(
                answer.text.contains("control plane cannot be reached"),
                "{}",
                answer.text
            );
        });
    });
}

#[test]
fn a_crashed_agent_finds_its_pods_again_and_ztunnel_keeps_them() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let ztunnel = world.ztunnel(Ack::Yes);
            for n in [1, 2] {
                world.assign(n, Membership::Member);
                world.pod(n);
                assert_eq!(world.add(n).await.status, 200);
            }
            world.kill_agent();
            // Meanwhile one pod ends, and its DEL is missed; the rules of the other are lost.
            let pod = Netns::open(&world.netns(1)).expect("the namespace");
            pod.run(|| sh("nft flush ruleset")).expect("the namespace");
            Netns::delete_at(&world.netns(2)).expect("deleted");
            let before = *ztunnel.snapshots.lock();
            world.start_agent().await;
            eventually("the snapshot after the restart", || {
                *ztunnel.snapshots.lock() > before
            })
            .await;
            eventually("the rules are repaired", || is_captured(&pod)).await;
            eventually("only the living pod is left", || {
                *ztunnel.pods.lock() == [uid(1)].into() && *world.control.withdrawn.lock() == [uid(2)]
            })
            .await;
            eventually("the living pod is registered again", || {
                let reported = world.control.reported.lock();
                reported.iter().filter(|(pod, _)| *pod == uid(1)).count() >= 2
            })
            .await;
            assert_eq!(world.ask(Event::Del(world.sandbox(1))).await.status, 200);
        });
    });
}

#[test]
fn an_agent_that_crashes_between_rules_and_acknowledgement_leaves_the_pod_closed_and_goes_on() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let silent = world.ztunnel(Ack::Never);
            world.assign(1, Membership::Member);
            let pod = world.pod(1);
            let event = Event::Add(world.add_event(1));
            let socket = world.events();
            let add = tokio::task::spawn_blocking(move || {
                cni_plugin::agent::ask(&socket, &event, std::time::Duration::from_secs(60))
            });
            eventually("the rules are there", || is_captured(&pod)).await;
            world.kill_agent();
            assert!(
                add.await
                    .expect("no panic")
                    .map(|answer| answer.status)
                    .unwrap_or(0)
                    != 200,
                "not granted"
            );
            silent.stop();
            assert!(is_captured(&pod));
            assert!(world.control.reported.lock().is_empty());

            world.start_agent().await;
            let ztunnel = world.ztunnel(Ack::Yes);
            eventually("the enrolment goes on", || {
                ztunnel.pods.lock().contains(&uid(1)) && !world.control.reported.lock().is_empty()
            })
            .await;
            assert!(is_captured(&pod));
            assert_eq!(world.add(1).await.status, 200);
        });
    });
}

#[test]
fn a_running_pod_is_enrolled_and_released_as_the_control_plane_says() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let ztunnel = world.ztunnel(Ack::Yes);
            world.assign(1, Membership::Outside);
            let pod = world.pod(1);
            assert_eq!(world.add(1).await.status, 200);
            for _ in 0..2 {
                world.assign(1, Membership::Member);
                eventually("enrolled", || {
                    world.control.reported.lock().last() == Some(&(uid(1), Redirection::Enabled))
                })
                .await;
                assert!(is_captured(&pod) && ztunnel.pods.lock().contains(&uid(1)));
                world.assign(1, Membership::Outside);
                eventually("released", || ztunnel.pods.lock().is_empty()).await;
                assert!(!is_captured(&pod));
                assert_eq!(
                    world.control.reported.lock().last(),
                    Some(&(uid(1), Redirection::Plain))
                );
            }
        });
    });
}

#[test]
fn rules_that_somebody_changes_are_put_right_in_the_pod_and_on_the_node() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let _ztunnel = world.ztunnel(Ack::Yes);
            world.assign(1, Membership::Member);
            let pod = world.pod(1);
            assert_eq!(world.add(1).await.status, 200);
            let on_node = || {
                let output = std::process::Command::new("nft")
                    .args(["list", "ruleset"])
                    .output();
                let listing = String::from_utf8_lossy(&output.expect("nft").stdout).into_owned();
                listing.contains("snat ip to 169.254.7.127") && listing.contains("10.0.0.1")
            };
            assert!(on_node());
            pod.run(|| sh("nft flush ruleset")).expect("the namespace");
            sh("nft flush ruleset");
            eventually("repaired", || is_captured(&pod) && on_node()).await;
        });
    });
}

#[test]
fn an_address_of_a_pod_whose_del_was_missed_passes_to_the_next_pod() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let ztunnel = world.ztunnel(Ack::Yes);
            for n in [1, 2] {
                world.assign(n, Membership::Member);
                world.pod(n);
            }
            assert_eq!(world.add(1).await.status, 200);
            let heir = AddEvent {
                ips: world.add_event(1).ips,
                ..world.add_event(2)
            };
            assert_eq!(world.ask(Event::Add(heir)).await.status, 200);
            eventually("the first pod is gone", || {
                *ztunnel.pods.lock() == [uid(2)].into() && *world.control.withdrawn.lock() == [uid(1)]
            })
            .await;
        });
    });
}

#[test]
fn fifty_pods_at_once() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let ztunnel = world.ztunnel(Ack::Yes);
            for n in 1..=50 {
                world.assign(n, Membership::Member);
                world.pod(n);
            }
            let adds = futures_util::future::join_all((1..=50).map(|n| world.add(n))).await;
            // On a busy machine some may miss their deadline; the runtime tries again.
            for (n, answer) in (1..=50).zip(adds) {
                if answer.status != 200 {
                    assert_eq!(world.add(n).await.status, 200);
                }
            }
            assert_eq!(ztunnel.pods.lock().len(), 50);
            let valid_container_ids = (1..=10).map(|n| format!("box-{n}")).collect();
            assert_eq!(
                world.ask(Event::Gc(GcEvent { valid_container_ids })).await.status,
                200
            );
            eventually("what is not valid is gone", || ztunnel.pods.lock().len() == 10).await;
        });
    });
}

#[test]
fn requests_that_make_no_sense_are_named_and_hurt_nobody() {
    in_namespaces(|| {
        in_world(async |mut world| {
            world.start_agent().await;
            let _ztunnel = world.ztunnel(Ack::Yes);
            world.assign(1, Membership::Member);
            let _pod = world.pod(1);
            let good = world.add_event(1);
            let file = world.dir.path().join("file");
            std::fs::write(&file, "no namespace").expect("written");
            for (event, reason) in [
                (
                    with_netns(&good, "/proc/self/ns/net"),
                    "the node's own network namespace",
                ),
                (with_netns(&good, "/proc/self/ns/mnt"), "not a network namespace"),
                (with_netns(&good, "/nonexistent"), "/nonexistent"),
                (with_netns(&good, "pod"), "no absolute path"),
                (with_netns(&good, file.to_str().expect("text")), "file"),
                (
                    AddEvent {
                        pod_name: "../web".to_owned(),
                        ..good.clone()
                    },
                    "PodName",
                ),
                (
                    AddEvent {
                        ips: Vec::new(),
                        ..good.clone()
                    },
                    "IPs",
                ),
            ] {
                let answer = world.ask(Event::Add(event)).await;
                assert_eq!(answer.status, 400, "{reason}");
                assert!(answer.text.contains(reason), "{}", answer.text);
            }
            for (request, status) in [
                (b"POST /cmdadd HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{".to_vec(), "400"),
                (b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(), "404"),
                (b"GET /cmdadd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(), "405"),
                (
                    [
                        &b"POST /cmdadd HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\nConnection: close\r\n\r\n"[..],
                        &[b' '; 70_000],
                    ]
                    .concat(),
                    "413",
                ),
            ] {
                let mut stream = UnixStream::connect(world.events()).expect("the agent listens");
                // It may have answered before all was sent.
                let _ = stream.write_all(&request);
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                let answer = String::from_utf8_lossy(&answer);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
            }
            assert_eq!(world.add(1).await.status, 200);
        });
    });
}

fn with_netns(event: &AddEvent, netns: &str) -> AddEvent {
    AddEvent {
        netns: netns.into(),
        ..event.clone()
    }
}
