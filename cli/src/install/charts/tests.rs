use super::*;

#[test]
fn every_part_that_the_umbrella_names_is_there_with_its_values() {
    let directory = tempfile::tempdir().expect("a directory");
    let chart = write(directory.path()).expect("written");
    let umbrella = std::fs::read_to_string(chart.join("Chart.yaml")).expect("the chart");
    let named: Vec<&str> = umbrella
        .lines()
        .filter_map(|line| line.strip_prefix("- name: "))
        .collect();
    assert_eq!(named, PARTS.each_ref().map(|(name, _)| *name));
    for name in named {
        for file in [
            "Chart.yaml",
            "values.yaml",
            "values.schema.json",
            "templates/_helpers.tpl",
        ] {
            let path = chart.join("charts").join(name).join(file);
            assert!(path.is_file(), "{}", path.display());
        }
    }
    assert!(chart.join("charts/base/files/crds").is_dir());
}

#[test]
fn the_charts_are_of_this_version() {
    let umbrella = UMBRELLA
        .get_file("Chart.yaml")
        .and_then(|file| file.contents_utf8());
    let version = format!("\nversion: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(umbrella.is_some_and(|text| text.contains(&version)));
}
