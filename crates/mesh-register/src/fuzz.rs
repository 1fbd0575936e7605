//! Fuzz target: whatever arrives, the decoders answer or refuse, and never panic. The input is a series of messages,
//! each preceded by its length in two bytes; the same series is given to both ends.

use mesh_proto::lateen::register::v1 as wire;
use mesh_proto::lateen::settled::v1 as told;
use prost::Message;

use crate::client::ClientSession;
use crate::model::Hello;
use crate::settled::{Answer, Question};
use crate::wire::{Request, Response};

/// Both directions against arbitrary messages.
#[doc(hidden)]
pub fn fuzz(mut data: &[u8]) {
    let mut session = ClientSession::new(Hello {
        instance: "i".to_owned(),
        version: "v".to_owned(),
    });
    session.opened();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        data = rest;
        request(message, &mut session);
        response(message, &mut session);
        settled(message);
        while session.next_request().is_some() {}
    }
}

/// What decodes must come back from its own encoding.
fn request(message: &[u8], session: &mut ClientSession) {
    let Ok(message) = wire::RegisterRequest::decode(message) else {
        return;
    };
    let Ok(request) = Request::try_from(message) else {
        return;
    };
    if let Request::Report(_, Err(_)) | Request::Withdraw(_, Err(_)) = request {
        return;
    }
    let again = Request::try_from(wire::RegisterRequest::from(request.clone()));
    assert_eq!(again.as_ref(), Ok(&request));
    match request {
        Request::Report(_, Ok(report)) => drop(session.report(report)),
        Request::Withdraw(_, Ok(withdrawal)) => drop(session.withdraw(withdrawal)),
        _ => {}
    }
}

fn response(message: &[u8], session: &mut ClientSession) {
    let Ok(message) = wire::RegisterResponse::decode(message) else {
        return;
    };
    if let Ok(response) = Response::try_from(message.clone())
        && !matches!(response, Response::Assign(Err(_)))
    {
        let again = Response::try_from(wire::RegisterResponse::from(response.clone()));
        assert_eq!(again, Ok(response));
    }
    if session.receive(message).is_err() {
        session.closed();
        session.opened();
    }
}

fn settled(message: &[u8]) {
    if let Ok(message) = told::AwaitPlainRequest::decode(message)
        && let Ok(question) = Question::try_from(message)
    {
        let again = told::AwaitPlainRequest::from(&question);
        assert_eq!(Question::try_from(again), Ok(question));
    }
    if let Ok(message) = told::AwaitPlainResponse::decode(message)
        && let Ok(answer) = Answer::try_from(message)
    {
        let again = told::AwaitPlainResponse::from(answer.clone());
        assert_eq!(Answer::try_from(again), Ok(answer));
    }
}

#[cfg(test)]
mod tests;
