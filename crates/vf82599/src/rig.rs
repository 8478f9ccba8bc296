//! For tests: a VF with its control half, a host that keeps account, and the moves of a driver.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use ethernet::MacAddr;
use pcie::{ConfigLayout, ConfigSpace};
use port::{Cycles, GuestReply, GuestRequest, Reception};

use crate::registers::{CONTROL, ENABLE, HEAD, QUEUES, TAIL, VFMAILBOX, VFMBMEM, VTIVAR_MISC, rx, tx};
use crate::state::{VfState, word};
use crate::{Control, GuestSign, Host, Identity, Interrupts, Profile, Rejection, Signal};

pub(crate) const MAC: MacAddr = MacAddr([0x52, 0x54, 0x00, 0x82, 0x59, 0x01]);
pub(crate) const CYCLES_PER_MICROSECOND: u64 = 1000;

pub(crate) const ACK: u32 = 0x8000_0000;
pub(crate) const NACK: u32 = 0x4000_0000;
pub(crate) const CTS: u32 = 0x2000_0000;

/// Counts the messages of each vector.
#[derive(Debug, Default)]
pub(crate) struct Messages([AtomicU32; 3]);

impl Messages {
    pub(crate) fn take(&self) -> [u32; 3] {
        std::array::from_fn(|vector| self.0[vector].swap(0, Ordering::SeqCst))
    }
}

/// The sending end of [`Messages`].
#[derive(Debug)]
pub(crate) struct Sender(pub(crate) Arc<Messages>);

impl Signal for Sender {
    fn signal(&self, vector: u32) {
        self.0.0[vector as usize].fetch_add(1, Ordering::SeqCst);
    }
}

/// A call of the control half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// With what the worker could see at that time.
    Quiesce(Seen),
    Kick,
    Request(GuestRequest),
}

/// What stops a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) dma_enabled: bool,
    /// Bit n receive queue n, bit 8 + n transmit queue n.
    pub(crate) enabled: u32,
    pub(crate) generations: Vec<u32>,
}

impl Seen {
    pub(crate) fn of(state: &VfState) -> Self {
        let on = |offset: u32, bit: u32| u32::from(state.register(offset) & ENABLE != 0) << bit;
        Self {
            dma_enabled: state.private.load(word::DMA_ENABLED) == 1,
            enabled: (0..QUEUES).map(|q| on(rx(q, CONTROL), q) | on(tx(q, CONTROL), 8 + q)).sum(),
            generations: (word::RX_GENERATION..word::TX_GENERATION + 8)
                .map(|w| state.private.load(w))
                .collect(),
        }
    }
}

/// A host that writes down what it is asked, grants all but what it is told to refuse, and has a clock of its own.
#[derive(Debug)]
pub(crate) struct FakeHost {
    state: VfState,
    pub(crate) calls: Vec<Call>,
    pub(crate) signs: Vec<GuestSign>,
    /// Transmit descriptors of queue 0 that a worker gets done in a round.
    pub(crate) sends: u32,
    /// How long a round takes.
    pub(crate) round: Cycles,
    pub(crate) refuses: bool,
    pub(crate) most: Reception,
    pub(crate) now: Cycles,
    /// The VFMAILBOX register, as the next data path would find it, at the last request.
    pub(crate) mailbox_at_request: u32,
}

impl FakeHost {
    pub(crate) fn new(state: VfState) -> Self {
        Self {
            state,
            calls: Vec::new(),
            signs: Vec::new(),
            sends: 0,
            round: 0,
            refuses: false,
            most: Reception::Promiscuous,
            now: 1 << 32,
            mailbox_at_request: 0,
        }
    }

    /// The requests since the last call.
    pub(crate) fn take_requests(&mut self) -> Vec<GuestRequest> {
        self.take_calls()
            .into_iter()
            .filter_map(|call| if let Call::Request(request) = call { Some(request) } else { None })
            .collect()
    }

    pub(crate) fn take_signs(&mut self) -> Vec<GuestSign> {
        std::mem::take(&mut self.signs)
    }

    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    /// What the worker could see when it was quiesced since the last call.
    pub(crate) fn take_quiesced(&mut self) -> Vec<Seen> {
        self.take_calls()
            .into_iter()
            .filter_map(|call| if let Call::Quiesce(seen) = call { Some(seen) } else { None })
            .collect()
    }
}

impl Host for FakeHost {
    fn quiesce(&mut self) {
        self.calls.push(Call::Quiesce(Seen::of(&self.state)));
        let [head, tail] = [HEAD, TAIL].map(|register| self.state.register(tx(0, register)));
        if Seen::of(&self.state).enabled & 1 << 8 != 0 {
            self.state.set_register(tx(0, HEAD), tail.min(head + self.sends));
        }
        self.now += self.round;
    }

    fn kick(&mut self) {
        self.calls.push(Call::Kick);
    }

    fn request(&mut self, request: GuestRequest) -> GuestReply {
        self.calls.push(Call::Request(request.clone()));
        self.mailbox_at_request = self.state.register(VFMAILBOX);
        match request {
            GuestRequest::Reset => GuestReply::Granted,
            _ if self.refuses => GuestReply::Refused,
            GuestRequest::SetReception(asked) => GuestReply::Reception(asked.min(self.most)),
            _ => GuestReply::Granted,
        }
    }

    fn guest_sign(&mut self, sign: GuestSign) {
        self.signs.push(sign);
    }

