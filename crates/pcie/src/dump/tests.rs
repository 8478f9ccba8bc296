use std::io::Write as _;
use std::process::Command;

use super::*;
use crate::{CONFIG_SPACE_SIZE, PfProfile, PfStorage, PhysicalFunction, VfProfile};

fn pf() -> PhysicalFunction {
    let rid = Rid::new(1, 0, 0).unwrap();
    PhysicalFunction::create(rid, &PfProfile::x550(256, VfProfile::X550), PfStorage::heap(256)).unwrap()
}

fn dump(pf: &PhysicalFunction, rid: Rid) -> String {
    let mut bytes = [0; CONFIG_SPACE_SIZE];
    pf.config_read_bytes(rid, 0, &mut bytes).unwrap();
    lspci_dump(rid, "Ethernet controller", &bytes)
}

/// What lspci makes of `text`.
fn lspci(text: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let output = Command::new("lspci")
        .args(["-vvv", "-n", "-F"])
        .arg(file.path())
        .output()
        .expect("this test runs lspci: install the package pciutils");
    assert!(output.status.success(), "lspci failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts that each line stands in `text`, in this order.
fn assert_lines(text: &str, lines: &[&str]) {
    let mut rest = text;
    for line in lines {
        let at = rest.find(line).unwrap_or_else(|| panic!("no {line:?} (in this order) in:\n{text}"));
        rest = &rest[at..];
    }
}

#[test]
fn rows_and_title() {
    let text = lspci_dump(Rid::new(0, 0x1f, 7).unwrap(), "a\n00: ff", &[0xab; 4096]);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("00:1f.7 a00: ff"));
    let row = " ab".repeat(16);
    assert_eq!(lines.next(), Some(format!("00:{row}").as_str()));
    assert_eq!(text.lines().count(), 1 + 256 + 1);
    assert_eq!(text.lines().nth(256), Some(format!("ff0:{row}").as_str()));
    assert!(text.ends_with("\n\n"));
}

#[test]
fn lspci_decodes_the_pf() {
    let mut pf = pf();
    pf.enable_virtualization(200).unwrap();
    assert_lines(
        &lspci(&dump(&pf, pf.rid())),
        &[
            "01:00.0 0200: 8086:1563 (rev 01)",
            "Capabilities: [40] Power Management version 3",
            "Capabilities: [70] MSI-X: Enable- Count=64 Masked-",
            "Capabilities: [a0] Express (v2) Endpoint",
            "FLReset+",
            "LnkSta:\tSpeed 8GT/s, Width x4\n",
            "Capabilities: [100 v2] Advanced Error Reporting",
            "Capabilities: [150 v1] Alternative Routing-ID Interpretation (ARI)",
            "Capabilities: [160 v1] Single Root I/O Virtualization (SR-IOV)",
            "IOVCtl:\tEnable+ Migration- Interrupt- MSE+ ARIHierarchy-",
            "Initial VFs: 256, Total VFs: 256, Number of VFs: 200, Function Dependency Link: 00",
            "VF offset: 128, stride: 2, Device ID: 1565",
            "Supported Page Size: 00000553, System Page Size: 00000001",
            "Region 0: Memory at 0000000000000000 (64-bit, non-prefetchable)",
            "Region 3: Memory at 0000000000000000 (64-bit, non-prefetchable)",
            "Capabilities: [1b0 v1] Access Control Services",
        ],
    );
}

#[test]
fn lspci_decodes_a_vf() {
    let mut pf = pf();
    pf.enable_virtualization(200).unwrap();
    let rid = pf.vf_rid(199).unwrap();
    pf.config_write(rid, 0x72, &[0, 0xc0]).unwrap();
    assert_lines(
        &lspci(&dump(&pf, rid)),
        &[
            "03:01.6 0200: 8086:1565 (rev 01)",
            "(64-bit, non-prefetchable)",
            "(64-bit, non-prefetchable)",
            "Capabilities: [70] MSI-X: Enable+ Count=3 Masked+",
            "Vector table: BAR=3 offset=00000000",
            "PBA: BAR=3 offset=00002000",
            "Capabilities: [a0] Express (v2) Endpoint",
            "FLReset+",
            "Capabilities: [100 v2] Advanced Error Reporting",
            "Capabilities: [150 v1] Alternative Routing-ID Interpretation (ARI)",
            "Next Function: 0",
        ],
    );
}

#[test]
fn lspci_reads_every_function_of_joined_dumps() {
    let mut pf = pf();
    pf.enable_virtualization(3).unwrap();
    let vfs = pf.virtual_functions().iter().map(|vf| dump(&pf, vf.rid()));
    let text = lspci(&(dump(&pf, pf.rid()) + &vfs.collect::<String>()));
    let functions: Vec<_> = text.lines().filter(|line| line.contains(" 0200: ")).collect();
    assert_eq!(
        functions,
        [
            "01:00.0 0200: 8086:1563 (rev 01)",
            "01:10.0 0200: 8086:1565 (rev 01)",
            "01:10.2 0200: 8086:1565 (rev 01)",
            "01:10.4 0200: 8086:1565 (rev 01)",
        ]
    );
}
