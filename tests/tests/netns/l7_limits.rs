//! Tokens, rate limits, circuits and endpoints that fail.

use anyhow::{Context, Result, ensure};
use lab::Lab;

use crate::harness::{Test, test};
use crate::l7_stage::{Answer, Stage};

pub(crate) const TESTS: &[Test] = &[
    test("tokens_are_checked_and_their_claims_decide", tokens),
    test("keys_come_from_a_service_of_the_mesh_in_time", keys),
    test("a_rate_limit_counts_for_each_value_of_a_header", rates),
    test("a_circuit_opens_and_a_failing_endpoint_is_left_out", destinations),
];

// row: RequestAuthentication jwtRules.issuer
// row: RequestAuthentication jwtRules.jwks
// row: RequestAuthentication targetRefs
fn tokens(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    // The demo's own file, for another service.
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypoint");
    let read = |name: &str| std::fs::read_to_string(examples.join(name)).context(name.to_owned());
    let text = read("jwt.yaml")?
        .replace("namespace: store", "namespace: shop")
        .replace("name: reviews\n", "name: app\n");
    lab.config().write("jwt.yaml", &text)?;
    let bearer = |token: &str| format!("authorization: Bearer {}", token.trim());
    let url = "http://10.96.3.1/drafts";
    stage.until("no token, no answer", &[url], is("403"))?;
    for (token, status) in [
        (read("editor.jwt")?, "200"),
        (read("reader.jwt")?, "403"),
        (format!("{}A", read("editor.jwt")?.trim()), "401"),
        ("nonsense".to_owned(), "401"),
    ] {
        let answer = stage.get(&["-H", &bearer(&token), url])?;
        ensure!(answer.status == status, "{status}: {answer:?}");
    }
    Ok(())
}

// row: RequestAuthentication jwtRules.jwksUri
// row: RequestAuthentication jwtRules.timeout
fn keys(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypoint");
    let read = |name: &str| std::fs::read_to_string(examples.join(name)).context(name.to_owned());
    let text = read("jwt.yaml")?
        .replace("namespace: store", "namespace: shop")
        .replace("name: reviews\n", "name: app\n");
    let (before, rest) = text.split_once("jwks: |\n").context("the key set")?;
    let (set, after) = rest.split_once("\n---").context("its end")?;
    let set = set.trim();
    let digits: String = set.bytes().map(|byte| format!("{byte:02x}")).collect();
    let from = |delay: &str, timeout: &str| {
        // The application says whatever it is asked to say, after so long.
        let uri = format!("http://app-v2.shop.svc.cluster.local/hex/{digits}/{delay}");
        let text = format!("{before}jwksUri: '{uri}'\n    timeout: {timeout}\n---{after}");
        lab.config().write("jwt.yaml", &text)
    };
    let bearer = format!("authorization: Bearer {}", read("editor.jwt")?.trim());
    let ask = ["-H", bearer.as_str(), "http://10.96.3.1/drafts"];
    from("0", "5s")?;
    stage.until("the keys", &ask, is("200"))?;
    let forged = format!("{bearer}A");
    let answer = stage.get(&["-H", &forged, "http://10.96.3.1/drafts"])?;
    ensure!(answer.status == "401", "{answer:?}");
    // Nobody waits for keys: while there are none, no token counts.
    from("3000", "500ms")?;
    stage.until("no keys", &ask, is("401"))?;
    from("3000", "20s")?;
    stage.until("the keys that take their time", &ask, is("200"))?;
    Ok(())
}

fn rates(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let text = "
apiVersion: lateen.dev/v1alpha1
kind: RateLimitPolicy
metadata: {name: app, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: app}]
  local: {limits: [{by: [{key: user, header: x-user}], requests: 3, interval: 1h}]}
";
    lab.config().write("limit.yaml", text)?;
    // Whoever waits for the limit to come into force uses up buckets of their own.
    let mut tries = 0;
    let counted = |tries: usize| -> Result<Vec<String>> {
        let user = format!("x-user: {tries}");
        let all = stage.get_all(&["-H", &user, "http://10.96.3.1/r?[1-5]"])?;
        Ok(all.into_iter().map(|a| a.status).collect())
    };
    lab::wait::until("the limit", crate::client::LIMIT, || {
        tries += 1;
        (counted(tries).ok()? == ["200", "200", "200", "429", "429"]).then_some(())
    })?;
    let free = stage.get(&["http://10.96.3.1/r"])?;
    ensure!(free.status == "200", "without the header: {free:?}");
    Ok(())
}

// row: DestinationRule host
// row: DestinationRule trafficPolicy.connectionPool
// row: DestinationRule trafficPolicy.outlierDetection
fn destinations(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let rule = |policy: &str| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: app, namespace: shop}}\nspec:\n  host: app.shop.svc.cluster.local\n  trafficPolicy: {policy}\n"
        );
        lab.config().write("destination.yaml", &text)
    };
    rule(
        "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, http2MaxRequests: 1}}}",
    )?;
    let at_once = ["-Z", "--parallel-immediate", "http://10.96.3.1/slow/500?[1-8]"];
    lab::wait::until("an open circuit", crate::client::LIMIT, || {
        let all = stage.get_all(&at_once).ok()?;
        let of = |status: &str| all.iter().filter(|a| a.status == status).count();
        (of("503") >= 2 && of("200") >= 1 && of("503") + of("200") == 8).then_some(())
    })?;
    rule(
        "{outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 600s, maxEjectionPercent: 100}}",
    )?;
    let broken = stage.get(&["http://10.96.3.3/break"])?;
    ensure!(broken.by == "app-v2", "{broken:?}");
    lab::wait::until("answers of the other only", crate::client::LIMIT, || {
        let all = stage.get_all(&["http://10.96.3.1/o?[1-20]"]).ok()?;
        all.iter()
            .all(|a| a.status == "200" && a.by == "app-v1")
            .then_some(())
    })
}

fn is(status: &'static str) -> impl Fn(&Answer) -> bool {
    move |answer| answer.status == status
}
