//! Maps of dropped frames on their way to their file: copied into buffers that were made before the first
//! frame, and left out where none is free.

use anyhow::Result;
use crossbeam::channel::{Receiver, Sender, bounded};
use hitgate_core::link::Record;
use hitgate_core::net::Input;
use hitgate_ring::RECORD_LEN;

use crate::buffers::{Memory, buffers};
use crate::maps_file::{self, MapsWriter};
use crate::traffic::Traffic;

/// Bytes of maps that may wait for the disk: some hundred maps.
const WAITING: usize = 64 << 20;

/// The judging side.
pub struct MapsOut {
    /// Buffers of one entry each that nobody uses.
    free: Receiver<Memory>,
    full: Sender<Memory>,
}

/// The writing side: where maps come from, where their buffers go back to, and the file.
pub struct MapsIn {
    full: Receiver<Memory>,
    free: Sender<Memory>,
    file: MapsWriter,
}

/// The two sides, for maps of this input, with all buffers free.
pub fn maps_out(input: &Input, file: MapsWriter) -> (MapsOut, MapsIn) {
    let len = maps_file::entry_bytes(input);
    let count = (WAITING / len).max(1);
    let (free_in, free) = buffers(count, len);
    let (full, full_out) = bounded(count);
    let maps = MapsOut { free, full };
    let maps_in = MapsIn {
        full: full_out,
        free: free_in,
        file,
    };
    (maps, maps_in)
}

impl MapsOut {
    /// Copies a map, if there is room; returns whether it did.
    pub fn send(&self, record: &Record, map: &[u8]) -> bool {
        let Ok(mut entry) = self.free.try_recv() else {
            return false;
        };
        let (head, body) = entry.split_at_mut(RECORD_LEN);
        head.copy_from_slice(&record.to_bytes());
        body.copy_from_slice(map);
        self.full.try_send(entry).is_ok()
    }
}

impl MapsIn {
    /// Writes until the judging side is gone.
    ///
    /// # Errors
    /// Where the file could not be written. It ends with a whole map; those that came after are counted as left out.
    pub fn write(mut self, traffic: &Traffic) -> Result<()> {
        let mut written = self.file.begin();
        for entry in &self.full {
            if written.is_ok() {
                written = self.file.write(&entry);
            }
            match &written {
                Ok(()) => traffic.maps.add(1),
                Err(_) => traffic.maps_lost.add(1),
            }
            // There is room: as many as there are buffers.
            let _ = self.free.try_send(entry);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::prep::Reduce;
    use std::fs::File;

    const INPUT: Input = Input {
        size: 2048,
        channels: 4,
        reduce: Reduce::Peaks,
        d_water: 3.4,
    };

    #[test]
    fn maps_that_find_no_room_are_left_out_and_the_others_are_written_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dropped.maps");
        let file = MapsWriter::new(path.clone(), File::create(&path).unwrap(), &INPUT);
        // Nothing is written until `write`: this is a disk that stands still.
        let (maps, maps_in) = maps_out(&INPUT, file);
        let room = WAITING / maps_file::entry_bytes(&INPUT);
        for i in 0..room + 2 {
            let sent = maps.send(&Record::default(), &vec![i as u8; INPUT.bytes()]);
            assert_eq!(sent, i < room, "told, and nobody waited");
        }
        drop(maps);
        let traffic = Traffic::default();
        maps_in.write(&traffic).unwrap();
        assert_eq!(traffic.maps.get(), room as u64);
        let entry = maps_file::entry_bytes(&INPUT) + 4;
        let bytes = std::fs::read(&path).unwrap();
        for (i, entry) in bytes[64..].chunks(entry).enumerate() {
            assert_eq!(entry[RECORD_LEN], i as u8);
        }
        assert_eq!(bytes.len(), 64 + room * entry);
    }

    #[test]
    fn a_disk_that_takes_no_maps_is_told_and_keeps_nobody() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (maps, maps_in) = maps_out(&INPUT, MapsWriter::new("the file".into(), full, &INPUT));
        let traffic = Traffic::default();
        let (error, sent) = std::thread::scope(|scope| {
            let writing = scope.spawn(|| maps_in.write(&traffic));
            let map = vec![0; INPUT.bytes()];
            let sent = (0..100).filter(|_| maps.send(&Record::default(), &map));
            let sent = sent.count() as u64;
            drop(maps);
            (writing.join().unwrap().unwrap_err(), sent)
        });
        assert_eq!((traffic.maps.get(), traffic.maps_lost.get()), (0, sent));
        let said = format!("{error:#}");
        assert!(
            said.contains("maps of dropped frames to the file"),
            "{said}"
        );
    }
}
