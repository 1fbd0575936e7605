use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use mesh_types::PortSet;

use super::super::zero_window;
use super::*;
use crate::process::in_namespaces;

fn nft(command: &str) {
    let status = std::process::Command::new("nft").arg(command).status();
    assert!(status.expect("nft").success(), "{command}");
}

#[test]
fn every_change_is_heard_and_nothing_else_is() {
    in_namespaces(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let netns = Netns::current().expect("own namespace");
            nft("add table inet before");
            let watch = RulesWatch::open(&netns).expect("a subscription");
            let mut first = pin!(watch.changed());
            assert!(first.as_mut().now_or_never().is_none(), "that was before");
            nft("list ruleset");
            for change in [
                "add table inet t",
                "add chain inet t c",
                "add rule inet t c accept",
                "delete table inet before",
                "flush ruleset",
            ] {
                nft(change);
                let heard = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
                heard.expect(change).expect("the socket works");
                for ports in [PortSet::all(), PortSet::AllBut((1..9).collect()), PortSet::none()] {
                    zero_window::set(15006, &ports).expect("set");
                    // The runtime has to look at the socket before it can be told of.
                    let heard = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
                    assert!(heard.is_err(), "{change}, {ports:?}");
                }
            }
            assert!(watch.changed().now_or_never().is_none(), "all was heard");
            zero_window::set(15006, &PortSet::all()).expect("set");
            nft("add rule inet lateen-strict output accept; add table inet u");
            let heard = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
            heard
                .expect("one of them was not ours")
                .expect("the socket works");
        });
    });
}

#[test]
fn more_changes_than_anybody_reads_are_heard_too() {
    in_namespaces(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let netns = Netns::current().expect("own namespace");
            let watch = RulesWatch::open(&netns).expect("a subscription");
            let chains: String = (0..500).map(|n| format!("add chain inet t c{n}\n")).collect();
            nft(&format!("add table inet t\n{chains}"));
            watch.changed().await.expect("an overflow is a change");
            while let Some(more) = watch.changed().now_or_never() {
                more.expect("and no failure");
            }
            nft("flush ruleset");
            watch.changed().await.expect("the next one is heard");
        });
    });
}
