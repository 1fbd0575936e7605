//! Asks.

use mesh_grpc::GrpcChannel;
use mesh_grpc::channel::explain;
use mesh_proto::lateen::settled::v1::AwaitPlainRequest;
use mesh_proto::lateen::settled::v1::settlements_client::SettlementsClient;
use tokio::time::{Duration, timeout};
use tonic::Code;

use super::{Answer, Question};
use crate::wire::Malformed;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The control plane is another one, or an older one: asking again does not help.
    #[error("the control plane does not say who has heard of a pod")]
    NotServed,
    /// It may answer later.
    #[error("the control plane cannot be asked: {0}")]
    Unavailable(String),
    /// The asker's credentials are at fault.
    #[error("the control plane does not answer this account: {0}")]
    Refused(String),
    /// The answer is none.
    #[error("the control plane's answer is malformed: {0}")]
    Malformed(#[from] Malformed),
}

/// Asks, and waits for as long as the question says, and a moment.
///
/// # Errors
/// See [`AskError`].
pub async fn await_plain(channel: GrpcChannel, question: &Question) -> Result<Answer, AskError> {
    let mut client = SettlementsClient::new(channel).max_decoding_message_size(MAX_ANSWER);
    let asked = client.await_plain(AwaitPlainRequest::from(question));
    match timeout(question.wait.saturating_add(MOMENT), asked).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().try_into()?),
        Ok(Err(status)) => Err(match status.code() {
            Code::Unimplemented => AskError::NotServed,
            Code::Unauthenticated | Code::PermissionDenied => AskError::Refused(explain(&status)),
            _ => AskError::Unavailable(explain(&status)),
        }),
        Err(_) => Err(AskError::Unavailable("it does not answer in time".to_owned())),
    }
}

/// The way there and back.
const MOMENT: Duration = Duration::from_millis(500);
/// Bytes; some names.
const MAX_ANSWER: usize = 64 * 1024;
