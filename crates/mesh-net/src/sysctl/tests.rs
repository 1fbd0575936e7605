use super::*;
use crate::netns::Netns;
use crate::process::in_namespaces;

#[test]
fn a_setting_is_written_where_proc_sys_is_read_only_in_the_namespace_of_the_thread_alone() {
    in_namespaces(|| {
        let remount = "mount -t proc proc /proc && mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
        let status = std::process::Command::new("sh").args(["-ec", remount]).status();
        assert!(status.expect("a shell").success());
        let refused = fs::write(format!("/proc/sys/{SETTING}"), "1").expect_err("it is read-only");
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
        let pod = Netns::create().expect("a namespace");
        let read = || fs::read_to_string(format!("/proc/sys/{SETTING}")).expect("a setting");
        let (own, pods) = (read(), pod.run(read).expect("the namespace"));
        assert_eq!((own.trim(), pods.trim()), ("0", "0"));
        for _ in 0..2 {
            pod.run(|| write(SETTING, "1"))
                .expect("the namespace")
                .expect("written");
        }
        let (own, pods) = (read(), pod.run(read).expect("the namespace"));
        assert_eq!((own.trim(), pods.trim()), ("0", "1"));
    });
}

#[test]
fn a_setting_that_is_none_is_an_error() {
    in_namespaces(|| {
        let error = write("net/ipv4/no_such_setting", "1").expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = write_detached("net/ipv4/no_such_setting", "1").expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

const SETTING: &str = "net/ipv4/tcp_migrate_req";
