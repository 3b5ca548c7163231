//! The counting allocator counts.

use hitgate_testkit::alloc::{Counting, Counts, count, prove_installed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn it_is_installed_and_sees_each_kind_of_request() {
    prove_installed();
    let (boxes, counts) = count(|| [Box::new(1), Box::new(2)]);
    assert_eq!((counts.allocs, counts.frees), (2, 0));
    assert_eq!(count(|| drop(boxes)).1.frees, 2);
}

#[test]
fn work_without_requests_counts_nothing() {
    let mut sum = 0;
    let (_, counts) = count(|| (0..1000).for_each(|i| sum += i));
    assert_eq!((sum, counts), (499_500, Counts::default()));
}

#[test]
fn other_threads_do_not_count() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let busy = std::thread::spawn(move || {
        while wait.try_recv().is_err() {
            drop(std::hint::black_box(Box::new(1)));
        }
    });
    let (_, counts) = count(|| std::hint::black_box((0..100_000).sum::<u64>()));
    go.send(()).unwrap();
    busy.join().unwrap();
    assert_eq!(counts, Counts::default());
}
