//! `PortMirroring`: what source ports send and receive is copied to the destination ports.

use ethernet::VlanTag;

use crate::path::Path;
use crate::{Destination, Destinations, PortId};

/// Adds each port that watches the switch and does not get the frame yet, whatever its VLAN, with the tag as the switch
/// sees it.
pub(crate) fn copy(path: &Path, from: PortId, tag: Option<VlanTag>, out: &mut Destinations) {
    for &port in path.monitors() {
        if port != from && !out.contains(port) {
            out.push(Destination { port, tag, preserve_vlan: true, preserve_priority: true, mirror: true });
        }
    }
}
