use super::*;

const SNMP: &str = "\
Tcp: RtoAlgorithm InSegs InErrs OutRsts InCsumErrors
Tcp: 1 100 0 0 2
Udp: InDatagrams InErrors InCsumErrors IgnoredMulti
Udp: 5 0 1 0
Icmp6InCsumErrors               \t0
Udp6InCsumErrors                \t4
driver: ixgbevf
NIC statistics:
     rx_packets: 77
     rx_csum_offload_errors: 8
";

#[test]
fn checksum_errors_of_all_layers_are_summed() {
    assert_eq!(count_checksum_errors(SNMP), Some(15));
}

#[test]
fn a_layer_without_counters_is_noticed() {
    assert_eq!(count_checksum_errors(&SNMP.replace("rx_csum_offload_errors", "other")), None);
    assert_eq!(count_checksum_errors(&SNMP.replace("6InCsumErrors", "6Other")), None);
}

#[test]
fn a_driver_that_does_not_count_checksum_errors_has_none() {
    let other = SNMP.replace("ixgbevf", "virtio_net").replace("rx_csum_offload_errors", "other");
    assert_eq!(count_checksum_errors(&other), Some(7));
}

#[test]
fn ping_counts_are_read_with_and_without_errors() {
    let plain =
        "--- 10.0.0.2 ping statistics ---\n3 packets transmitted, 2 received, 33% packet loss, time 4ms\n";
    assert_eq!(ping_counts(plain), Some((3, 2)));
    let errors = "9 packets transmitted, 4 received, +5 errors, 55% packet loss, time 4ms";
    assert_eq!(ping_counts(errors), Some((9, 4)));
    assert_eq!(ping_counts("ping: unknown host"), None);
}

#[test]
fn a_stream_is_read_and_its_error_reported() {
    let udp = r#"warning: large blocks
        {"end": {"sum_received": {"bytes": 1000, "lost_percent": 1.5}}}"#;
    let stream_read = stream(udp).unwrap();
    assert_eq!(stream_read.bytes, 1000);
    assert!((stream_read.lost_percent - 1.5).abs() < f64::EPSILON);
    let error = stream(r#"{"end": {}, "error": "unable to connect"}"#).unwrap_err();
    assert!(error.to_string().contains("unable to connect"), "{error}");
}

#[test]
fn tcp_connections_that_did_not_end_well_are_summed() {
    let text = "\
Tcp: RtoAlgorithm MaxConn EstabResets OutRsts
Tcp: 1 -1 2 3
TcpExt: SyncookiesSent TCPAbortOnData TCPAbortOnTimeout
TcpExt: 9 4 5
";
    assert_eq!(count_tcp_resets(text), Some(14));
    assert_eq!(count_tcp_resets("Udp: InDatagrams\nUdp: 5\n"), None);
}