    fn now(&self) -> Cycles {
        self.now
    }
}

/// A VF and what stands around it.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) state: VfState,
    pub(crate) control: Control,
    pub(crate) host: FakeHost,
    pub(crate) messages: Arc<Messages>,
}

fn layout(profile: Profile) -> Arc<ConfigLayout> {
    // A layout is costly to build in a debug build, and property tests make many devices.
    static LAYOUTS: Mutex<Vec<(u16, Arc<ConfigLayout>)>> = Mutex::new(Vec::new());
    let mut layouts = LAYOUTS.lock().unwrap();
    if let Some((_, layout)) = layouts.iter().find(|(device, _)| *device == profile.device) {
        return Arc::clone(layout);
    }
    let layout = Arc::new(profile.function().layout().unwrap());
    layouts.push((profile.device, Arc::clone(&layout)));
    layout
}

fn interrupts(state: &VfState) -> (Arc<Interrupts>, Arc<Messages>) {
    let messages = Arc::new(Messages::default());
    let sender = Box::new(Sender(Arc::clone(&messages)));
    (Arc::new(Interrupts::new(state.clone(), CYCLES_PER_MICROSECOND, sender)), messages)
}

impl Rig {
    /// A VF after power-on.
    pub(crate) fn off(profile: Profile, identity: Identity) -> Self {
        let state = VfState::create("test").unwrap();
        let (interrupts, messages) = interrupts(&state);
        let config = ConfigSpace::create(layout(profile), state.config_words()).unwrap();
        let control = Control::new(state.clone(), profile, identity, interrupts, config).unwrap();
        Self { host: FakeHost::new(state.clone()), state, control, messages }
    }

    /// A VF with its BARs and bus mastering enabled and its link up.
    pub(crate) fn new(profile: Profile, identity: Identity) -> Self {
        let mut rig = Self::off(profile, identity);
        rig.set_command(0x106);
        rig.control.set_link(true, &mut rig.host);
        rig.host.calls.clear();
        rig
    }

    /// An X550 VF with an address.
    pub(crate) fn x550() -> Self {
        Self::new(Profile::X550, identity())
    }

    /// The VF as the next data path finds it when this one ends here.
    pub(crate) fn restart(self, profile: Profile, identity: Identity) -> Self {
        let state = self.state;
        drop(self.control);
        let (interrupts, messages) = interrupts(&state);
        let config = ConfigSpace::attach(layout(profile), state.config_words()).unwrap();
        let mut host = FakeHost::new(state.clone());
        let control =
            Control::attach(state.clone(), profile, identity, interrupts, config, &mut host).unwrap();
        Self { state, control, host, messages }
    }

    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        let mut bytes = [0; 4];
        self.control.bar0_read(offset.into(), &mut bytes, &self.host);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        self.control.bar0_write(offset.into(), &value.to_le_bytes(), &mut self.host);
    }

    pub(crate) fn read_config(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.control.config_read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn write_config(&mut self, offset: u64, bytes: &[u8]) {
        self.control.config_write(offset, bytes, &mut self.host);
    }

    pub(crate) fn set_command(&mut self, command: u16) {
        self.write_config(4, &command.to_le_bytes());
    }

    pub(crate) fn rejected(&self, reason: Rejection) -> u64 {
        self.control.rejections().get(reason)
    }

    /// Sends a message in legacy framing, as a driver that checks each step; the reply, 16 words.
    pub(crate) fn message(&mut self, words: &[u32]) -> [u32; 16] {
        self.write(VFMAILBOX, 4);
        assert_eq!(self.read(VFMAILBOX) & 4, 4, "the VF owns the mailbox");
        for (n, word) in (0..).zip(words) {
            self.write(VFMBMEM + 4 * n, *word);
        }
        self.write(VFMAILBOX, 1);
        assert_eq!(self.read(VFMAILBOX) & 0x34, 0x30, "PFACK and PFSTS");
        self.write(VFMAILBOX, 4);
        assert_eq!(self.read(VFMAILBOX) & 0x34, 4, "reading cleared the events");
        let reply = self.mailbox_words();
        self.write(VFMAILBOX, 2);
        reply
    }

    pub(crate) fn mailbox_words(&mut self) -> [u32; 16] {
        let mut offsets = (VFMBMEM..).step_by(4);
        [(); 16].map(|()| self.read(offsets.next().unwrap()))
    }

    /// RESET and API_NEGOTIATE, and vector 2 for misc causes: a driver that is ready.
    pub(crate) fn start_driver(&mut self, api: u32) {
        assert_eq!(self.message(&[1])[0], ACK | 1);
        if api != 0 {
            assert_eq!(self.message(&[8, api])[0], ACK | CTS | 8);
        }
        self.write(VTIVAR_MISC, 0x82);
        self.write(crate::registers::VTEIAM, 7);
        self.write(crate::registers::VTEIAC, 7);
        self.write(crate::registers::VTEIMS, 7);
        self.host.calls.clear();
    }

    /// Enables a queue pair whose rings lie nowhere.
    pub(crate) fn enable_queue(&mut self, queue: u32) {
        for block in [rx(queue, 0), tx(queue, 0)] {
            self.write(block + CONTROL, ENABLE);
        }
    }
}

pub(crate) fn identity() -> Identity {
    let mut rss_key = [0; 40];
    rss_key.iter_mut().zip(0..).for_each(|(byte, value)| *byte = value);
    Identity { mac: Some(MAC), rss_key, ..Identity::default() }
}
