use super::*;

/// The rows of ndis.md B.10: SriovPreferred, RssOrVmqPreference, SRIOV, VMQ, RSS (`None`: any value), result.
type Row = (bool, Option<bool>, Option<bool>, Option<bool>, Option<bool>, Mode);

const MATRIX: [Row; 7] = [
    (true, Some(true), Some(true), Some(true), None, Mode::SrIov),
    (true, Some(true), Some(false), Some(true), None, Mode::Vmq),
    (true, None, Some(false), Some(false), None, Mode::Off),
    (false, Some(true), None, Some(true), None, Mode::Vmq),
    (false, Some(true), None, Some(false), None, Mode::Off),
    (false, Some(false), None, None, Some(true), Mode::Rss),
    (false, Some(false), None, None, Some(false), Mode::Off),
];

fn values(cell: Option<bool>) -> Vec<bool> {
    cell.map_or_else(|| vec![false, true], |value| vec![value])
}

#[test]
fn b10_every_row_of_the_matrix_selects_its_mode() {
    for (sriov_preferred, preference, sriov, vmq, rss, mode) in MATRIX {
        for vmq_preferred in values(preference) {
            for sriov in values(sriov) {
                for vmq in values(vmq) {
                    for rss in values(rss) {
                        let keywords = Keywords {
                            sriov,
                            vmq,
                            rss,
                            sriov_preferred,
                            vmq_preferred,
                            ..Keywords::default()
                        };
                        assert_eq!(keywords.mode(), mode, "{keywords:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_default_is_sr_iov() {
    assert_eq!(Keywords::default().mode(), Mode::SrIov);
}
