//! A model file: what parses runs, and answers the same on the plainest level and on the fastest.
#![no_main]

use hitgate_core::net::{Arena, Model, Plan};
use hitgate_fuzz::sealed_model;
use hitgate_kernels::{Level, Scalar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    run(bytes);
    run(&sealed_model(bytes));
});

fn run(file: &[u8]) {
    let Ok(model) = Model::parse(file) else {
        return;
    };
    let map = model.golden().map;
    let [plain, fast] = [Level::Scalar(Scalar), Level::detect()].map(|level| {
        let needs = Plan::memory(&model, level);
        let (mut packed, mut arena) = (vec![0; needs.packed], vec![0; needs.arena]);
        let plan = Plan::new(&model, level, &mut packed).expect("as much memory as asked for");
        plan.infer(&mut Arena::new(&mut arena), map)
            .expect("a map of the model's size")
    });
    assert_eq!(plain, fast);
    model.score(fast);
}
