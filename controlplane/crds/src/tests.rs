use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use controlplane_k8s_api::{Object as AnyObject, ParseError, Reason, parse};
use serde_json::{Value, json};

use crate::constraints;
use crate::kinds::{CRDS, Crd};
use crate::sources::Sources;
use crate::trace::{Shape, shape};

/// A way to a place of an object, and what is read there.
struct Place {
    steps: Vec<Step>,
    shape: Shape,
}

#[derive(Clone)]
enum Step {
    Field(&'static str),
    Item,
    Entry,
}

/// Whatever a schema names, the parser reads: something of a wrong type there is an error at just that place.
#[test]
fn every_field_of_a_schema_is_read() {
    let mut count = 0;
    for crd in CRDS {
        for place in places(crd) {
            let wrong = match place.shape {
                Shape::Object(_) | Shape::Choice(_) | Shape::Map(_) | Shape::List(_) => json!("wrong"),
                _ => json!([{}]),
            };
            let field = path(&place.steps);
            let results = parse(&object(crd, &place.steps, wrong).to_string());
            let error = results[0].as_ref().expect_err(&field);
            assert_eq!(error.field.to_string(), field, "{}: {error}", crd.name());
            assert!(
                !matches!(error.reason, Reason::UnknownField { .. }),
                "{}: {error}",
                crd.name()
            );
            count += 1;
        }
    }
    assert!(count > 400, "only {count} places");
}

/// Whatever the parser reads, the schema names: a mapping takes no field beside those. Kinds that refuse unknown fields say so
/// at that very place; where they are only warned of, another fault of the same object may be said in place of the warning.
#[test]
fn no_field_is_read_that_a_schema_does_not_name() {
    let mut exact = 0;
    for crd in CRDS {
        let refuses = ["security.istio.io", "lateen.dev"].contains(&crd.group());
        for place in places(crd) {
            if !matches!(place.shape, Shape::Object(_) | Shape::Choice(_)) {
                continue;
            }
            let results = parse(&object(crd, &place.steps, json!({ "xyzzy": 1 })).to_string());
            let expected = format!("{}.xyzzy", path(&place.steps));
            let told = match &results[0] {
                Err(error) => vec![error],
                Ok(located) => located.warnings.iter().collect(),
            };
            let is_it = |e: &&ParseError| {
                e.field.to_string() == expected && matches!(e.reason, Reason::UnknownField { .. })
            };
            let at_the_place = told.iter().any(is_it);
            exact += usize::from(at_the_place);
            let another = !refuses && results[0].is_err();
            assert!(
                at_the_place || another,
                "{}: {expected} is not told of: {told:?}",
                crd.name()
            );
        }
    }
    assert!(exact > 50, "only {exact} places");
}

/// What the corpus has, taken by the parser without a warning, is in the schema.
#[test]
fn every_field_of_the_corpus_is_named() {
    for (file, text) in corpus("valid") {
        for document in documents(&text) {
            let object = json_of(&document);
            let kind = object["kind"].as_str().expect("a kind");
            let crd = CRDS.iter().find(|c| c.kind.as_str() == kind).expect("a CRD");
            named(&object["spec"], &(crd.spec)(), &format!("{file}: {kind}"));
        }
    }
}

fn named(value: &Value, shape: &Shape, place: &str) {
    match (value, shape) {
        (Value::Object(map), Shape::Object(object) | Shape::Choice(object)) => {
            for (key, value) in map {
                let field = object.fields.iter().find(|(name, _)| name == key);
                let (_, shape) = field.unwrap_or_else(|| panic!("{place}.{key} is not named"));
                named(value, shape, &format!("{place}.{key}"));
            }
        }
        (Value::Object(map), Shape::Map(shape)) => {
            map.values().for_each(|value| named(value, shape, place));
        }
        (Value::Array(items), Shape::List(shape)) => {
            items.iter().for_each(|item| named(item, shape, place));
        }
        (Value::Object(_) | Value::Array(_), _) => panic!("{place} is no {shape:?}"),
        _ => {}
    }
}

#[test]
fn every_constraint_is_about_a_field_that_is_read() {
    let mut there = BTreeSet::new();
    for crd in CRDS {
        for place in places(crd) {
            if let Shape::Object(object) | Shape::Choice(object) = place.shape {
                there.insert((object.name, None));
                there.extend(object.fields.iter().map(|(field, _)| (object.name, Some(*field))));
            }
        }
    }
    for constraint in constraints::all() {
        assert!(
            there.contains(&(constraint.on, constraint.field)),
            "{} {:?} is read nowhere",
            constraint.on,
            constraint.field
        );
    }
}

/// A schema's mappings keep what they do not name.
#[test]
fn nothing_that_somebody_wrote_is_pruned() {
    let sources = Sources::read(&sources()).expect("sources");
    for crd in CRDS {
        let manifest = crd.manifest(&sources).expect("a manifest");
        for version in manifest["spec"]["versions"].as_array().expect("versions") {
            keeps(&version["schema"]["openAPIV3Schema"], crd.plural);
        }
    }
}

fn keeps(schema: &Value, place: &str) {
    if let Some(properties) = schema["properties"].as_object() {
        let kept = schema["x-kubernetes-preserve-unknown-fields"] == json!(true);
        assert!(kept, "{place} prunes");
        for (name, property) in properties {
            keeps(property, &format!("{place}.{name}"));
        }
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            keeps(&schema[inner], &format!("{place}[]"));
        }
    }
}

