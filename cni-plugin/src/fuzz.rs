//! The fuzz targets of all that comes from outside: no input may panic, and what parses must survive its own encoding.

use crate::agent::{AgentError, Answer};
use crate::command::{self, Ask};
use crate::event::Event;
use crate::spec::{Environment, NetworkConfig};

/// A request to the agent: the path up to the first line feed, then the body.
///
/// # Panics
/// Panics when a request that parses does not survive its own encoding.
pub fn event(data: &[u8]) {
    let (path, body) = split(data);
    if let Ok(event) = Event::parse(&String::from_utf8_lossy(path), body) {
        assert_eq!(Event::parse(event.path(), &event.body()), Ok(event));
    }
}

/// A call of the plugin: `KEY=VALUE` lines up to an empty line, then the network configuration; the agent says yes.
///
/// # Panics
/// Panics when DEL fails, when ADD changes the previous result, or when an error is no JSON.
pub fn call(data: &[u8]) {
    let mut environment = Environment::new();
    let mut rest = data;
    loop {
        let (line, after) = split(rest);
        rest = after;
        match String::from_utf8_lossy(line).split_once('=') {
            Some((key, value)) => drop(environment.insert(key.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let output = command::run(&environment, rest, &Agreeable);
    let asked = environment.get("CNI_COMMAND").map(String::as_str);
    assert!(output.success || asked != Some("DEL"), "DEL must succeed");
    if !output.success {
        let error: serde_json::Value =
            serde_json::from_str(&output.stdout).expect("an error of the specification");
        assert!(error["code"].is_u64() && error["msg"].is_string());
    } else if asked == Some("ADD") {
        let config = NetworkConfig::parse(rest).expect("ADD succeeded");
        if let (Some(previous), _) = config.previous().expect("ADD succeeded") {
            assert_eq!(previous.get(), output.stdout);
        }
    }
}

/// The agent's answer.
pub fn answer(data: &[u8]) {
    let _ = crate::agent::parse(data);
}

struct Agreeable;

impl Ask for Agreeable {
    fn ask(&self, _: &NetworkConfig, event: &Event) -> Result<Answer, AgentError> {
        assert_eq!(Event::parse(event.path(), &event.body()).as_ref(), Ok(event));
        Ok(Answer {
            status: 200,
            text: String::new(),
        })
    }
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|b| *b == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}
