//! Why a port drops a frame. Every reason is a counter of its VPort.

/// Defines an enum of reasons with their counter names.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every reason, in the order of its counters.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Name of the counter.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Position in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why a frame that a guest sent was not even looked at by the switch.
    Malformed {
        /// A descriptor is not of the kind that the device takes at that place.
        BadDescriptor = "tx_bad_descriptor",
        /// More descriptors or memory pieces than a frame may have.
        TooManyBuffers = "tx_too_many_buffers",
        /// Shorter than an Ethernet header.
        TooShort = "tx_too_short",
        /// Longer than the largest frame allowed.
        TooLong = "tx_too_long",
        /// A buffer lies outside the memory that the device may reach.
        DmaFault = "tx_dma_fault",
        /// The headers are longer than the device takes.
        HeaderTooLong = "tx_header_too_long",
        /// The checksum to be filled in lies outside the headers.
        BadChecksumOffset = "tx_bad_checksum_offset",
        /// The frame cannot be cut as asked.
        BadSegmentation = "tx_bad_segmentation",
        /// An offload that the device does not have.
        Unsupported = "tx_unsupported_offload",
    }
}

reasons! {
    /// Why a receiver did not take a frame.
    Refusal {
        /// The receive queue is closed: not enabled, or its device may not reach memory.
        NotReady = "rx_not_ready",
        /// The link is down.
        LinkDown = "rx_link_down",
        /// The guest posted no buffers.
        NoBuffers = "rx_no_buffers",
        /// Longer than the guest's largest frame.
        TooLong = "rx_too_long",
        /// A receive buffer or ring lies outside the memory that the device may reach.
        DmaFault = "rx_dma_fault",
        /// The frame cannot be cut into pieces that the guest could take.
        BadSegmentation = "rx_bad_segmentation",
        /// The guest is between two paths, and the buffer that keeps its frames meanwhile is full.
        GapOverflow = "rx_gap_overflow",
        /// It was kept while the guest was between two paths, and given up.
        GapDiscarded = "rx_gap_discarded",
    }
}
