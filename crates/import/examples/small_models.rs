//! Model files of 16 x 16 cells and a few kilobytes, into a folder: where fuzzing begins.
//!
//!     cargo run --release -p hitgate-import --example small_models -- fuzz/corpus/model

use std::error::Error;
use std::path::Path;

use hitgate_core::net::{Range, Statistics};
use hitgate_core::prep::Reduce;
use hitgate_import::model::{ModelMeta, OperatingPoint};
use hitgate_import::{hgm, random};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder")?;
    let kinds = [
        ("sound.hgm", 2, Reduce::Peaks),
        ("mean.hgm", 1, Reduce::Mean),
    ];
    for (name, channels, reduce) in kinds {
        // Every layer has the fewest channels, 8.
        let mut network = random::network(0.01, 16, channels, 9);
        network.blocks.truncate(2);
        let file = hgm::write(&network, &meta(reduce), &random::map(16, channels, 1))?;
        std::fs::write(Path::new(&folder).join(name), file)?;
    }
    Ok(())
}

fn meta(reduce: Reduce) -> ModelMeta {
    let any = Range {
        low: 0.0,
        high: 127.0,
    };
    ModelMeta {
        d_water: 3.4,
        reduce,
        threshold: 1 << 15,
        operating_points: vec![OperatingPoint {
            name: "recall-0.95".into(),
            threshold: 30_000,
            recall_target: 0.95,
            hits_kept: (96, 100),
            recall_bound: 0.91,
            misses_dropped: (880, 1000),
        }],
        statistics: Statistics {
            valid: any,
            mean: any,
            zero: any,
        },
        seed: 1,
        onnx_sha256: [7; 32],
        text: "for fuzzing".into(),
    }
}
