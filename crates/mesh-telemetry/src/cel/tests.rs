use super::*;
use crate::attributes::entries;
use crate::testing::Story;

fn value(text: &str) -> Result<String, EvaluationError> {
    let story = Story::new();
    let record = story.record();
    let expression = Expression::compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    expression.evaluate(&record).map(|value| value.to_string())
}

fn error(text: &str) -> String {
    Expression::compile(text).map_or_else(|e| e.to_string(), |_| panic!("{text} compiles"))
}

#[test]
fn values() {
    let cases = [
        ("request.method", "GET"),
        ("response.code >= 400 || !connection.mtls", "true"),
        ("response.code >= 500", "false"),
        ("request.headers['X-Team']", "blue"),
        (
            "request.headers.server == 'x' || 'x-team' in request.headers",
            "true",
        ),
        ("has(request.headers.nothing)", "false"),
        ("has(response.grpc_status) ? response.grpc_status : 77", "77"),
        ("request.url_path + '?' + request.query", "/details/0?q=1"),
        (
            "request.path.startsWith('/details') && request.path.contains('q=')",
            "true",
        ),
        ("request.host.matches('^det.*:[0-9]+$')", "true"),
        ("size(request.headers)", "2"),
        ("size('äb')", "2"),
        ("request.headers.exists(name, name.startsWith('x-'))", "true"),
        ("[1, 2, 3].all(n, n < 4)", "true"),
        ("[1, 2, 3].exists_one(n, n == 2)", "true"),
        ("[1, 2, 3].map(n, n * 2)", "[2,4,6]"),
        ("[1, 2, 3].filter(n, n > 1)", "[2,3]"),
        ("{'a': 1, 'b': 2}['b']", "2"),
        ("'a' in {'a': 1}", "true"),
        ("1 in [1.0, 2.0]", "true"),
        ("[[1], [2]][1][0]", "2"),
        ("source.workload", "productpage-v1"),
        ("destination.service", "server.default.svc.cluster.local"),
        ("filter_state.upstream_peer.namespace", "default"),
        ("filter_state.downstream_peer.app", "productpage"),
        ("string(destination.port)", "9080"),
        ("int('7') + 1", "8"),
        ("double(3) / 2.0", "1.5"),
        ("uint(3) == 3", "true"),
        ("request.time.getFullYear()", "2021"),
        ("request.time - duration('1h') < request.time", "true"),
        ("timestamp('2021-12-23T06:24:55.527Z') == request.time", "true"),
        ("request.duration > duration('30ms')", "true"),
        ("request.duration", "0.031s"),
        ("duration('-1h30m')", "-5400s"),
        ("response.flags == 0", "true"),
        ("response.flag_names", "-"),
        ("'%s' == b'%s' ? 1 : 2", "2"),
        ("-(3)", "-3"),
        ("true ? 'a' : 'b'", "a"),
        ("'A'.lowerAscii() + 'b'.upperAscii() + ' c '.trim()", "aBc"),
        ("null == null", "true"),
        ("[1,2,3].exists(a, [2].exists(b, a == b))", "true"),
    ];
    for (text, expected) in cases {
        match text.contains("b'%s'") {
            // Text and bytes cannot be compared.
            true => assert!(error(text).contains("=="), "{text}"),
            false => assert_eq!(value(text), Ok(expected.to_owned()), "{text}"),
        }
    }
}

#[test]
fn what_decides_alone_does_so_whatever_is_wrong_with_the_other_side() {
    assert_eq!(value("response.grpc_status == 1 || true"), Ok("true".to_owned()));
    assert_eq!(value("true || response.grpc_status == 1"), Ok("true".to_owned()));
    assert_eq!(
        value("false && response.grpc_status == 1"),
        Ok("false".to_owned())
    );
    assert_eq!(
        value("response.grpc_status == 1 && true"),
        Err(EvaluationError::NotThere)
    );
    assert_eq!(value("[1, 0].exists(n, 1 / n == 1)"), Ok("true".to_owned()));
    assert_eq!(value("[0, 1].exists(n, 1 / n == 1)"), Ok("true".to_owned()));
    assert_eq!(
        value("[0, 2].exists(n, 1 / n == 1)"),
        Err(EvaluationError::Arithmetic)
    );
}

#[test]
fn evaluations_that_give_nothing() {
    assert_eq!(value("request.headers['none']"), Err(EvaluationError::NoSuchKey));
    assert_eq!(value("xds.route_name"), Err(EvaluationError::NotThere));
    assert_eq!(value("1 / 0"), Err(EvaluationError::Arithmetic));
    assert_eq!(value("9223372036854775807 + 1"), Err(EvaluationError::Arithmetic));
    assert_eq!(value("int('x')"), Err(EvaluationError::Conversion));
    assert_eq!(value("[1][2]"), Err(EvaluationError::NoSuchKey));
    assert_eq!(
        value("[1, 'a'].all(n, n < 2)"),
        Err(EvaluationError::NoSuchOverload)
    );
}

#[test]
fn what_is_wrong_is_said_before_any_request() {
    assert!(error("request.nothing == 'a'").contains("\"request.nothing\""));
    assert!(error("foo").contains("\"foo\""));
    assert!(error("foo.bar.baz").contains("\"foo.bar.baz\""));
    assert_eq!(
        error("response.code == '200'"),
        "== cannot be used with int and string"
    );
    assert_eq!(
        error("request.method && true"),
        "&& cannot be used with string and bool"
    );
    assert!(error("request.method.shout()").contains("\"shout\""));
    assert!(error("request.method.matches(request.host)").contains("constant"));
    assert!(error("request.method.matches('(')").contains("pattern"));
    assert!(error("request.").contains("1:"));
    assert!(error("").contains("expect") || !error("").is_empty());
    assert!(error("metadata.filter_metadata['x']").contains("metadata.filter_metadata"));
    assert_eq!(
        Expression::filter("response.code").unwrap_err().to_string(),
        "it gives int where bool is needed"
    );
}

#[test]
fn sizes_are_capped() {
    let long = format!("'{}' == ''", "x".repeat(5000));
    assert!(error(&long).contains("4096"));
    let deep = format!("{}true{}", "(".repeat(60), ")".repeat(60));
    assert!(error(&deep).contains("depth"));
    let many = vec!["1"; 400].join("+");
    assert!(error(&many).contains("parts"));
    let chain = format!("request.headers{}", ".a".repeat(200));
    assert!(Expression::compile(&chain).is_err());
    let loops = "[1].all(a, [1].all(b, [1].all(c, [1].all(d, true))))";
    assert!(error(loops).contains("macros"));
}

#[test]
fn an_evaluation_ends() {
    let ten = "[1,2,3,4,5,6,7,8,9,10]";
    let text = format!(
        "{ten}.map(a, {ten}.map(b, {ten}.map(c, a * b * c))).size() > 0 && {ten}.all(a, {ten}.all(b, {ten}.all(c, a + b + c > 0)))"
    );
    assert_eq!(value(&text), Err(EvaluationError::TooCostly));
}

#[test]
fn every_attribute_can_be_named() {
    for entry in entries() {
        let expression = Expression::compile(entry.name).unwrap();
        assert_eq!(expression.kind(), entry.kind, "{}", entry.name);
        let has = Expression::compile(&format!("has({})", entry.name)).unwrap();
        assert_eq!(has.attributes(), [entry.attribute]);
    }
}

#[test]
fn long_chains_need_no_deep_stack() {
    let chain = vec!["true"; 200].join("&&");
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let compiled = small.spawn(move || Expression::compile(&chain).is_ok()).unwrap();
    assert!(compiled.join().is_ok());
}
