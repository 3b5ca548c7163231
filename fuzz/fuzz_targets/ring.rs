//! The shared words of a ring, before it is attached and while it is in use: nothing outside of the ring is touched.
#![no_main]

use hitgate_fuzz::Pages;
use hitgate_ring::{End, Layout, Policy, Reader, Region, Seq, Writer};
use libfuzzer_sys::fuzz_target;

/// Room for a frame, and few enough slots that positions wrap.
const SLOTS: u32 = 5;
const STRIDE: u32 = 64;

fuzz_target!(|bytes: &[u8]| {
    attach(bytes);
    for policy in [Policy::Credit, Policy::FreeRunning] {
        damage(bytes, policy);
    }
});

/// The bytes are the ring that somebody left, as long as they are.
fn attach(bytes: &[u8]) {
    let pages = Pages::of(bytes);
    // SAFETY: the pages outlive the ring, which is the only user of them.
    let region = || unsafe { Region::attach(pages.start(), pages.len()) };
    let Ok(found) = region() else { return };
    assert!(found.layout().bytes() <= pages.len());
    let _ = (
        found.owner(End::Writer),
        found.replace_owner(End::Reader, 0, 1),
    );
    let writer = region().ok().and_then(|ring| ring.into_writer().ok());
    let mut copies = vec![0; found.layout().copy_bytes()];
    let reader = region()
        .ok()
        .and_then(|ring| ring.into_reader_with(&mut copies).ok());
    use_both(writer, reader);
}

/// The bytes are put over a sound ring while both ends hold it.
fn damage(bytes: &[u8], policy: Policy) {
    let layout = Layout::new(SLOTS, STRIDE, SLOTS)
        .expect("a sound shape")
        .with_policy(policy);
    let mut copies = vec![0; layout.copy_bytes()];
    let pages = Pages::filled(layout.bytes(), 0);
    // SAFETY: as above.
    let region = unsafe { Region::create(pages.start(), pages.len(), &layout, 1) };
    let ends = region.and_then(|region| region.split_with(&mut copies));
    let (mut writer, reader) = ends.expect("a new ring");
    for _ in 0..3 {
        if let Ok(Some(slot)) = writer.reserve() {
            slot.commit();
        }
    }
    // No slot is borrowed now.
    pages.put(bytes);
    use_both(Some(writer), Some(reader));
}

/// Everything that the ends can do, several times round.
fn use_both(mut writer: Option<Writer<'_>>, mut reader: Option<Reader<'_>>) {
    let (mut lent, mut sum) = (Vec::new(), 0);
    for round in 0..3 {
        if let Some(writer) = &mut writer {
            // More than once around: a free-running ring is never full.
            for _ in 0..=writer.layout().slots() {
                let Ok(Some(mut slot)) = writer.reserve() else {
                    break;
                };
                if let Some(body) = slot.body() {
                    body.fill(1);
                }
                slot.write(0, &[2; 40]).expect("a slot has room");
                slot.commit();
            }
            writer.lose(u64::MAX);
            writer.heartbeat(1);
            let monitor = writer.monitor();
            let _ = (monitor.source(), monitor.consumer());
        }
        if let Some(reader) = &mut reader {
            if let Ok(mut batch) = reader.read(3) {
                for frame in batch.frames() {
                    // Every byte is read.
                    sum = frame.bytes().iter().fold(sum, |sum, byte| sum ^ byte);
                    let _ = frame.judged();
                }
                while let Some(slot) = batch.settle(&[3; 64]) {
                    lent.push(slot);
                }
            }
            if round > 0 {
                lent.pop();
                reader.reclaim();
            }
            reader.publish(&[u64::MAX; 24]);
            reader.heartbeat(1);
            let _ = (
                reader.finished(),
                reader.record(Seq::from_position(reader.taken())),
            );
            assert!(reader.lendable() <= reader.layout().lend_limit());
        }
    }
    std::hint::black_box(sum);
    drop(lent);
    reader.iter_mut().for_each(Reader::close);
    writer.iter_mut().for_each(Writer::close);
}
