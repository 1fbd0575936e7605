//! What browsers are told about who may ask.

use std::ops::ControlFlow;

use http::{StatusCode, header};
use mesh_model::l7::edit::{CorsDecision, cors};
use mesh_model::l7::filter::Filter as RuleFilter;

use crate::exchange::{Exchange, Filter, Next};
use crate::reply::LocalReply;

/// What the rule says about other origins.
pub(crate) struct Cors;

impl Filter for Cors {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let decision = exchange.rule_filters().iter().find_map(|filter| match filter {
            RuleFilter::Cors(rules) => Some(cors(rules, &exchange.view())),
            _ => None,
        });
        match decision {
            None | Some(CorsDecision::Pass) => ControlFlow::Continue(()),
            Some(CorsDecision::Annotate(headers)) => {
                exchange.annotations = Some(headers);
                ControlFlow::Continue(())
            }
            Some(CorsDecision::Answer(headers)) => {
                let reply = LocalReply::new(StatusCode::OK, "cors_preflight", "");
                ControlFlow::Break(LocalReply { headers, ..reply })
            }
        }
    }

    fn response(&self, exchange: &mut Exchange, answer: &mut http::response::Parts) {
        let Some(annotations) = exchange.annotations.take() else {
            return;
        };
        for (name, value) in &annotations {
            match *name == header::VARY {
                true => drop(answer.headers.append(name.clone(), value.clone())),
                false => drop(answer.headers.insert(name.clone(), value.clone())),
            }
        }
    }
}
