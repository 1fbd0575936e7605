use controlplane_k8s_api::parse;

use super::*;

const BOTH: Which = Which {
    files: true,
    kube: true,
};

fn pod(node: &str) -> (ObjectKey, Arc<Located<Object>>) {
    let text = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: a, namespace: shop}}, spec: {{nodeName: {node}}}}}"
    );
    let object = parse(&text).remove(0).expect("a Pod");
    (object.value.key().expect("a key"), Arc::new(object))
}

fn file(changes: Vec<FileChange>) -> SourceBatch {
    SourceBatch::Files(ConfigBatch {
        changes,
        never_good: Vec::new(),
    })
}

fn kube(changes: Vec<ObjectChange>) -> SourceBatch {
    SourceBatch::Kube(KubeBatch {
        changes,
        unknown: Vec::new(),
        remarks: None,
    })
}

/// Each change as the node of the Pod that is there then.
fn nodes(changes: &[FileChange]) -> Vec<String> {
    let node = |change: &FileChange| match change {
        FileChange::Set(_, object) => match &object.value {
            Object::Pod(pod) => pod.spec.node_name.to_string(),
            other => panic!("{other:?}"),
        },
        FileChange::Removed(_) => "gone".to_owned(),
    };
    changes.iter().map(node).collect()
}

#[test]
fn of_an_object_in_both_the_clusters_counts_and_the_files_again_after_it() {
    let mut sources = Sources::new(BOTH);
    let (key, of_file) = pod("file");
    let (_, of_kube) = pod("cluster");
    assert_eq!(
        nodes(&sources.take(file(vec![FileChange::Set(key.clone(), of_file.clone())]))),
        ["file"]
    );
    assert_eq!(
        nodes(&sources.take(kube(vec![ObjectChange::Set(key.clone(), of_kube.clone())]))),
        ["cluster"]
    );
    assert_eq!(
        nodes(&sources.take(file(vec![FileChange::Removed(key.clone())]))),
        [""; 0]
    );
    assert_eq!(
        nodes(&sources.take(file(vec![FileChange::Set(key.clone(), of_file)]))),
        [""; 0]
    );
    assert_eq!(
        nodes(&sources.take(kube(vec![ObjectChange::Removed(key.clone())]))),
        ["file"]
    );
    assert_eq!(
        nodes(&sources.take(kube(vec![ObjectChange::Set(key.clone(), of_kube)]))),
        ["cluster"]
    );
    assert_eq!(
        nodes(&sources.take(file(vec![FileChange::Removed(key.clone())]))),
        [""; 0]
    );
    assert_eq!(
        nodes(&sources.take(kube(vec![ObjectChange::Removed(key)]))),
        ["gone"]
    );
}

#[test]
fn everything_is_known_when_each_source_was_known_once() {
    let mut sources = Sources::new(BOTH);
    sources.take(file(Vec::new()));
    assert!(!sources.are_known());
    let listing = KubeBatch {
        changes: Vec::new(),
        unknown: vec!["Pod: not listed yet".to_owned()],
        remarks: None,
    };
    sources.take(SourceBatch::Kube(listing));
    assert!(!sources.are_known());
    sources.take(kube(Vec::new()));
    assert!(sources.are_known());
    assert!(
        Sources::new(Which {
            files: false,
            kube: false
        })
        .are_known()
    );
}
