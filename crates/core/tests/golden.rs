//! The model that is shipped gives the answers in its file on every level, from the map in it to the score.

use std::path::Path;

use hitgate_core::net::{Arena, Model, Plan};
use hitgate_kernels::Level;

#[test]
fn the_shipped_model_gives_its_golden_answers_on_every_level() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mobilenet-v1-025-224/model.hgm");
    let file = std::fs::read(&path).expect("the shipped model");
    let model = Model::parse(&file).expect("a sound file");
    let golden = model.golden();
    let mut levels = Vec::new();
    for level in Level::all_available() {
        let memory = Plan::memory(&model, level);
        let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
        let plan = Plan::new(&model, level, &mut packed).expect("the memory that was asked for");
        let logits = plan.infer(&mut Arena::new(&mut arena), golden.map);
        assert_eq!(logits, Ok(golden.logits), "{}", level.name());
        levels.push(level.name());
    }
    assert_eq!(model.score(golden.logits), golden.score);
    for name in hitgate_testkit::expected_levels() {
        assert!(
            levels.contains(&name.as_str()),
            "EXPECT_LEVELS names {name}, which did not run"
        );
    }
}
