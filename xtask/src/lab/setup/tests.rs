use std::fs;

use super::{mirror, modules, stamped};

#[test]
fn mirror_is_read_from_both_formats() {
    let deb822 = "Types: deb\nURIs: https://mirror.example/debian/\nSuites: bookworm\n";
    assert_eq!(mirror::in_sources(deb822).as_deref(), Some("https://mirror.example/debian"));
    let list =
        "# deb http://old.example/debian x main\ndeb [arch=amd64] http://a.example/debian bookworm main\n";
    assert_eq!(mirror::in_sources(list).as_deref(), Some("http://a.example/debian"));
}

#[test]
fn mirrors_of_other_archives_are_passed_over() {
    assert_eq!(mirror::in_sources("URIs: http://deb.debian.org/debian-security\n"), None);
    assert_eq!(mirror::in_sources("deb http://packages.example/apt stable main\n"), None);
}

const MODULES_DEP: &str = "kernel/net/802/stp.ko.xz:
kernel/net/8021q/8021q.ko.xz: kernel/net/802/garp.ko.xz kernel/net/802/stp.ko.xz
kernel/drivers/net/veth.ko:
";

#[test]
fn modules_come_with_all_they_need() {
    let files = modules::closure(MODULES_DEP, &["8021q", "veth"]).unwrap();
    let expected = [
        "kernel/drivers/net/veth.ko",
        "kernel/net/802/garp.ko.xz",
        "kernel/net/802/stp.ko.xz",
        "kernel/net/8021q/8021q.ko.xz",
    ];
    assert!(files.into_iter().eq(expected));
}

#[test]
fn a_missing_module_is_named() {
    let error = modules::closure(MODULES_DEP, &["ixgbevf"]).unwrap_err();
    assert!(error.to_string().contains("ixgbevf"), "{error}");
}

#[test]
fn a_product_is_made_again_only_when_its_recipe_changes() {
    let dir = tempfile::tempdir().unwrap();
    let stamp = dir.path().join("stamp");
    let mut made = 0;
    for recipe in ["one", "one", "two", "two"] {
        stamped("a thing", &stamp, recipe, || {
            made += 1;
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(made, 2);
    assert!(stamped("a thing", &stamp, "three", || anyhow::bail!("no disk")).is_err());
    assert_eq!(fs::read_to_string(&stamp).unwrap(), "two");
}
