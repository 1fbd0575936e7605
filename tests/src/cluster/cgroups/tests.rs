use super::*;

#[test]
fn hierarchies_of_version_1_are_told_from_the_unified_one() {
    let own = "11:memory:/a\n4:cpu,cpuacct:/\n1:name=systemd:/\n0::/user\n";
    assert_eq!(version_1(own), ["memory", "cpu,cpuacct", "none,name=systemd"]);
    assert_eq!(version_1("0::/user.slice\n"), Vec::<String>::new());
}
