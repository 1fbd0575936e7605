//! Delays and failures on purpose, to see what happens.

use std::ops::ControlFlow;

use http::StatusCode;
use mesh_model::l7::edit::inject;
use mesh_model::l7::filter::{Abort, Filter as RuleFilter};
use tokio::time::sleep;

use crate::exchange::{Exchange, Filter, Next};
use crate::flags::ResponseFlag;
use crate::reply::LocalReply;

/// What the rule injects; where it says nothing, what the policy does that is attached to it.
pub(crate) struct Fault;

impl Filter for Fault {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let of_rule = exchange.rule_filters().iter().find_map(|filter| match filter {
            RuleFilter::Fault(fault) => Some(fault),
            _ => None,
        });
        let of_policy = || {
            exchange
                .applied
                .effective
                .fault
                .as_ref()
                .map(|given| &given.value)
        };
        let Some(fault) = of_rule.or_else(of_policy) else {
            return ControlFlow::Continue(());
        };
        let injected = inject(fault, || fastrand::u64(..));
        if let Some(delay) = injected.delay {
            exchange.story.flags.add(ResponseFlag::DelayInjected);
            sleep(delay).await;
        }
        let reply = |status| {
            LocalReply::new(status, "fault_filter_abort", "fault filter abort")
                .flagged(ResponseFlag::FaultInjected)
        };
        match injected.abort {
            None => ControlFlow::Continue(()),
            Some(Abort::Http(status)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                ControlFlow::Break(reply(status))
            }
            Some(Abort::Grpc(status)) => {
                // It is answered as gRPC is, whatever the client said it is.
                exchange.grpc = true;
                ControlFlow::Break(reply(StatusCode::OK).with_grpc(status))
            }
        }
    }
}
