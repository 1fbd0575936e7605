use std::fs;
use std::path::Path;

use super::Release;

#[test]
fn nothing_chosen_is_the_kubernetes_of_every_day() {
    assert_eq!(Release::named("").unwrap(), Release::V1_34);
}

#[test]
fn each_is_chosen_by_its_name_and_another_is_refused_with_those_that_there_are() {
    for release in Release::ALL {
        assert_eq!(Release::named(release.minor()).unwrap(), release);
    }
    for other in ["1.31", "1.32.2", "v1.32", "latest"] {
        let error = Release::named(other).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "LATEEN_KUBERNETES: there is no cluster of Kubernetes '{other}' here: set it to one of 1.32, 1.33, 1.34"
            )
        );
    }
}

#[test]
fn each_is_the_version_that_its_module_file_asks_for_in_every_part() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/hyperkube");
    for release in Release::ALL {
        let version = release.version();
        assert!(version.starts_with(&format!("{}.", release.minor())), "{version}");
        let file = modules.join(release.module_file());
        let text = fs::read_to_string(&file).unwrap();
        let required = format!("\tk8s.io/kubernetes v{version}\n");
        assert!(text.contains(&required), "{} is not {version}", file.display());
        // The parts are released beside the whole, as 0.MINOR.PATCH.
        let part = format!(" v0{}", version.trim_start_matches('1'));
        let replaced: Vec<_> = text.lines().filter(|line| line.contains(" => ")).collect();
        assert!(!replaced.is_empty(), "{}", file.display());
        for line in replaced {
            assert!(line.ends_with(&part), "{}: {line}", file.display());
        }
        assert!(file.with_extension("sum").is_file(), "{}", file.display());
    }
}
