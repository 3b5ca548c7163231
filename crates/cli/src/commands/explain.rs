//! `hitgate explain`: what the network looks at.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::net::{Arena, Plan};
use hitgate_core::verdict::Score;
use hitgate_kernels::Level;
use serde_json::{Value, json};

use crate::cam::ActivationMap;
use crate::canvas::{Canvas, LETTER};
use crate::complaints::Complaints;
use crate::map::FrameMap;
use crate::open::{DescribeArgs, Pictures};
use crate::{model, report};

/// Picture what the network looks at in a frame: class activation maps
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate explain run_00001.cbf.gz -o why.png
  hitgate explain run.h5 --index 7 -o why.png --logits

The picture has the prepared map on the left and, over it on the right, what each place says: red
for keeping the frame, blue for a miss. A JSON line says the window in pixels, the probabilities and
the scale of the colours; with --logits also what each cell of the network's last map adds to each
logit (natural logarithms: cells and bias, summed, are the logits up to the pool's rounding).")]
pub struct ExplainArgs {
    /// A file of frames, or kept slots; FILE:DATASET names a dataset in an HDF5 file
    file: PathBuf,
    /// The frame in the file, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: usize,
    /// Where to write the picture (PNG)
    #[arg(short, long, value_name = "PNG")]
    output: PathBuf,
    /// Add the cells of the activation maps as numbers
    #[arg(long)]
    logits: bool,
    /// Model file (.hgm); the one built in if left out
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    describe: DescribeArgs,
}

/// Runs the command.
pub fn run(args: &ExplainArgs) -> Result<()> {
    let kind = args.output.extension();
    if kind.is_none_or(|kind| !kind.eq_ignore_ascii_case("png")) {
        let path = args.output.display();
        bail!("{path}: a picture is written as PNG: name it so");
    }
    let bytes = model::bytes(args.model.as_deref())?;
    let level = Level::detect();
    let model = model::parse_for(&bytes, args.model.as_deref(), level)?;
    let mut pictures = Pictures::open(&args.file, &args.describe)?;
    Complaints::default().doubt(&pictures);
    let map = FrameMap::of_pictures(&mut pictures, args.index, model::input(&model), None)?;
    let memory = Plan::memory(&model, level);
    let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
    let plan = Plan::new(&model, level, &mut packed)?;
    let mut arena = Arena::new(&mut arena);
    let score = model.score(plan.infer(&mut arena, &map.levels)?);
    let activation = ActivationMap::of(&model, &plan, &mut arena, &map.levels)?;
    let evidence = activation.evidence();
    let strongest = evidence.iter().fold(0.0, |most: f64, e| most.max(e.abs()));
    if strongest == 0.0 {
        bail!("no cell of the network's last map says anything: there is nothing to picture");
    }
    picture(&map, &activation, &evidence, strongest, score).write(&args.output)?;
    let mut line = json!({
        "file": args.file.display().to_string(),
        "index": args.index,
        "window": {
            "left": map.window.left,
            "top": map.window.top,
            "block": map.window.block,
            "cells": map.window.input,
        },
        "p_hit": report::probability(score.hit),
        "p_maybe": report::probability(score.maybe),
        "p_miss": report::probability(score.miss),
        "class": score.class().name(),
        "picture": args.output.display().to_string(),
        "full_colour": strongest,
    });
    if args.logits {
        line["activation"] = numbers(&activation, &evidence);
    }
    say!("{line}");
    Ok(())
}

/// Rows of cells for each class, and for the two that keep against the one that drops.
fn numbers(activation: &ActivationMap, evidence: &[f64]) -> Value {
    let rows = |cells: Vec<f64>| -> Vec<Vec<f64>> {
        let rows = cells.chunks_exact(activation.side);
        rows.map(<[f64]>::to_vec).collect()
    };
    let of = |class: usize| rows(activation.cells.iter().map(|cell| cell[class]).collect());
    json!({
        "unit": "natural logarithm",
        "cells": activation.side,
        "hit": of(0),
        "maybe": of(1),
        "miss": of(2),
        "keep_against_miss": rows(evidence.to_vec()),
        "bias": activation.bias,
        "logits": activation.logits,
    })
}

/// The least side of each half of the picture, in pixels.
const SIDE: usize = 448;
const GAP: usize = 10;
const FOR: [f64; 3] = [235.0, 50.0, 30.0];
const AGAINST: [f64; 3] = [40.0, 90.0, 240.0];
/// How much of a pixel the strongest cell colours.
const COVER: f64 = 0.6;

/// The map, and the map under its heat.
fn picture(
    map: &FrameMap,
    activation: &ActivationMap,
    evidence: &[f64],
    strongest: f64,
    score: Score,
) -> Canvas {
    let factor = SIDE.div_ceil(map.side());
    let side = factor * map.side();
    let grey = map.grey();
    let level = |x: usize, y: usize| grey[y / factor * map.side() + x / factor];
    let mut canvas = Canvas::new(3 * GAP + 2 * side, 2 * GAP + side + 2 * LETTER[1]);
    canvas.square([GAP, GAP], side, |x, y| [level(x, y); 3]);
    let right = 2 * GAP + side;
    canvas.square([right, GAP], side, |x, y| {
        let at = |pixel: usize| (pixel as f64 + 0.5) / side as f64 * activation.side as f64 - 0.5;
        let heat = between(evidence, activation.side, at(x), at(y)) / strongest;
        let colour = if heat > 0.0 { FOR } else { AGAINST };
        let cover = COVER * heat.abs();
        let grey = f64::from(level(x, y));
        colour.map(|part| (cover * part + (1.0 - cover) * grey) as u8)
    });
    let p = report::probability;
    let words = [
        format!(
            "P(hit) {:.4}  P(maybe) {:.4}  P(miss) {:.4}",
            p(score.hit),
            p(score.maybe),
            p(score.miss)
        ),
        format!("red: for keeping, blue: for a miss; full colour {strongest:.2} of the log-odds"),
    ];
    for (left, words) in [GAP, right].into_iter().zip(&words) {
        canvas.text([left, side + GAP + LETTER[1]], words);
    }
    canvas
}

/// The value at `(x, y)` between the centres of cells, in straight lines; beyond the outermost
/// centres theirs.
fn between(cells: &[f64], side: usize, x: f64, y: f64) -> f64 {
    let split = |at: f64| {
        let at = at.clamp(0.0, (side - 1) as f64);
        let first = at as usize;
        (first, (first + 1).min(side - 1), at - first as f64)
    };
    let ((x0, x1, u), (y0, y1, v)) = (split(x), split(y));
    let row = |y: usize| (1.0 - u) * cells[y * side + x0] + u * cells[y * side + x1];
    (1.0 - v) * row(y0) + v * row(y1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_runs_straight_between_the_centres_of_cells() {
        let cells = [0.0, 4.0, 8.0, 12.0];
        assert_eq!(between(&cells, 2, 0.0, 0.0), 0.0);
        assert_eq!(between(&cells, 2, 0.5, 0.0), 2.0);
        assert_eq!(between(&cells, 2, 0.5, 0.5), 6.0);
        assert_eq!(between(&cells, 2, 9.0, -3.0), 4.0);
        assert_eq!(between(&[7.0], 1, 0.3, 0.9), 7.0);
    }
}
