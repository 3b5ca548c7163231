//! UDP packets of an SLS detector → frames in a ring.
//!
//! The kernel copies each packet's pixels out of its own memory to their place in the slot. Which packet
//! comes next is only known once it is there, so the place is guessed: the next one that the frame
//! lacks. Where another comes instead, its pixels are moved; where it is of a frame that comes after the
//! open one, it is kept aside. Both are counted.

use crate::clock::MonotonicClock;
use crate::error::HostError;
use hitgate_adapters::sls::{
    Assembly, Counts, Finished, MASK_OFFSET, Module, PACKET_HEADER_LEN, PacketHeader, Sorted,
};
use hitgate_ring::{SLOT_BODY_OFFSET, Slot};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg, sockopt};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// What a lost packet's pixels are filled with: a slot still holds those of an earlier frame.
const LOST: u8 = 0xFF;
/// Packets of later frames that are kept aside until the open frame is finished without the rest.
const ASIDE: usize = 16;
/// The longest that one call takes, however packets trickle: the caller has to give signs of life.
const LONGEST_NS: u64 = 2_000_000_000;
/// Room in the kernel that is asked for, for packets that wait: 64 frames of a JUNGFRAU module.
const RECEIVE_BUFFER: usize = 128 << 20;

/// The socket that one module sends to.
#[derive(Debug)]
pub struct SlsReceiver {
    socket: UdpSocket,
    assembly: Assembly,
    aside: Vec<Aside>,
    /// Room for packets to be kept aside.
    spare: Vec<Box<[u8]>>,
    traffic: Traffic,
}

/// A packet that came before its frame was due.
#[derive(Debug)]
struct Aside {
    header: PacketHeader,
    pixels: Box<[u8]>,
}

/// What the guesses cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that came in another place than guessed, and were moved within their frame.
    pub moved: u64,
    /// Packets that were kept aside for a later frame.
    pub aside: u64,
}

/// What came by the socket.
enum Heard {
    /// A packet with this many bytes after its header; [`NO_LENGTH`] where it has no whole header, or
    /// is longer than any of the module's.
    Packet(usize),
    /// A signal.
    Interrupt,
    /// Nothing, for as long as we waited.
    Silence,
}

/// A length that no packet has.
const NO_LENGTH: usize = usize::MAX;

impl SlsReceiver {
    /// Listens at `address` for the packets of `module`. A frame is finished without its missing packets
    /// when nothing comes for `patience`, when 16 packets of later frames have come, or after two
    /// seconds.
    ///
    /// # Errors
    /// [`HostError::Socket`].
    pub fn bind(
        address: SocketAddr,
        module: Module,
        patience: Duration,
    ) -> Result<Self, HostError> {
        let failed = |action| {
            move |cause: io::Error| HostError::Socket {
                address,
                action,
                cause,
            }
        };
        let socket = UdpSocket::bind(address).map_err(failed("listen there"))?;
        // With the right to go beyond the system's limit, else as far as that.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER));
        (socket.set_read_timeout(Some(patience.max(Duration::from_millis(1)))))
            .map_err(failed("set how long to wait"))?;
        let bytes = module.detector.packet_bytes();
        Ok(SlsReceiver {
            socket,
            assembly: Assembly::new(module),
            aside: Vec::with_capacity(ASIDE),
            spare: (0..ASIDE).map(|_| vec![0; bytes].into()).collect(),
            traffic: Traffic::default(),
        })
    }

    /// Where it listens; the port is the system's choice where 0 was asked for.
    ///
    /// # Errors
    /// [`HostError::Socket`].
    pub fn address(&self) -> Result<SocketAddr, HostError> {
        let address = self.socket.local_addr();
        address.map_err(|cause| HostError::Socket {
            address: SocketAddr::from(([0; 4], 0)),
            action: "ask where it listens",
            cause,
        })
    }

    /// Bytes of packets that the kernel holds for us, its own overhead included.
    pub fn receive_buffer(&self) -> usize {
        sockopt::socket_recv_buffer_size(&self.socket).unwrap_or(0)
    }

    /// What became of the packets.
    pub const fn counts(&self) -> Counts {
        self.assembly.counts()
    }

    /// What the guesses cost.
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Receives the next frame into `slot`, whole or with what came of it, for the caller to commit;
    /// `None` where no frame began, so that the caller can see to other things. Returns how many frames
    /// before this one never came, by their numbers.
    ///
    /// # Errors
    /// [`HostError::Socket`]; [`HostError::SmallSlot`] where a frame does not fit the slot;
    /// [`HostError::FreeRunning`].
    pub fn receive(&mut self, slot: &mut Slot<'_, '_>) -> Result<Option<u64>, HostError> {
        let needed = self.assembly.module().slot_bytes();
        let stride = slot.stride();
        if stride < needed {
            return Err(HostError::SmallSlot { needed, stride });
        }
        let body = slot.body().ok_or(HostError::FreeRunning)?;
        self.take_aside(body);
        self.fill(body)?;
        let Some(frame) = self.assembly.finish(MonotonicClock.now_ns()) else {
            return Ok(None);
        };
        self.blank_lost(&frame, body);
        // Both lie within the stride, which was checked.
        let wrote = slot.write(MASK_OFFSET, frame.mask.bytes());
        let wrote = wrote.and_then(|()| slot.write(0, &frame.header.seal()));
        wrote.map_err(|_| HostError::SmallSlot { needed, stride })?;
        Ok(Some(frame.gap))
    }

