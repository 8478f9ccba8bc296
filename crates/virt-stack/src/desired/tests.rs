use serde_json::json;

use super::{AdapterSpec, Conflict, Name, Trunk, VmSpec, check};

fn vm(name: &str, macs: &[&str]) -> VmSpec {
    let adapters: Vec<_> = macs.iter().map(|mac| json!({ "mac": mac })).collect();
    serde_json::from_value(json!({ "name": name, "adapter": adapters })).unwrap()
}

fn adapter(value: serde_json::Value) -> Result<AdapterSpec, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let spec = json!({
        "name": "alpha",
        "qmp": "/run/alpha.qmp",
        "adapter": [
            { "mac": "02:00:00:00:00:01", "vlan": 7, "iov_weight": 3, "mtu": 9000, "vhost_user": "client" },
            {
                "name": "dmz", "mac": "02:00:00:00:00:02", "trunk": [5, "7-9"], "switch": "lan",
                "iov_interrupt_moderation": "low", "bus": "rp1",
                "port": { "storm_limit": 5, "mirroring": "source", "bandwidth": { "maximum": 1_000_000 } },
            },
            {
                "mac": "02:00:00:00:00:03",
                "port": { "private_vlan": { "primary": 9, "role": { "promiscuous": "all" } } },
            },
        ],
    });
    let vm: VmSpec = serde_json::from_value(spec).unwrap();
    let json: VmSpec = serde_json::from_str(&serde_json::to_string(&vm).unwrap()).unwrap();
    assert_eq!(json, vm);
    let toml: VmSpec = toml::from_str(&toml::to_string(&vm).unwrap()).unwrap();
    assert_eq!(toml, vm);
    let names: Vec<_> = vm.named_adapters().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["net0", "dmz", "net2"]);
}

#[test]
fn a_trunk_is_written_in_ranges() {
    let trunk = Trunk::Vlans([5, 7, 8, 9].into());
    assert_eq!(serde_json::to_value(&trunk).unwrap(), json!([5, "7-9"]));
    assert_eq!(serde_json::to_value(Trunk::All).unwrap(), json!("all"));
}

#[test]
fn values_that_cannot_be_are_refused_by_name() {
    let with = |key: &str, value: serde_json::Value| {
        let mut spec = json!({ "mac": "02:00:00:00:00:01" });
        spec[key] = value;
        adapter(spec).unwrap_err()
    };
    for (key, value, wanted) in [
        ("mac", json!("01:00:00:00:00:01"), &["01:00:00:00:00:01", "even"][..]),
        ("vlan", json!(4095), &["4095", "1 to 4094"]),
        ("iov_weight", json!(101), &["101", "100"]),
        ("iov_weight", json!(-1), &["-1", "100"]),
        ("iov_queue_pairs", json!(3), &["3 queue pairs", "1, 2, 4 or 8"]),
        ("iov_interrupt_moderation", json!("none"), &["none", "adaptive"]),
        ("trunk", json!(["9-5"]), &["9-5", "1 to 4094"]),
        ("queue_pairs", json!(17), &["17", "1 to 16"]),
        ("mtu", json!(60), &["60", "68 to 65535"]),
        ("weight", json!(1), &["weight", "iov_weight"]),
    ] {
        let error = with(key, value);
        for part in wanted {
            assert!(error.contains(part), "{key}: {error:?} should name {part:?}");
        }
    }
}

#[test]
fn vms_that_do_not_fit_are_refused_with_the_names_of_both() {
    let (a, b) = ("02:00:00:00:00:0a", "02:00:00:00:00:0b");
    let switches = [Name::new("default").unwrap()];
    let none = || std::iter::empty();
    assert!(check(&[vm("a", &[a]), vm("b", &[b])], &switches, none()).is_ok());
    let refused = |vms: &[VmSpec]| check(vms, &switches, none()).unwrap_err();
    assert!(
        matches!(refused(&[vm("a", &[a]), vm("a", &[b])]), Conflict::TwoVms(name) if name.as_str() == "a")
    );
    let error = refused(&[vm("a", &[a]), vm("b", &[a])]).to_string();
    assert!(error.contains("a/net0") && error.contains("b/net0") && error.contains(a), "{error}");
    let host = [(a.parse().unwrap(), "the host adapter lan0".to_owned())];
    let error = check(&[vm("a", &[a])], &switches, host).unwrap_err().to_string();
    assert!(error.contains("host adapter lan0"), "{error}");
    let mut stray = vm("a", &[a]);
    stray.adapters[0].switch = Some(Name::new("dmz").unwrap());
    let error = refused(&[stray]).to_string();
    assert!(error.contains("switch dmz") && error.contains("default"), "{error}");
}
