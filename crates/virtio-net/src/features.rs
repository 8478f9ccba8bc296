//! Feature bits: what the device offers, and what the driver's choice amounts to.

use bitflags::bitflags;

bitflags! {
    /// Feature bits of virtio-net and of the transport (VIRTIO 1.3 sections 5.1.3 and 6).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Features: u64 {
        /// The device completes checksums.
        const CSUM = 1 << 0;
        /// The driver takes frames whose checksum is not complete.
        const GUEST_CSUM = 1 << 1;
        /// `GUEST_OFFLOADS_SET` of the control queue.
        const CTRL_GUEST_OFFLOADS = 1 << 2;
        /// The configuration says the largest MTU.
        const MTU = 1 << 3;
        /// The configuration says the address.
        const MAC = 1 << 5;
        /// The driver takes TCP over IPv4 uncut.
        const GUEST_TSO4 = 1 << 7;
        /// The driver takes TCP over IPv6 uncut.
        const GUEST_TSO6 = 1 << 8;
        /// The driver takes uncut TCP whose CWR flag is set.
        const GUEST_ECN = 1 << 9;
        /// The device cuts TCP over IPv4.
        const HOST_TSO4 = 1 << 11;
        /// The device cuts TCP over IPv6.
        const HOST_TSO6 = 1 << 12;
        /// The device cuts TCP whose CWR flag is set.
        const HOST_ECN = 1 << 13;
        /// A received frame may span several buffers.
        const MRG_RXBUF = 1 << 15;
        /// The configuration says the link state.
        const STATUS = 1 << 16;
        /// There is a control queue.
        const CTRL_VQ = 1 << 17;
        /// Reception modes by the control queue.
        const CTRL_RX = 1 << 18;
        /// VLAN filter by the control queue.
        const CTRL_VLAN = 1 << 19;
        /// The device asks the guest to announce itself.
        const GUEST_ANNOUNCE = 1 << 21;
        /// Several queue pairs.
        const MQ = 1 << 22;
        /// Address by the control queue.
        const CTRL_MAC_ADDR = 1 << 23;
        /// Descriptors may stand for tables of descriptors.
        const INDIRECT_DESC = 1 << 28;
        /// Notifications by ring position.
        const EVENT_IDX = 1 << 29;
        /// The header has 12 bytes, all is little-endian.
        const VERSION_1 = 1 << 32;
        /// Packed rings.
        const RING_PACKED = 1 << 34;
        /// Buffers are used in the order in which they were made available.
        const IN_ORDER = 1 << 35;
        /// The driver takes UDP over IPv4 uncut.
        const GUEST_USO4 = 1 << 54;
        /// The driver takes UDP over IPv6 uncut.
        const GUEST_USO6 = 1 << 55;
        /// The device cuts UDP.
        const HOST_USO = 1 << 56;
        /// Receive side scaling by the driver's table.
        const RSS = 1 << 60;
    }
}

/// What a front end can do, as far as it decides on the features to offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Several queue pairs are there.
    pub multiqueue: bool,
    /// The control queue reaches this device. QEMU and DPDK's virtio-user serve it themselves when their back end is
    /// vhost-user; only then are the features that need it theirs to offer.
    pub control_queue: bool,
}

impl Features {
    /// Received frames need not be complete or cut: what `GUEST_OFFLOADS_SET` can switch.
    pub const GUEST_OFFLOADS: Self = Self::GUEST_CSUM
        .union(Self::GUEST_TSO4)
        .union(Self::GUEST_TSO6)
        .union(Self::GUEST_ECN)
        .union(Self::GUEST_USO4)
        .union(Self::GUEST_USO6);

    /// Offloads asked for in the header of a frame that the driver sends: without any, the header says nothing.
    pub(crate) const HOST_OFFLOADS: Self =
        Self::CSUM.union(Self::HOST_TSO4).union(Self::HOST_TSO6).union(Self::HOST_USO);

    const NEEDS_CONTROL_QUEUE: Self = Self::CTRL_RX
        .union(Self::CTRL_VLAN)
        .union(Self::CTRL_MAC_ADDR)
        .union(Self::CTRL_GUEST_OFFLOADS)
        .union(Self::GUEST_ANNOUNCE)
        .union(Self::RSS);

    /// The features to offer.
    #[must_use]
    pub fn offered(offer: Offer) -> Self {
        let mut all = Self::all();
        if !offer.control_queue {
            all.remove(Self::NEEDS_CONTROL_QUEUE | Self::CTRL_VQ);
        }
        if !offer.multiqueue {
            all.remove(Self::MQ | Self::RSS);
        }
        all
    }

    /// What a driver's choice amounts to: features without those that they need (section 5.1.3.1) count as not
    /// chosen.
    #[must_use]
    pub fn effective(self) -> Self {
        const NEEDS: [(Features, Features); 11] = [
            (Features::GUEST_TSO4, Features::GUEST_CSUM),
            (Features::GUEST_TSO6, Features::GUEST_CSUM),
            (Features::GUEST_USO4, Features::GUEST_CSUM),
            (Features::GUEST_USO6, Features::GUEST_CSUM),
            (Features::GUEST_ECN, Features::GUEST_TSO4.union(Features::GUEST_TSO6)),
            (Features::HOST_TSO4, Features::CSUM),
            (Features::HOST_TSO6, Features::CSUM),
            (Features::HOST_USO, Features::CSUM),
            (Features::HOST_ECN, Features::HOST_TSO4.union(Features::HOST_TSO6)),
            (Features::NEEDS_CONTROL_QUEUE, Features::CTRL_VQ),
            (Features::RING_PACKED, Features::VERSION_1),
        ];
        // In this order what a removal leaves without need is met further down.
        NEEDS.iter().fold(
            self,
            |left, (feature, any_of)| {
                if left.intersects(*any_of) { left } else { left.difference(*feature) }
            },
        )
    }

    /// Bytes of the header in front of every frame (section 5.1.6).
    #[must_use]
    pub fn header_len(self) -> usize {
        if self.intersects(Self::VERSION_1 | Self::MRG_RXBUF) { 12 } else { 10 }
    }
}

#[cfg(test)]
mod tests;
