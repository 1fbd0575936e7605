use super::*;

/// What a parser or a server says may have lines and snippets.
#[test]
fn a_failure_is_one_line_whatever_others_said() {
    let failure =
        Failure::from(anyhow::anyhow!("line 1\n  |\n1 | a: [\n  |    ^ here\r\n").context("the file"));
    assert_eq!(failure.line(), "the file: line 1 | 1 | a: [ | ^ here");
}

#[test]
fn what_helps_is_said_where_the_cluster_or_our_access_to_it_is_at_fault() {
    let failure = |error: KubeError| Failure::from(anyhow::Error::new(error).context("the pods"));
    assert_eq!(
        failure(KubeError::Unreachable("http://127.0.0.1:1/: refused".into())).line(),
        "the pods: the API server cannot be reached: http://127.0.0.1:1/: refused; is it up, and is this the right --kubeconfig and \
         --context?"
    );
    let forbidden = failure(KubeError::Forbidden("pods is forbidden".into())).line();
    assert!(forbidden.contains("kubectl auth can-i"), "{forbidden}");
    assert_eq!(
        failure(KubeError::NotFound("pods".into())).line(),
        "the pods: not found: pods"
    );
}
