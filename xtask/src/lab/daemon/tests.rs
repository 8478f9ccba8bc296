use serde_json::json;

use super::*;

#[test]
fn counters_are_summed_wherever_they_stand() {
    let state = json!({
        "vfs": [
            { "name": "spoof", "drops": { "spoofed_source": 3, "no_buffer": 9 } },
            { "drops": [{ "reason": "no_buffer", "count": 2 }, { "reason": "spoofed_source", "count": 4 }], "spoof_check": true },
        ],
        "total": { "spoofed_source": { "frames": 100 } },
    });
    assert_eq!(sum_of(&state, "spoofed_source"), 7);
    assert_eq!(sum_of(&state, "absent"), 0);
}
