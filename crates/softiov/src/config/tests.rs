use std::path::Path;

use virt_stack::desired::Trunk;

use super::Config;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("test.toml")).map_err(|e| e.to_string())
}

/// The error of a configuration with one VM whose adapter has the lines `lines`.
fn adapter_error(lines: &str) -> String {
    let text = format!("[[vm]]\nname = \"a\"\n[[vm.adapter]]\n{lines}\n");
    parse(&text).expect_err("must be refused")
}

const MAC: &str = "mac = \"02:00:00:00:00:01\"";

#[test]
fn the_examples_are_valid() {
    let two_guests = parse(include_str!("../../../../examples/two-guests.toml")).unwrap();
    assert_eq!((two_guests.vms.len(), two_guests.switches().len()), (2, 1));
    let network = parse(include_str!("../../../../examples/network.toml")).unwrap();
    assert_eq!((network.vms.len(), network.switches[0].hosts.len()), (3, 1));
    assert!(network.vms[2].adapters[0].policy().dhcp_guard);
    let quickstart = parse(include_str!("../../../../examples/quickstart.toml")).unwrap();
    assert_eq!((quickstart.vms.len(), quickstart.num_vfs()), (0, 4));
}

#[test]
fn an_empty_file_is_an_adapter_without_vms() {
    let config = parse("").unwrap();
    assert_eq!(config.num_vfs(), 64);
    assert!(config.vms.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = parse("[adapter]\ntotal_vfs = 8\nvfs = 3\n").unwrap_err();
    assert!(error.contains("line 3") && error.contains("vfs"), "{error}");
}

#[test]
fn values_out_of_range_name_themselves_the_line_and_what_would_be_right() {
    let cases = [
        ("mac = \"01:00:00:00:00:01\"", &["line 4", "01:00:00:00:00:01", "even"][..]),
        ("mac = \"02:00:00:00:00\"", &["line 4", "02:00:00:00:00"]),
        (&format!("{MAC}\nvlan = 4095"), &["line 5", "4095", "1 to 4094"]),
        (&format!("{MAC}\nvlan = 0"), &["line 5", "1 to 4094"]),
        (&format!("{MAC}\niov_weight = 101"), &["line 5", "101", "100"]),
        (&format!("{MAC}\niov_queue_pairs = 3"), &["line 5", "3 queue pairs", "1, 2, 4 or 8"]),
        (&format!("{MAC}\ntrunk = \"some\""), &["line 5", "some", "all"]),
        (&format!("{MAC}\ntrunk = [\"9-5\"]"), &["line 5", "9-5", "1 to 4094"]),
        (&format!("{MAC}\nvlan = 5\ntrunk = \"all\""), &["a/net0", "not both"]),
        (&format!("{MAC}\nqueue_pairs = 17"), &["line 5", "17", "1 to 16"]),
        (&format!("{MAC}\nmtu = 60"), &["line 5", "60", "68 to 65535"]),
        (&format!("{MAC}\nswitch = \"lan\""), &["a/net0", "switch lan", "default"]),
        (
            &format!("{MAC}\nvlan = 5\nport.private_vlan = {{ primary = 9, role = {{ isolated = 10 }} }}"),
            &["a/net0", "one of them"],
        ),
        (&format!("{MAC}\nport.bandwidth = {{ maximum = 5 }}"), &["a/net0", "5 bit/s", "100000"]),
        (&format!("{MAC}\nport.storm = 5"), &["line 5", "storm"]),
        ("name = \"../x\"\nmac = \"02:00:00:00:00:01\"", &["line 4", "../x", "cannot be a name"]),
    ];
    for (lines, wanted) in cases {
        let error = adapter_error(lines);
        for part in wanted {
            assert!(error.contains(part), "{lines}: {error:?} should name {part:?}");
        }
    }
}

#[test]
fn too_many_vfs_are_refused() {
    let error = parse("[adapter]\ntotal_vfs = 257\n").unwrap_err();
    assert!(error.contains("257") && error.contains("256") && error.contains("line 2"), "{error}");
    let error = parse("[adapter]\ntotal_vfs = 4\nnum_vfs = 5\n").unwrap_err();
    assert!(error.contains("num_vfs 5") && error.contains("which is 4"), "{error}");
}

#[test]
fn two_of_a_name_or_address_are_refused_with_both_owners() {
    let vm = |name: &str, mac: &str| format!("[[vm]]\nname = \"{name}\"\n[[vm.adapter]]\nmac = \"{mac}\"\n");
    let error = parse(&(vm("a", "02:00:00:00:00:01") + &vm("a", "02:00:00:00:00:02"))).unwrap_err();
    assert!(error.contains("two VMs are called a"), "{error}");
    let error = parse(&(vm("a", "02:00:00:00:00:01") + &vm("b", "02:00:00:00:00:01"))).unwrap_err();
    assert!(error.contains("a/net0") && error.contains("b/net0"), "{error}");
}

#[test]
fn a_socket_path_that_no_socket_can_have_is_refused() {
    let text = format!(
        "[daemon]\nruntime_dir = \"/{}\"\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\n{MAC}\n",
        "x".repeat(120)
    );
    let error = parse(&text).unwrap_err();
    assert!(error.contains("shorter runtime_dir"), "{error}");
}

#[test]
fn trunks_are_lists_of_ids_and_ranges() {
    let text = format!("[[vm]]\nname = \"a\"\n[[vm.adapter]]\n{MAC}\ntrunk = [5, \"7-9\"]\n");
    let config = parse(&text).unwrap();
    let expected = Trunk::Vlans([5, 7, 8, 9].into());
    assert_eq!(config.vms[0].adapters[0].trunk, Some(expected));
}

#[test]
fn switches_that_do_not_fit_are_refused() {
    let cases = [
        (
            "[[switch]]\nname = \"a\"\n[[switch]]\nname = \"a\"\ntype = \"private\"",
            &["two switches are called a"][..],
        ),
        ("[[switch]]\nname = \"a\"\n[[switch]]\nname = \"b\"", &["switch b", "second external"]),
        (
            "[[switch]]\nname = \"a\"\ntype = \"private\"\n[[switch.host]]\ninterface = \"h\"",
            &["private switch a", "internal"],
        ),
        ("[[switch]]\nname = \"a\"\nageing = 0", &["ageing 0", "1 to 86400"]),
        ("[[switch]]\nname = \"a\"\n[[switch.host]]\ninterface = \"a/b\"", &["line 4", "a/b", "netdev"]),
        ("[uplink]\ntype = \"packet\"\ninterface = \"eth0\"\nqueues = 0", &["0 queues", "1 to 64"]),
        ("[uplink]\ntype = \"cable\"", &["cable", "packet"]),
    ];
    for (text, wanted) in cases {
        let error = parse(text).expect_err(text);
        for part in wanted {
            assert!(error.contains(part), "{text}: {error:?} should name {part:?}");
        }
    }
}
