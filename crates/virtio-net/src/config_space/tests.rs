use ethernet::MacAddr;

use super::*;

#[test]
fn fields_stand_where_the_driver_reads_them() {
    let state = AdapterState::create("adapter", 4, MacAddr([2, 3, 4, 5, 6, 7]), 9000).unwrap();
    let down = config_space(&state);
    assert_eq!(down[..6], [2, 3, 4, 5, 6, 7]);
    assert_eq!(down[6..8], [0, 0]);
    assert_eq!(down[8..12], [4, 0, 0x28, 0x23], "pairs, MTU");
    assert_eq!(down[12..17], [0xff; 5], "speed and duplex are not known");
    assert_eq!(down[17..], [40, 128, 0, 0xff, 1, 0, 0], "key bytes, table entries, hash types");
    state.set_link_up(true);
    state.set_announcing(true);
    assert_eq!(config_space(&state)[6..8], [3, 0]);
}
