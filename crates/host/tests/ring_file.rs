//! Rings in files: what the two sides and a careless user may meet.

use hitgate_host::{Creation, HostError, Ring};
use hitgate_ring::{AttachError, End, Layout, Policy, RECORD_LEN};
use std::cell::UnsafeCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

fn layout() -> Layout {
    Layout::new(4, 64, 8).unwrap()
}

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring");
    Place { _dir: dir, path }
}

fn create(place: &Place, creation: Creation) -> Result<Ring, HostError> {
    Ring::create(&place.path, &layout(), 42, creation)
}

#[test]
fn a_frame_passes_between_two_mappings_of_a_file() {
    let place = place();
    let made = create(&place, Creation::Exclusive).unwrap();
    let opened = Ring::open(&place.path).unwrap();
    assert_eq!((opened.layout(), opened.session()), (&layout(), 42));
    let mut writer = made.writer().unwrap();
    let mut reader = opened.reader().unwrap();
    let mut slot = writer.reserve().unwrap().unwrap();
    slot.body().unwrap().fill(9);
    slot.commit();
    let mut batch = reader.read(4).unwrap();
    assert_eq!(batch.front().unwrap().bytes()[16..], [9; 48]);
    let lent = batch.settle(&[1; RECORD_LEN]).unwrap();
    drop(batch);
    std::thread::scope(|scope| {
        scope.spawn(move || assert_eq!(lent.bytes()[16], 9));
    });
    assert_eq!(reader.lent(), 0);
    assert!(
        opened
            .monitor()
            .unwrap()
            .record(hitgate_ring::Seq::FIRST)
            .is_some()
    );
}

#[test]
fn frames_are_read_from_the_memory_that_a_device_is_told_of() {
    for policy in [Policy::Credit, Policy::FreeRunning] {
        let layout = layout().with_policy(policy);
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let mut writer = ring.writer().unwrap();
        let mut reader = ring.reader().unwrap();
        writer.reserve().unwrap().unwrap().commit();
        let batch = reader.read(1).unwrap();
        let frame = batch.front().unwrap().bytes().as_ptr_range();
        let holds = |memory: &[UnsafeCell<u8>]| {
            let all = memory.as_ptr_range();
            all.start.cast() <= frame.start && frame.end <= all.end.cast()
        };
        assert_eq!(ring.memory().filter(|memory| holds(memory)).count(), 1);
        let bytes: usize = ring.memory().map(<[_]>::len).sum();
        assert_eq!(bytes, layout.bytes() + layout.copy_bytes());
    }
}

#[test]
fn a_draft_that_a_killed_process_left_goes_with_the_next_ring() {
    let place = place();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let beside = |name: String| place.path.with_file_name(name);
    let left = beside(format!("ring.{dead}.part"));
    // Another ring's, a living process's, and no draft at all.
    let others = [
        beside(format!("other.{dead}.part")),
        beside("ring.1.part".into()),
        beside("ring.old.part".into()),
    ];
    for file in others.iter().chain([&left]) {
        fs::write(file, b"draft").unwrap();
    }
    create(&place, Creation::Exclusive).unwrap();
    assert!(!left.exists());
    for file in &others {
        assert!(file.exists(), "{}", file.display());
    }
}

#[test]
fn all_of_the_file_is_there_and_nothing_else_is_left() {
    let place = place();
    let ring = create(&place, Creation::Exclusive).unwrap();
    assert_eq!(
        fs::metadata(&place.path).unwrap().len(),
        layout().bytes() as u64
    );
    assert_eq!(
        fs::read_dir(place.path.parent().unwrap()).unwrap().count(),
        1
    );
    drop(ring);
}

#[test]
fn an_end_is_given_once() {
    let place = place();
    let ring = create(&place, Creation::Exclusive).unwrap();
    let other = Ring::open(&place.path).unwrap();
    let _writer = ring.writer().unwrap();
    for second in [ring.writer().err(), other.writer().err()] {
        let pid = std::process::id();
        assert!(
            matches!(second, Some(HostError::InUse { end: End::Writer, pid: p, .. }) if p == pid)
        );
    }
    assert_eq!(ring.owner(End::Writer).unwrap(), Some(std::process::id()));
    assert_eq!(ring.owner(End::Reader).unwrap(), None);
    assert!(
        other.writer().is_err(),
        "slots may be lent until the mapping goes"
    );
    drop(ring);
    assert_eq!(other.owner(End::Writer).unwrap(), None);
    assert!(other.writer().is_ok());
}

