//! What rules do to requests, from the file that a user writes to what a program is told.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::Lab;
use tokio::time::Instant;

use crate::client::LIMIT;
use crate::harness::{Test, test};
use crate::l7_stage::{Answer, Stage};

pub(crate) const TESTS: &[Test] = &[
    test("routes_redirect_rewrite_and_edit_headers", edits),
    test("routes_retry_and_end_what_takes_too_long", patience),
    test("routes_copy_requests_to_somebody_who_is_not_heard", mirrors),
    test("virtual_services_inject_faults_and_route_by_header", faults),
];

fn edits(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    route(
        lab,
        "
  - matches: [{path: {type: PathPrefix, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]
  - matches: [{path: {type: PathPrefix, value: /api/v1}, method: GET}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: inner.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /headers}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-stage, value: test}], remove: [cookie]}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-reviewed, value: 'yes'}]}}
    backendRefs: [{name: app-v1, port: 80}]
",
    )?;
    let moved = stage.until("the redirect", &["-i", "http://10.96.3.1/old/shelf"], is("301"))?;
    ensure!(
        moved.text.contains("location: http://10.96.3.1/new/shelf\n"),
        "{moved:?}"
    );
    let cookie = ["-i", "-H", "cookie: secret", "http://10.96.3.1/api/v1/all"];
    let edited = stage.get(&cookie)?;
    for wanted in [
        "x-stage: test\n",
        "x-reviewed: yes\n",
        ":authority: inner.example\n",
    ] {
        ensure!(edited.text.contains(wanted), "{wanted}: {edited:?}");
    }
    ensure!(
        edited.by == "app-v1" && !edited.text.contains("secret"),
        "{edited:?}"
    );
    // What no rule takes is nobody's.
    let nobody = stage.get(&["-X", "PUT", "http://10.96.3.1/api/v1/all"])?;
    ensure!(nobody.status == "404" && nobody.by.is_empty(), "{nobody:?}");
    Ok(())
}

fn patience(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let before = stage.get(&["http://10.96.3.1/flaky/100/before"])?;
    ensure!(before.status == "500", "{before:?}");
    route(
        lab,
        "
  - matches: [{path: {type: PathPrefix, value: /flaky}}]
    retry: {codes: [500], attempts: 3, backoff: 10ms}
    backendRefs: [{name: app-v1, port: 80}]
  - timeouts: {request: 200ms}
    backendRefs: [{name: app-v1, port: 80}]
",
    )?;
    let start = Instant::now();
    stage.until("the timeout", &["http://10.96.3.1/slow/3000"], is("504"))?;
    ensure!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    stage.get(&["http://10.96.3.1/flaky/3/a"]).and_then(|a| {
        ensure!(a.status == "200" && a.by == "app-v1", "three retries: {a:?}");
        Ok(())
    })?;
    let exhausted = stage.get(&["http://10.96.3.1/flaky/4/b"])?;
    ensure!(exhausted.status == "500", "no fourth: {exhausted:?}");
    Ok(())
}

fn mirrors(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    route(
        lab,
        "
  - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: app-v2, port: 80}}}]
    backendRefs: [{name: app-v1, port: 80}]
",
    )?;
    let seen = || {
        stage
            .get(&["http://10.96.3.3/seen/copied"])
            .is_ok_and(|a| a.status == "200")
    };
    lab::wait::until("a copy", LIMIT, || {
        let answer = stage.get(&["-d", "body", "http://10.96.3.1/copied"]).ok()?;
        (answer.by == "app-v1" && seen()).then_some(())
    })?;
    // The copy's answer is nobody's: all are of the first.
    let all = stage.get_all(&["http://10.96.3.1/copied?[1-20]"])?;
    ensure!(
        all.iter().all(|a| a.status == "200" && a.by == "app-v1"),
        "{all:?}"
    );
    Ok(())
}

fn faults(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let text = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: shop}
spec:
  hosts: [app.shop.svc.cluster.local]
  http:
  - match: [{headers: {x-chaos: {exact: fail}}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: app-v1.shop.svc.cluster.local}}]
  - match: [{headers: {x-chaos: {exact: dawdle}}}]
    fault: {delay: {fixedDelay: 0.5s, percentage: {value: 100}}}
    route: [{destination: {host: app-v1.shop.svc.cluster.local}}]
  - route: [{destination: {host: app-v2.shop.svc.cluster.local}}]
";
    lab.config().write("virtual-service.yaml", text)?;
    let failed = stage.until(
        "the failure",
        &["-H", "x-chaos: fail", "http://10.96.3.1/"],
        is("418"),
    )?;
    ensure!(failed.by.is_empty(), "{failed:?}");
    let start = Instant::now();
    let late = stage.get(&["-H", "x-chaos: dawdle", "http://10.96.3.1/"])?;
    ensure!(
        late.by == "app-v1" && start.elapsed() >= Duration::from_millis(500),
        "{late:?}"
    );
    let other = stage.get(&["http://10.96.3.1/"])?;
    ensure!(other.by == "app-v2", "{other:?}");
    Ok(())
}

fn is(status: &'static str) -> impl Fn(&Answer) -> bool {
    move |answer| answer.status == status
}

/// Writes the HTTPRoute of the Service `app`.
fn route(lab: &Lab, rules: &str) -> Result<()> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: app, namespace: shop}}\nspec:\n  parentRefs: [{{group: '', kind: Service, name: app, port: 80}}]\n  rules:{rules}"
    );
    lab.config().write("route.yaml", &text)
}
