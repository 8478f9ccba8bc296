//! Why a message of the front end was refused, and how often.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Why a message was refused. Each reason is a counter of the session; the front end is told only that it was
        /// refused, and only where the protocol has a reply.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason's name in metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// Another version of the protocol; ends the session.
    HeaderVersion = "header_version";
    /// A payload longer than any request has; ends the session.
    HeaderSize = "header_size";
    /// The reply flag, or a flag that has no meaning, in a request.
    HeaderFlags = "header_flags";
    /// No such request.
    UnknownRequest = "unknown_request";
    /// A request of the protocol that this back end does not have.
    UnsupportedRequest = "unsupported_request";
    /// A request of a protocol feature that was not negotiated.
    NotNegotiated = "not_negotiated";
    /// The payload is not as long as the request's structure.
    PayloadSize = "payload_size";
    /// More or fewer file descriptors than the request has.
    FdCount = "fd_count";
    /// A feature that was not offered.
    FeatureNotOffered = "feature_not_offered";
    /// Other features than before while a ring runs.
    FeaturesLocked = "features_locked";
    /// A memory table of no regions, or of more than one message or this session may have.
    RegionCount = "region_count";
    /// A memory region of size 0, or one that wraps.
    RegionRange = "region_range";
    /// A memory region that is not made of whole pages.
    RegionAlignment = "region_alignment";
    /// A memory region over another one, in guest or in front-end addresses.
    RegionOverlap = "region_overlap";
    /// REM_MEM_REG of a region that is not in the table.
    RegionUnknown = "region_unknown";
    /// No such ring.
    VringIndex = "vring_index";
    /// A ring size of 0, above the bound, or, for a split ring, not a power of two.
    VringSize = "vring_size";
    /// Unknown ring address flags, or unknown bits beside the ring number.
    VringFlags = "vring_flags";
    /// A part of a ring that is misaligned or wraps.
    VringAddress = "vring_address";
    /// A part of a ring that is not within one memory region.
    VringUnmapped = "vring_unmapped";
    /// Parts of one ring that overlap.
    VringOverlap = "vring_overlap";
    /// A ring position beyond the ring.
    VringBase = "vring_base";
    /// Size, position or addresses changed while the ring runs.
    VringRunning = "vring_running";
    /// SET_VRING_ENABLE with neither 0 nor 1.
    VringEnable = "vring_enable";
    /// A descriptor with the flag that says there is none, or none without it.
    VringFd = "vring_fd";
    /// A file descriptor for an event is not an eventfd.
    NotAnEventFd = "not_an_eventfd";
    /// A dirty log of size 0, one that wraps, or one that does not begin at a page of its file.
    LogRange = "log_range";
    /// A dirty log too small for the memory table or for a used ring.
    LogSize = "log_size";
    /// An inflight area for no rings, for more than there are, or for rings of an impossible size.
    InflightShape = "inflight_shape";
    /// An inflight area that is too small, wraps, or does not begin at a page of its file.
    InflightRange = "inflight_range";
    /// An MTU that no IPv4 link has, or more than 65,535.
    Mtu = "mtu";
    /// A MAC address that no adapter can have: all zero, or a group address.
    Mac = "mac";
    /// A device status of more than eight bits.
    Status = "status";
    /// The device refused.
    Backend = "backend";
}

/// How often each [`Reason`] came up in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters([u64; Reason::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

impl Counters {
    /// Refusals for `reason`.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// Refusals, whatever the reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }

    pub(crate) fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }
}
