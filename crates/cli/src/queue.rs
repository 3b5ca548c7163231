//! A queue between two threads that, when it is full, gives up what is worth least.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Select, Sender, TryRecvError, bounded};
use hitgate_core::link::Worth;

/// Items that the taking side may hold beside those that wait: the next of each worth.
pub const HELD: usize = Worth::ALL.len();

/// Items of one worth, with their places in the order that they came in.
type Line<T> = Receiver<(u64, T)>;

/// The giving side. It never waits.
pub struct Giver<T> {
    room: usize,
    senders: [Sender<(u64, T)>; HELD],
    /// This side too can take.
    lines: [Line<T>; HELD],
    place: u64,
    taker_gone: Arc<AtomicBool>,
}

/// The taking side: an iterator that waits, and ends once the giving side is gone and nothing is left.
pub struct Taker<T> {
    lines: [Line<T>; HELD],
    /// The next of each line.
    heads: [Option<(u64, T)>; HELD],
    gone: Arc<AtomicBool>,
}

/// Whether there is room.
#[derive(Debug, PartialEq, Eq)]
pub enum Room<T> {
    /// For one more.
    Free,
    /// In the place of this one, which was worth less and waits no more.
    InsteadOf(T),
    /// For none: nothing that waits is worth less, or nobody takes any more.
    None,
}

/// The two sides of a queue with this much room.
pub fn queue<T>(room: usize) -> (Giver<T>, Taker<T>) {
    let channels = Worth::ALL.map(|_| bounded(room.max(1)));
    let lines = || std::array::from_fn(|worth| channels[worth].1.clone());
    let gone = Arc::new(AtomicBool::new(false));
    let taker = Taker {
        lines: lines(),
        heads: std::array::from_fn(|_| None),
        gone: Arc::clone(&gone),
    };
    let giver = Giver {
        room,
        lines: lines(),
        senders: channels.map(|(sender, _)| sender),
        place: 0,
        taker_gone: gone,
    };
    (giver, taker)
}

impl<T> Giver<T> {
    /// Makes room for an item of this worth: where there is none, the oldest of those that are worth least goes, if
    /// they are worth less.
    pub fn room(&mut self, worth: Worth) -> Room<T> {
        if self.taker_gone.load(Ordering::Acquire) {
            drain(&self.lines);
            return Room::None;
        }
        if !self.is_full() {
            return Room::Free;
        }
        let mut cheaper = self.lines[..worth as usize].iter();
        match cheaper.find_map(|line| line.try_recv().ok()) {
            Some((_, shed)) => Room::InsteadOf(shed),
            // The other side may have taken one meanwhile.
            None if self.is_full() => Room::None,
            None => Room::Free,
        }
    }

    /// Gives an item that there is room for; it comes back where there is none.
    pub fn give(&mut self, item: T, worth: Worth) -> Result<(), T> {
        let place = self.place;
        self.place += 1;
        // A line has as much room as all together.
        let sent = self.senders[worth as usize].try_send((place, item));
        sent.map_err(|error| error.into_inner().1)
    }

    fn is_full(&self) -> bool {
        self.lines.iter().map(Receiver::len).sum::<usize>() >= self.room
    }
}

impl<T> Iterator for Taker<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            // What came before the youngest of the heads is there when its line is asked again.
            let left = self.fill() | self.fill();
            let oldest = self
                .heads
                .iter_mut()
                .filter(|head| head.is_some())
                .min_by_key(|head| head.as_ref().map(|(place, _)| *place));
            if let Some((_, item)) = oldest.and_then(Option::take) {
                return Some(item);
            }
            if !left {
                return None;
            }
            let mut any = Select::new();
            for line in &self.lines {
                any.recv(line);
            }
            any.ready();
        }
    }
}

impl<T> Taker<T> {
    /// Takes the next of each line; returns whether more can come.
    fn fill(&mut self) -> bool {
        let mut more = false;
        for (head, line) in self.heads.iter_mut().zip(&self.lines) {
            if head.is_none() {
                let next = line.try_recv();
                more |= !matches!(next, Err(TryRecvError::Disconnected));
                *head = next.ok();
            }
        }
        more
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
        drain(&self.lines);
    }
}

/// Lets go of what waits.
fn drain<T>(lines: &[Line<T>]) {
    for line in lines {
        line.try_iter().for_each(drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Worth::{Maybe, Most, Sample};

    /// Gives an item; returns the one that is not taken, or not any more.
    fn give<T>(giver: &mut Giver<T>, item: T, worth: Worth) -> Option<T> {
        let shed = match giver.room(worth) {
            Room::Free => None,
            Room::InsteadOf(shed) => Some(shed),
            Room::None => return Some(item),
        };
        assert!(giver.give(item, worth).is_ok());
        shed
    }

    #[test]
    fn samples_give_way_to_maybes_and_both_to_hits() {
        let (mut giver, taker) = queue(4);
        for (item, worth, gone) in [
            (1, Maybe, None),
            (2, Sample, None),
            (3, Most, None),
            (4, Sample, None),
            (5, Sample, Some(5)),
            (6, Maybe, Some(2)),
            (7, Most, Some(4)),
            (8, Maybe, Some(8)),
            (9, Most, Some(1)),
            (10, Most, Some(6)),
            (11, Most, Some(11)),
        ] {
            assert_eq!(give(&mut giver, item, worth), gone, "{item}");
        }
        drop(giver);
        assert_eq!(taker.collect::<Vec<_>>(), [3, 7, 9, 10]);
    }

    #[test]
    fn whatever_they_are_worth_they_come_in_order() {
        let (mut giver, taker) = queue(1000);
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| taker.collect::<Vec<_>>());
            for item in 0..1000 {
                let worth = Worth::ALL[item * item % 7 % 3];
                assert_eq!(give(&mut giver, item, worth), None);
                if item % 50 == 0 {
                    std::thread::yield_now();
                }
            }
            drop(giver);
            taking.join().unwrap()
        });
        assert_eq!(taken, (0..1000).collect::<Vec<_>>());
    }

    /// However fast they are taken, each is taken or told, once.
    #[test]
    fn nothing_is_lost_unsaid() {
        let (mut giver, taker) = queue(3);
        let (mut taken, mut told) = std::thread::scope(|scope| {
            let taking = scope.spawn(|| taker.collect::<Vec<_>>());
            let given =
                (0..20_000).filter_map(|item| give(&mut giver, item, Worth::ALL[item * 5 % 7 % 3]));
            let told: Vec<_> = given.collect();
            drop(giver);
            (taking.join().unwrap(), told)
        });
        assert!(taken.is_sorted() && !taken.is_empty());
        taken.append(&mut told);
        taken.sort_unstable();
        assert_eq!(taken, (0..20_000).collect::<Vec<_>>());
    }

    #[test]
    fn what_waits_goes_with_the_taker() {
        let (mut giver, taker) = queue(4);
        let item = Arc::new(());
        assert!(give(&mut giver, Arc::clone(&item), Most).is_none());
        drop(taker);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(give(&mut giver, Arc::clone(&item), Most).is_some());
    }
}
