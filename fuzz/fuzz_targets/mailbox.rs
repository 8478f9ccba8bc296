//! The mailbox against a plain model of its protocol: what each access of the registers reads, which bits come with
//! which reply, that nothing but RESET is served before RESET, and that the physical function is asked for nothing
//! that cannot be.

#![no_main]

use arbitrary::Arbitrary;
use ethernet::MacAddr;
use libfuzzer_sys::fuzz_target;
use port::{GuestRequest, Reception};
use support::vf::{MAC, Vf};
use vf82599::registers::{VFCTRL, VFCTRL_RST, VFMAILBOX, VFMBMEM};
use vf82599::{Identity, MailboxApi, Profile};

const REQ: u32 = 1;
const ACK_READ: u32 = 2;
const VFU: u32 = 4;
const PFSTS: u32 = 0x10;
const PFACK: u32 = 0x20;
const RSTD: u32 = 0x80;
const EVENTS: u32 = PFSTS | PFACK | RSTD;

const ACK: u32 = 1 << 31;
const NACK: u32 = 1 << 30;
const CTS: u32 = 1 << 29;
const CONTROL: u32 = 0x100;

/// Version codes that there are; 1.5 (6) is not accepted.
const CODES: [u32; 7] = [0, 2, 3, 4, 5, 7, 8];

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Word(u8, u32),
    Mailbox(u8),
    MailboxRaw(u32),
    ReadMailbox,
    ReadWord(u8),
    /// Opcode, info, the bits above, and three words, as a driver sends them.
    Message {
        opcode: u8,
        info: u8,
        high: u8,
        words: [u32; 3],
        lock: bool,
    },
    Driver(u8),
    Link(bool),
    Mac(Option<[u8; 6]>),
    Refuse(bool),
    Most(u8),
    Reset,
    Restart,
}

#[derive(Arbitrary, Debug)]
struct Input {
    rss_registers: bool,
    esx_framing: bool,
    newest: u8,
    steps: Vec<Step>,
}

/// The physical function's end.
struct Model {
    identity: Identity,
    rss_registers: bool,
    words: [u32; 16],
    register: u32,
    link: bool,
    cts: bool,
    unread: bool,
    control_due: bool,
    code: u32,
    unicast: Vec<[u32; 2]>,
    refuses: bool,
    most: Reception,
    /// What it is asked, from within.
    asked: Vec<GuestRequest>,
}

fn mac([low, high]: [u32; 2]) -> MacAddr {
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, ..] = high.to_le_bytes();
    MacAddr([a, b, c, d, e, f])
}

fn reception(n: u32) -> Option<Reception> {
    [Reception::Unicast, Reception::Multicast, Reception::AllMulticast, Reception::Promiscuous]
        .get(n as usize)
        .copied()
}

impl Model {
    fn reset(&mut self) {
        (self.words, self.register) = ([0; 16], RSTD);
        (self.cts, self.unread, self.control_due, self.code) = (false, false, false, 0);
        self.unicast.clear();
    }

    fn read(&mut self) -> u32 {
        let value = self.register;
        self.register &= !EVENTS;
        value
    }

    fn write(&mut self, value: u32) {
        self.register = self.register & !VFU | value & VFU;
        if value & REQ != 0 {
            self.serve();
        }
        if value & ACK_READ != 0 {
            self.unread = false;
        }
        self.post();
    }

    /// An unsolicited message waits for the end of the conversation.
    fn post(&mut self) {
        if self.control_due && self.register & VFU == 0 && !self.unread {
            self.control_due = false;
            self.words[0] = CONTROL | if self.cts { CTS } else { 0 };
            self.register |= PFSTS;
        }
    }

    fn change(&mut self) {
        self.control_due = true;
        self.post();
    }

    fn serve(&mut self) {
        self.register |= PFACK;
        let request = self.words[0];
        if request & (ACK | NACK) != 0 {
            return;
        }
        let is_reset = request & 0xffff == 1;
        let done = if is_reset { self.serve_reset() } else { self.cts && self.serve_message(request) };
        let cts = if self.cts && !is_reset { CTS } else { 0 };
        self.words[0] = request & !CTS | cts | if done { ACK } else { NACK };
        self.register |= PFSTS;
        self.unread = true;
    }