#[test]
fn every_version_that_is_read_is_served_where_upstream_serves_it_and_one_is_stored() {
    let sources = Sources::read(&sources()).expect("sources");
    for crd in CRDS {
        for version in crd.versions {
            assert!(
                crd.kind.group().versions().contains(version),
                "{} {version}",
                crd.name()
            );
        }
        let manifest = crd.manifest(&sources).expect("a manifest");
        let versions = manifest["spec"]["versions"].as_array().expect("versions");
        let stored = versions.iter().filter(|v| v["storage"] == json!(true)).count();
        assert_eq!(stored, 1, "{}", crd.name());
    }
}

/// What the corpus says is valid, is; what it says is invalid, is refused. That an API server with these CRDs thinks the same
/// is for the cluster tests to say.
#[test]
fn the_corpus_is_read_as_it_says() {
    let mut kinds = BTreeSet::new();
    for (file, text) in corpus("valid") {
        for result in parse(&text) {
            let located = result.unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(!matches!(located.value, AnyObject::Ignored(_)), "{file}");
            assert!(located.warnings.is_empty(), "{file}: {:?}", located.warnings);
            kinds.insert(located.value.key().map(|key| key.kind));
        }
    }
    for folder in ["invalid", "late"] {
        for (file, text) in corpus(folder) {
            for document in documents(&text) {
                let results = parse(&document);
                assert!(!results.is_empty(), "{folder}/{file}: an empty document");
                let refused = results.iter().all(Result::is_err);
                assert!(refused, "{folder}/{file}: taken:\n{document}");
            }
        }
    }
    for (file, text) in corpus("warned") {
        for result in parse(&text) {
            result.unwrap_or_else(|e| panic!("warned/{file}: {e}"));
        }
    }
    for crd in CRDS {
        assert!(kinds.contains(&Some(crd.kind)), "no valid {}", crd.kind.as_str());
    }
    // What only a cluster can find wrong is no fault of its text; what is told of as not understood is not understood.
    for (file, text) in corpus("told") {
        for document in documents(&text) {
            let refused = parse(&document).into_iter().find_map(Result::err);
            let told = document.contains("it is not understood");
            assert_eq!(refused.is_some(), told, "told/{file}: {refused:?}:\n{document}");
        }
    }
}

/// What is wrong stands in front of each document, and what is answered beneath.
#[test]
fn the_catalogue_says_what_is_answered() {
    for (folder, answer) in [
        ("invalid", "# says: "),
        ("warned", "# says: "),
        ("late", "# status: "),
        ("told", "# status: "),
    ] {
        for (file, text) in corpus(folder) {
            for document in documents(&text) {
                let comments: Vec<_> = document
                    .lines()
                    .take_while(|line| line.starts_with("# "))
                    .collect();
                let answers = comments.iter().filter(|line| line.starts_with(answer)).count();
                let given = comments.first().is_some_and(|line| *line == "# Given");
                assert!(answers > 0 || given, "{folder}/{file}:\n{document}");
                assert!(
                    comments.len() > answers,
                    "{folder}/{file}: what is wrong?\n{document}"
                );
            }
        }
    }
}

