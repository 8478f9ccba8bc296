use super::*;

#[test]
fn the_file_is_the_documented_format() {
    let config = Config::pair()
        .with(0, 0, |adapter| adapter.access(10).trusted())
        .with(1, 0, |adapter| adapter.trunk(vec![Vlans::One(5), Vlans::Range("100-200")]));
    let file: toml::Table = config.file("/run/x").parse().unwrap();
    let expected: toml::Table = r#"
        [daemon]
        runtime_dir = "/run/x"
        [adapter]
        total_vfs = 8
        [[vm]]
        name = "alpha"
          [[vm.adapter]]
          name = "net0"
          mac = "02:00:00:00:01:00"
          vlan = 10
          trusted = true
        [[vm]]
        name = "beta"
          [[vm.adapter]]
          name = "net0"
          mac = "02:00:00:00:02:00"
          trunk = [5, "100-200"]
          trusted = false
    "#
    .parse()
    .unwrap();
    assert_eq!(file, expected);
}

#[test]
fn there_are_as_many_vfs_as_adapters() {
    let file: toml::Table = Config::plain(64, 4).file("/run/x").parse().unwrap();
    assert_eq!(file["adapter"]["total_vfs"].as_integer(), Some(256));
    assert_eq!(file["vm"].as_array().unwrap().len(), 64);
}

#[test]
fn trunk_of_all_is_a_word() {
    let file: toml::Table =
        Config::plain(1, 1).with(0, 0, Adapter::trunk_of_all).file("/run/x").parse().unwrap();
    assert_eq!(file["vm"][0]["adapter"][0]["trunk"].as_str(), Some("all"));
}

#[test]
fn vm_queues_take_the_place_of_vfs() {
    let config = Config::pair().vm_queues(1).worker_on(3);
    assert!(config.vms.iter().flat_map(|vm| &vm.adapters).all(Adapter::is_synthetic));
    let file: toml::Table = config.file("/run/x").parse().unwrap();
    assert_eq!(file["daemon"]["cpu"].as_integer(), Some(3));
    assert_eq!(file["adapter"]["sriov"].as_bool(), Some(false));
    assert_eq!(file["adapter"]["vm_queues"].as_integer(), Some(1));
}