    fn serve_reset(&mut self) -> bool {
        self.asked.push(GuestRequest::Reset);
        (self.code, self.cts) = (0, true);
        self.unicast.clear();
        let MacAddr([a, b, c, d, e, f]) = self.identity.mac.unwrap_or_default();
        self.words[1..4].copy_from_slice(&[
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, 0, 0]),
            0,
        ]);
        self.identity.mac.is_some()
    }

    /// Asks the physical function for something that it may refuse.
    fn ask(&mut self, request: GuestRequest) -> bool {
        self.asked.push(request);
        !self.refuses
    }

    /// True if the message is done.
    fn serve_message(&mut self, request: u32) -> bool {
        let (info, w) = (request >> 16 & 0xff, self.words);
        match request & 0xffff {
            0x02 => mac([w[1], w[2]]).is_unicast() && self.ask(GuestRequest::SetMac(mac([w[1], w[2]]))),
            0x03 => {
                let hashes = w[1..].iter().flat_map(|word| [word & 0xfff, word >> 16 & 0xfff]);
                let hashes = hashes.take(info as usize).map(|hash| u16::try_from(hash).expect("12 bits"));
                info <= 30 && self.ask(GuestRequest::SetMulticast(hashes.collect()))
            }
            0x04 => match u16::try_from(w[1]) {
                Ok(0) => true,
                Ok(vid) if vid < 4095 && info > 0 => self.ask(GuestRequest::AddVlan(vid)),
                Ok(vid) if vid < 4095 => self.ask(GuestRequest::RemoveVlan(vid)),
                _ => false,
            },
            0x05 => (68..=9728).contains(&w[1]) && self.ask(GuestRequest::SetMaxFrame(w[1])),
            0x06 => {
                let mut list = if info <= 1 { Vec::new() } else { self.unicast.clone() };
                let new = [w[1], w[2] & 0xffff];
                if info > 0 && !list.contains(&new) {
                    list.push(new);
                }
                let possible = list.len() <= 16 && (info == 0 || mac(new).is_unicast());
                let done =
                    possible && self.ask(GuestRequest::SetUnicast(list.iter().copied().map(mac).collect()));
                if done {
                    self.unicast = list;
                }
                done
            }
            0x08 => {
                let done = CODES.contains(&w[1]) && w[1] <= self.identity.newest_api.code();
                self.code = if done { w[1] } else { self.code };
                done
            }
            0x09 if self.code >= 2 => {
                self.words[1..5].copy_from_slice(&[2, 2, 0, 0]);
                true
            }
            0x0a if self.code >= 3 && !self.rss_registers => {
                // 128 entries of two bits, both queues in turn.
                self.words[1..9].fill(0x4444_4444);
                true
            }
            0x0b if self.code >= 3 && !self.rss_registers => {
                for (word, bytes) in self.words[1..11].iter_mut().zip(self.identity.rss_key.as_chunks().0) {
                    *word = u32::from_le_bytes(*bytes);
                }
                true
            }
            0x0c if self.code >= 3 => match reception(w[1]) {
                Some(asked) if asked < Reception::Promiscuous || self.code >= 4 => {
                    let done = self.ask(GuestRequest::SetReception(asked));
                    if done {
                        self.words[1] = asked.min(self.most) as u32;
                    }
                    done
                }
                _ => false,
            },
            0x10 => {
                self.words[1] = 1;
                true
            }
            0x11 if self.code >= 7 => {
                self.words[1..3].copy_from_slice(&[0x80, u32::from(self.link)]);
                true
            }
            0x12 if self.code >= 8 => {
                self.words[1] &= if self.identity.esx_framing { 2 } else { 0 };
                true
            }
            _ => false,
        }
    }
}