/// Whatever an API server says in a sentence, by a CRD's rule or an admission policy, it says of some object of the corpus.
#[test]
fn every_sentence_that_an_api_server_may_say_stands_in_the_corpus() {
    let said = |folder: &str| {
        let texts = corpus(folder).into_iter().map(|(_, text)| text);
        texts.collect::<String>()
    };
    let (refused, warned) = (said("invalid"), said("warned"));
    let mut sentences = BTreeSet::new();
    for constraint in constraints::all() {
        sentences_of(&constraint.add, &mut sentences);
    }
    for crd in CRDS {
        sentences_of(
            &constraints::of_spec(crd.kind).unwrap_or_default(),
            &mut sentences,
        );
    }
    assert!(sentences.len() > 20, "only {sentences:?}");
    for sentence in sentences {
        assert!(
            refused.contains(&sentence),
            "nothing is refused with {sentence:?}"
        );
    }
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/base/templates/admission.yaml");
    let policies = fs::read_to_string(policies).expect("the admission policies");
    let mut messages = Vec::new();
    for document in policies.split("\n---\n") {
        let found = document
            .lines()
            .filter_map(|line| line.trim().strip_prefix("message: "));
        messages.extend(found.map(|message| message.trim_matches('\'').to_owned()));
        let Some((_, action)) = document.split_once("validationActions: ") else {
            continue;
        };
        let texts = match action.starts_with("[\"Warn\"]") {
            true => &warned,
            false => &refused,
        };
        // What a CRD of ours says too, it says first, and of which field in its own way.
        for message in messages.drain(..) {
            let sentence = message
                .strip_prefix("spec.provider")
                .map(|rest| format!("provider{rest}"));
            let sentence = sentence.unwrap_or(message);
            assert!(texts.contains(&sentence), "nothing is answered with {sentence:?}");
        }
    }
    assert_eq!(messages, [""; 0], "a policy without a binding");
}

fn sentences_of(schema: &Value, all: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
            let messages = rules
                .into_iter()
                .flatten()
                .filter_map(|rule| rule["message"].as_str());
            all.extend(messages.map(str::to_owned));
            map.values().for_each(|value| sentences_of(value, all));
        }
        Value::Array(items) => items.iter().for_each(|item| sentences_of(item, all)),
        _ => {}
    }
}

/// Documents of the corpus, by file name.
fn corpus(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let files = fs::read_dir(&folder).expect("the corpus is there");
    let paths = files.map(|entry| entry.expect("an entry").path());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("text");
        (
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            text,
        )
    };
    paths.map(read).collect()
}

fn documents(text: &str) -> Vec<String> {
    let documents = text.split("\n---\n").map(str::to_owned);
    documents.filter(|d| !d.trim().is_empty()).collect()
}

#[test]
fn a_type_behind_a_conversion_is_seen() {
    let shape = shape::<controlplane_k8s_api::lateen::SessionPolicySpec>();
    let Shape::Object(object) = shape else {
        panic!("{shape:?}");
    };
    let timeout = object.fields.iter().find(|(name, _)| *name == "idleTimeout");
    assert_eq!(
        timeout.map(|(_, shape)| shape),
        Some(&Shape::Formed("GatewayDuration"))
    );
}

// === helpers ===

fn json_of(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{e}:\n{yaml}"))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s-api/src")
}

/// Every place of a kind's `spec`, itself first.
fn places(crd: &Crd) -> Vec<Place> {
    let mut all = Vec::new();
    collect(&mut vec![Step::Field("spec")], &(crd.spec)(), &mut all);
    all
}

fn collect(steps: &mut Vec<Step>, shape: &Shape, all: &mut Vec<Place>) {
    all.push(Place {
        steps: steps.clone(),
        shape: shape.clone(),
    });
    let mut below = |step, shape: &Shape| {
        steps.push(step);
        collect(steps, shape, all);
        steps.pop();
    };
    match shape {
        Shape::List(item) => below(Step::Item, item),
        Shape::Map(value) => below(Step::Entry, value),
        Shape::Object(object) | Shape::Choice(object) => {
            for (name, shape) in &object.fields {
                below(Step::Field(name), shape);
            }
        }
        _ => {}
    }
}

fn path(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => text.push_str(&format!(".{name}")),
            Step::Entry => text.push_str(".1"),
            Step::Item => text.push_str("[0]"),
        }
    }
    text
}

/// An object with nothing but a value at one place.
fn object(crd: &Crd, steps: &[Step], value: Value) -> Value {
    let inner = steps[1..].iter().rev().fold(value, |inner, step| match step {
        Step::Field(name) => json!({ *name: inner }),
        Step::Entry => json!({ "1": inner }),
        Step::Item => json!([inner]),
    });
    json!({
        "apiVersion": format!("{}/{}", crd.group(), crd.versions[0]),
        "kind": crd.kind.as_str(),
        "metadata": { "name": "a", "namespace": "b" },
        "spec": inner,
    })
}
