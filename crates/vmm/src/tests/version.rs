use crate::{MsixMode, Version, msix_mode};

#[test]
fn msix_is_native_only_where_unplugging_is_safe() {
    let cases = [
        ((9, 2, 0), MsixMode::Relayed),
        ((10, 2, 0), MsixMode::Relayed),
        ((11, 0, 5), MsixMode::Relayed),
        ((11, 1, 3), MsixMode::Relayed),
        ((11, 1, 99), MsixMode::Relayed),
        ((11, 2, 0), MsixMode::Native),
        ((12, 0, 0), MsixMode::Native),
    ];
    for ((major, minor, micro), expected) in cases {
        let version = Version { major, minor, micro };
        assert_eq!(msix_mode(Some(version)), expected, "{version}");
    }
    assert_eq!(msix_mode(None), MsixMode::Relayed);
}