/// What a driver does between two messages.
fn driver(n: u8) -> Step {
    let message = |opcode, info, words| Step::Message { opcode, info, high: 0, words, lock: true };
    match n % 4 {
        0 => message(1, 0, [0; 3]),
        1 => message(8, 0, [CODES[usize::from(n / 4) % 7], 0, 0]),
        2 => message(6, n / 4, [u32::from(n) << 8 | 2, n.into(), 0]),
        _ => Step::Mailbox(u8::try_from(ACK_READ).expect("small")),
    }
}

fn take(vf: &mut Vf, model: &mut Model, step: Step) {
    match step {
        Step::Word(n, value) => {
            vf.write(VFMBMEM + 4 * u32::from(n % 16), value);
            model.words[usize::from(n % 16)] = value;
        }
        Step::Mailbox(value) => take(vf, model, Step::MailboxRaw(value.into())),
        Step::MailboxRaw(value) => {
            vf.write(VFMAILBOX, value);
            model.write(value);
        }
        Step::ReadMailbox => assert_eq!(vf.read(VFMAILBOX), model.read()),
        Step::ReadWord(n) => {
            assert_eq!(vf.read(VFMBMEM + 4 * u32::from(n % 16)), model.words[usize::from(n % 16)]);
        }
        Step::Message { opcode, info, high, words, lock } => {
            let first = u32::from(opcode % 0x14) | u32::from(info) << 16 | u32::from(high) << 24;
            if lock {
                take(vf, model, Step::MailboxRaw(VFU));
            }
            for (n, word) in (0..).zip([first, words[0], words[1], words[2]]) {
                take(vf, model, Step::Word(n, word));
            }
            take(vf, model, Step::MailboxRaw(REQ));
        }
        Step::Driver(n) => take(vf, model, driver(n)),
        Step::Link(up) => {
            vf.control.set_link(up, &mut vf.worker);
            if model.link != up && model.cts {
                model.link = up;
                model.change();
            }
            model.link = up;
        }
        Step::Mac(mac) => {
            model.identity.mac = mac.map(MacAddr);
            vf.control.set_mac(model.identity.mac, &mut vf.worker);
            if std::mem::take(&mut model.cts) {
                model.change();
            }
        }
        Step::Refuse(refuses) => (vf.worker.refuses, model.refuses) = (refuses, refuses),
        Step::Most(n) => {
            let most = reception(u32::from(n % 4)).expect("there are four");
            (vf.worker.most, model.most) = (most, most);
        }
        Step::Reset => {
            vf.write(VFCTRL, VFCTRL_RST);
            model.asked.push(GuestRequest::Reset);
            model.reset();
        }
        Step::Restart => {}
    }
}

fuzz_target!(|input: Input| {
    let newest = MailboxApi::ALL[usize::from(input.newest) % 7];
    let rss_key = std::array::from_fn(|n| n.to_le_bytes()[0]);
    let identity = Identity { newest_api: newest, esx_framing: input.esx_framing, rss_key, ..Vf::identity() };
    let profile = if input.rss_registers { Profile::X550 } else { Profile::I82599 };
    let mut vf = Vf::new(profile, identity);
    vf.config_write(4, &[6, 0]);
    let mut model = Model {
        identity: Identity { mac: Some(MAC), ..identity },
        rss_registers: input.rss_registers,
        words: [0; 16],
        register: RSTD,
        link: false,
        cts: false,
        unread: false,
        control_due: false,
        code: 0,
        unicast: Vec::new(),
        refuses: false,
        most: Reception::Promiscuous,
        asked: Vec::new(),
    };
    for step in input.steps.into_iter().take(200) {
        if let Step::Restart = step {
            // A restart re-attaches with the personality of an X550 VF.
            if input.rss_registers {
                vf = vf.restart(model.identity);
            }
        } else {
            take(&mut vf, &mut model, step);
        }
        for (n, word) in (0..).zip(model.words) {
            assert_eq!(vf.state.register(VFMBMEM + 4 * n), word, "word {n}");
        }
        assert_eq!(vf.state.register(VFMAILBOX), model.register);
        assert_eq!(std::mem::take(&mut vf.worker.requests), std::mem::take(&mut model.asked));
    }
});