    /// Begins the frame of which packets were kept aside, where there are any: the next by its number.
    fn take_aside(&mut self, body: &mut [u8]) {
        // Those of a frame that is finished meanwhile open none.
        while !self.assembly.is_open()
            && let Some(next) = self.next_aside()
        {
            let of_next = |packet: &mut Aside| packet.header.frame_number == next;
            for packet in self.aside.extract_if(.., of_next) {
                let sorted = self.assembly.sort(&packet.header, packet.pixels.len());
                if let Sorted::Here(number) = sorted {
                    place(self.assembly.module(), body, number).copy_from_slice(&packet.pixels);
                }
                self.spare.push(packet.pixels);
            }
        }
    }

    fn next_aside(&self) -> Option<u64> {
        let numbers = self.aside.iter().map(|packet| packet.header.frame_number);
        numbers.min_by_key(|number| self.assembly.ahead(*number))
    }

    /// Receives packets until the open frame is to be finished, or nobody sends one.
    fn fill(&mut self, body: &mut [u8]) -> Result<(), HostError> {
        let start = MonotonicClock.now_ns();
        while !self.assembly.is_complete() && self.aside.len() < ASIDE {
            let was_open = self.assembly.is_open();
            let guess = self.assembly.next();
            let mut header = [0; PACKET_HEADER_LEN];
            let pixels = place(self.assembly.module(), body, guess);
            let len = match self.hear(&mut header, pixels)? {
                Heard::Packet(len) => len,
                // Whoever waits for the signal sees to it once we are through.
                Heard::Interrupt if was_open => continue,
                Heard::Silence if !was_open => {
                    self.assembly.forget();
                    return Ok(());
                }
                Heard::Interrupt | Heard::Silence => return Ok(()),
            };
            let header = PacketHeader::from_bytes(&header);
            match self.assembly.sort(&header, len) {
                Sorted::Here(packet) if packet == guess => {}
                Sorted::Here(packet) => {
                    let module = self.assembly.module();
                    let from = module.place(guess) - SLOT_BODY_OFFSET;
                    let to = module.place(packet) - SLOT_BODY_OFFSET;
                    body.copy_within(from..from + len, to);
                    self.traffic.moved += 1;
                }
                Sorted::Early => {
                    // There is room: a frame is finished before it runs out.
                    let mut room = self.spare.pop().unwrap_or_else(|| vec![0; len].into());
                    room.copy_from_slice(place(self.assembly.module(), body, guess));
                    let pixels = room;
                    self.aside.push(Aside { header, pixels });
                    self.traffic.aside += 1;
                }
                Sorted::Discarded => {}
            }
            if MonotonicClock.now_ns().saturating_sub(start) > LONGEST_NS {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next packet: its header, and its pixels where they are expected.
    fn hear(&self, header: &mut [u8], pixels: &mut [u8]) -> Result<Heard, HostError> {
        let mut parts = [IoSliceMut::new(header), IoSliceMut::new(pixels)];
        let mut control = RecvAncillaryBuffer::default();
        match recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::empty()) {
            Ok(packet) if packet.flags.contains(ReturnFlags::TRUNC) => Ok(Heard::Packet(NO_LENGTH)),
            Ok(packet) => {
                let len = packet.bytes.checked_sub(PACKET_HEADER_LEN);
                Ok(Heard::Packet(len.unwrap_or(NO_LENGTH)))
            }
            Err(Errno::AGAIN) => Ok(Heard::Silence),
            Err(Errno::INTR) => Ok(Heard::Interrupt),
            Err(error) => Err(HostError::Socket {
                address: self.address()?,
                action: "receive",
                cause: error.into(),
            }),
        }
    }

    /// What an earlier frame left in the places of lost packets is no part of this one.
    fn blank_lost(&self, frame: &Finished, body: &mut [u8]) {
        let module = self.assembly.module();
        for packet in frame.mask.missing(module.detector.packets) {
            place(module, body, packet).fill(LOST);
        }
    }
}

/// The place of a packet's pixels in a slot's body.
fn place<'b>(module: &Module, body: &'b mut [u8], packet: u16) -> &'b mut [u8] {
    let start = module.place(packet) - SLOT_BODY_OFFSET;
    &mut body[start..start + module.detector.packet_bytes()]
}
