use super::*;

/// Who has a container engine gets the same images: the same programs at the same places, the same entry point and user.
#[test]
fn the_dockerfile_makes_the_same_images() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let text = std::fs::read_to_string(file).expect("there");
    for component in COMPONENTS {
        let stage = text.split("\nFROM ").find(|s| {
            let first = s.lines().next().unwrap_or_default();
            first.ends_with(&format!(" AS {}", component.name))
        });
        let stage = stage.unwrap_or_else(|| panic!("no stage {}", component.name));
        for (binary, at) in component.programs {
            let line = format!("COPY --from=build /src/target/dist/{binary} {at}");
            assert!(stage.lines().any(|l| l == line), "{}: {line}", component.name);
        }
        let (_, entry) = component.programs[0];
        let entry = format!("ENTRYPOINT [\"{entry}\"]");
        assert!(stage.lines().any(|l| l == entry), "{}: {entry}", component.name);
        let user = match component.user {
            User::Nobody => "USER 65534:65534",
            User::Root => "USER 0:0",
        };
        assert!(stage.lines().any(|l| l == user), "{}: {user}", component.name);
        let title = format!("LABEL org.opencontainers.image.title=\"{}\"", component.name);
        assert!(stage.lines().any(|l| l == title), "{}: {title}", component.name);
    }
}
