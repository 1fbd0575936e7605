use super::*;

fn image() -> Image {
    let mut files = Files::base();
    files.make("/hello", "text");
    let config = ImageConfig {
        entrypoint: vec!["/hello".into()],
        user: "65534:65534".into(),
        env: Vec::new(),
        labels: vec![("org.opencontainers.image.version".into(), "0.1.0".into())],
    };
    Image::of(&files, &config).expect("made")
}

#[test]
fn every_descriptor_leads_to_a_blob_of_its_size_and_digest() {
    let dir = tempfile::tempdir().expect("a folder");
    image()
        .write_to(dir.path(), "registry:5000/lateen/hello:1")
        .expect("written");
    let read = |path: &str| fs::read(dir.path().join(path)).expect("there");
    let follow = |descriptor: &Value| {
        let name = descriptor["digest"].as_str().expect("a digest");
        let bytes = read(&format!("blobs/{}", name.replace(':', "/")));
        assert_eq!(digest(&bytes), name);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    assert_eq!(json(&read("oci-layout")), json!({"imageLayoutVersion": "1.0.0"}));
    let index = json(&read("index.json"));
    let entry = &index["manifests"][0];
    assert_eq!(
        entry["annotations"]["io.containerd.image.name"],
        "registry:5000/lateen/hello:1"
    );
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1");
    let manifest = json(&follow(entry));
    let config = json(&follow(&manifest["config"]));
    follow(&manifest["layers"][0]);
    assert_eq!(config["config"]["User"], "65534:65534");
    assert_eq!(config["config"]["Entrypoint"], json!(["/hello"]));
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.version"],
        "0.1.0"
    );
    let mut files = Files::base();
    files.make("/hello", "text");
    let uncompressed = Layer::of(&files, Effort::Smallest);
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        uncompressed.expect("made").diff_id
    );
}

#[test]
fn the_same_files_give_the_same_image() {
    assert_eq!(image().digest(), image().digest());
    assert_eq!(
        image().archive("a:1").expect("made"),
        image().archive("a:1").expect("made")
    );
}

#[test]
fn a_port_is_no_tag() {
    assert_eq!(tag("localhost:5000/a"), "latest");
    assert_eq!(tag("localhost:5000/a:2"), "2");
    assert_eq!(tag("a"), "latest");
}