#[test]
fn an_end_that_could_not_be_made_can_be_had_later() {
    /// Where the position up to which slots came back lies.
    const HEAD: u64 = 384;
    let place = place();
    let ring = create(&place, Creation::Exclusive).unwrap();
    let file = fs::File::options().write(true).open(&place.path).unwrap();
    file.write_all_at(&[7], HEAD).unwrap();
    for _ in 0..2 {
        let error = ring.reader().err().unwrap();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert_eq!(ring.owner(End::Reader).unwrap(), None);
    }
    file.write_all_at(&[0], HEAD).unwrap();
    assert!(Ring::open(&place.path).unwrap().reader().is_ok());
    assert!(ring.reader().is_ok());
}

#[test]
fn a_reopened_ring_goes_on_where_it_was() {
    let first = Ring::anonymous(&layout(), 5).unwrap();
    let again = first.reopen().unwrap();
    {
        let mut writer = first.writer().unwrap();
        writer.reserve().unwrap().unwrap().commit();
    }
    drop(first);
    assert_eq!(again.session(), 5);
    assert_eq!(again.writer().unwrap().produced(), 1);
    assert_eq!(again.reader().unwrap().read(2).unwrap().len(), 1);
}

#[test]
fn an_existing_ring_is_replaced_only_on_demand_and_only_when_idle() {
    let place = place();
    let ring = create(&place, Creation::Exclusive).unwrap();
    assert!(matches!(
        create(&place, Creation::Exclusive),
        Err(HostError::Exists { .. })
    ));
    let _writer = ring.writer().unwrap();
    let refused = create(&place, Creation::Replace);
    assert!(matches!(
        refused,
        Err(HostError::InUse {
            end: End::Writer,
            ..
        })
    ));
    drop(ring);
    let other = Layout::new(8, 128, 8).unwrap();
    Ring::create(&place.path, &other, 43, Creation::Replace).unwrap();
    assert_eq!(Ring::open(&place.path).unwrap().layout(), &other);
}

#[test]
fn a_file_that_is_no_ring_is_neither_opened_nor_replaced() {
    for content in [vec![], vec![1; 100], vec![0; 4096], vec![7; 100_000]] {
        let place = place();
        fs::write(&place.path, &content).unwrap();
        let opened = Ring::open(&place.path);
        let expected = AttachError::NotARing;
        assert!(matches!(opened, Err(HostError::Attach { cause, .. }) if cause == expected));
        let replaced = create(&place, Creation::Replace);
        assert!(matches!(replaced, Err(HostError::Foreign { .. })));
        assert_eq!(fs::read(&place.path).unwrap(), content);
    }
}

#[test]
fn a_ring_that_was_cut_short_is_refused() {
    let place = place();
    drop(create(&place, Creation::Exclusive).unwrap());
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&place.path)
        .unwrap();
    file.set_len(8192).unwrap();
    let error = Ring::open(&place.path).unwrap_err();
    let needed = layout().bytes() as u64;
    let expected = AttachError::TooShort { len: 8192, needed };
    assert!(matches!(error, HostError::Attach { cause, .. } if cause == expected));
    create(&place, Creation::Replace).unwrap();
}

#[test]
fn a_path_that_leads_nowhere_is_missing() {
    let place = place();
    assert!(matches!(
        Ring::open(&place.path),
        Err(HostError::Missing { .. })
    ));
    let nowhere = place.path.join("deeper/ring");
    let made = Ring::create(&nowhere, &layout(), 0, Creation::Exclusive);
    assert!(matches!(made, Err(HostError::NoFolder { .. })));
}

#[test]
fn a_ring_larger_than_the_file_system_is_an_error_and_leaves_nothing() {
    let place = place();
    let huge = Layout::new(1 << 20, 1 << 31, 1 << 20).unwrap();
    let made = Ring::create(&place.path, &huge, 0, Creation::Exclusive);
    let bytes = huge.bytes() as u64;
    assert!(matches!(made, Err(HostError::NoSpace { bytes: b, .. }) if b == bytes));
    assert_eq!(
        fs::read_dir(place.path.parent().unwrap()).unwrap().count(),
        0
    );
}

#[test]
fn errors_say_what_to_do() {
    let place = place();
    let text = Ring::open(&place.path).unwrap_err().to_string();
    assert!(
        text.contains("no such ring; start the side that makes it first"),
        "{text}"
    );
    fs::write(&place.path, "not a ring").unwrap();
    let text = Ring::open(&place.path).unwrap_err().to_string();
    assert!(text.contains("not a hitgate ring"), "{text}");
}
