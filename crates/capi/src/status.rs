//! What a call answers.

use core::ffi::CStr;

/// What a call answers. A number keeps its meaning for ever, and none is given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Done; only now the outputs are written.
    Ok = 0,
    /// A pointer is null.
    Null = 1,
    /// A pointer is not a multiple of what it points to.
    Misaligned = 2,
    /// `struct_size` is not the size of the struct in this version.
    StructSize = 3,
    /// A number is out of its range, or a length is longer than memory can be.
    Argument = 4,
    /// The memory is shorter than its `_memory` function says.
    Memory = 5,
    /// This is no handle of that kind: never initialised, moved or closed.
    Handle = 6,
    /// Another call is at work in this handle, or on this ring's counters: try again.
    Busy = 7,
    /// The bytes are no sound model file; `hitgate inspect FILE` says what is wrong.
    Model = 8,
    /// On this CPU the model does not give the answer of its own golden vector.
    Golden = 9,
    /// A module is impossible: its shape, pixel type, beam, mask or corrections.
    Module = 10,
    /// The mapping is no ring, or one of another version or shape.
    Ring = 11,
    /// The other side wrote control words that cannot be true: make the ring anew.
    RingDamaged = 12,
    /// The ring has no free slot.
    Full = 13,
    /// No frame is there.
    Empty = 14,
    /// No frame is there, and none will come: the writer closed the ring.
    End = 15,
    /// Another process has this end of the ring.
    InUse = 16,
    /// That slot is not out: it was never handed out, or came back before.
    NoSlot = 17,
    /// The frame does not fit its slot.
    TooLarge = 18,
    /// The library has a bug; keep the frame, and make the handle anew.
    Panic = 19,
    /// Too many hits may be lost, as far as is known: the path stays in shadow.
    NotArmed = 20,
    /// The ring is free-running: version 1 of the interface answered so. No call does any more.
    Policy = 21,
}

impl Status {
    /// Every status, by number.
    pub(crate) const ALL: [Status; 22] = [
        Status::Ok,
        Status::Null,
        Status::Misaligned,
        Status::StructSize,
        Status::Argument,
        Status::Memory,
        Status::Handle,
        Status::Busy,
        Status::Model,
        Status::Golden,
        Status::Module,
        Status::Ring,
        Status::RingDamaged,
        Status::Full,
        Status::Empty,
        Status::End,
        Status::InUse,
        Status::NoSlot,
        Status::TooLarge,
        Status::Panic,
        Status::NotArmed,
        Status::Policy,
    ];

    /// The status in words: what was wrong, and what to do.
    pub const fn text(self) -> &'static CStr {
        match self {
            Status::Ok => c"done",
            Status::Null => c"a pointer is null",
            Status::Misaligned => c"a pointer is not aligned for what it points to",
            Status::StructSize => {
                c"struct_size is not the size of the struct: set it with sizeof, and use header and library of one version"
            }
            Status::Argument => c"a number is out of its range",
            Status::Memory => c"the memory is too short: ask the _memory function",
            Status::Handle => c"not a handle of this kind: never initialised, moved, or closed",
            Status::Busy => c"another call is at work here: try again",
            Status::Model => {
                c"the bytes are no sound model file: `hitgate inspect FILE` says what is wrong"
            }
            Status::Golden => {
                c"the model does not give the answer of its golden vector: neither file nor CPU is to be trusted"
            }
            Status::Module => {
                c"a module is impossible: check shape, pixel type, beam, mask and corrections"
            }
            Status::Ring => {
                c"the mapping is no ring, or one of another version or shape: make it anew, or use one version on both sides"
            }
            Status::RingDamaged => {
                c"the ring's control words cannot be true: make the ring anew"
            }
            Status::Full => c"the ring has no free slot",
            Status::Empty => c"no frame is there",
            Status::End => c"no frame is there, and the writer has closed the ring",
            Status::InUse => c"another process has this end of the ring",
            Status::NoSlot => c"that slot is not out: never handed out, or back already",
            Status::TooLarge => c"the frame does not fit its slot: make the ring with larger slots",
            Status::Panic => c"bug in hitgate: keep the frame, make the handle anew, report it",
            Status::NotArmed => {
                c"too many hits may be lost, as far as is known: hitgate_path_interlock says what was seen"
            }
            Status::Policy => {
                c"the ring is free-running, which version 1 of this interface refused: use one version on both sides"
            }
        }
    }

    /// The text for a number, which may name no status.
    pub fn text_of(code: u32) -> &'static CStr {
        let known = Status::ALL
            .into_iter()
            .find(|status| *status as u32 == code);
        known.map_or(c"no status of this version", Status::text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_list_and_each_has_its_own_text() {
        for (number, status) in (0..).zip(Status::ALL) {
            assert_eq!(status as u32, number);
            let same = Status::ALL
                .into_iter()
                .filter(|s| s.text() == status.text());
            assert_eq!(same.count(), 1, "{status:?}");
        }
        assert_eq!(Status::text_of(22), Status::text_of(u32::MAX));
    }
}
