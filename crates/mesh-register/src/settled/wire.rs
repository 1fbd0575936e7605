//! The messages of `lateen/settled.proto`, both directions. Decoding is strict: what is malformed is named by field.

use std::time::Duration;

use mesh_proto::lateen::settled::v1 as wire;
use mesh_types::NamespacedName;

use super::{Answer, MAX_MISSING, MAX_WAIT, Question, Standing};
use crate::wire::{Malformed, bounded, decode_addresses, encode_address, malformed, name};

impl From<&Question> for wire::AwaitPlainRequest {
    fn from(question: &Question) -> Self {
        let wait = question.wait.min(MAX_WAIT).as_millis();
        Self {
            namespace: question.workload.namespace.to_string(),
            name: question.workload.name.to_string(),
            addresses: question.addresses.iter().map(encode_address).collect(),
            wait_milliseconds: u32::try_from(wait).unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<wire::AwaitPlainRequest> for Question {
    type Error = Malformed;

    fn try_from(request: wire::AwaitPlainRequest) -> Result<Self, Malformed> {
        let workload =
            NamespacedName::new(name("namespace", request.namespace)?, name("name", request.name)?);
        Ok(Self {
            workload,
            addresses: decode_addresses("addresses", &request.addresses)?,
            wait: Duration::from_millis(request.wait_milliseconds.into()).min(MAX_WAIT),
        })
    }
}

impl From<Answer> for wire::AwaitPlainResponse {
    fn from(answer: Answer) -> Self {
        let Standing {
            behind,
            silent,
            proxies,
            acknowledged,
            missing,
        } = answer.standing;
        Self {
            instance: answer.instance,
            behind,
            silent,
            proxies,
            acknowledged,
            missing,
        }
    }
}

impl TryFrom<wire::AwaitPlainResponse> for Answer {
    type Error = Malformed;

    fn try_from(response: wire::AwaitPlainResponse) -> Result<Self, Malformed> {
        if response.acknowledged > response.proxies {
            return Err(malformed("acknowledged", "is more than there are proxies"));
        }
        if response.missing.len() > MAX_MISSING {
            return Err(malformed("missing", "are more than 16"));
        }
        let missing = response.missing.into_iter();
        let missing: Result<_, _> = missing.map(|proxy| bounded("missing", proxy)).collect();
        Ok(Self {
            instance: bounded("instance", response.instance)?,
            standing: Standing {
                behind: response.behind,
                silent: response.silent,
                proxies: response.proxies,
                acknowledged: response.acknowledged,
                missing: missing?,
            },
        })
    }
}
