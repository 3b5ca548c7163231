//! A page of the frames that the network is most wrong about.

use std::path::Path;

use anyhow::Result;
use hitgate_sim::Scratch;
use rayon::prelude::*;

use super::EvalArgs;
use super::frames::{Frame, Origin, simulator};
use crate::canvas::{Canvas, LETTER};
use crate::labelled::Labelled;
use crate::map::{FrameMap, grey};
use crate::module::Input;
use crate::reading::Reading;

/// Tiles a row.
const COLUMNS: usize = 4;
/// A map is magnified until its side has so many pixels.
const TILE: usize = 224;
/// Pixels between tiles.
const GAP: usize = 10;
/// Lines of words under a map.
const LINES: usize = 3;
/// Pixels about a counted spot.
const RADIUS: f64 = 5.0;
const RED: [u8; 3] = [230, 40, 40];

/// Writes the `each` hits and maybes of the lowest probability to be kept, and the `each` misses of the
/// highest: the map of each, with a circle about each counted spot of a simulated one.
pub fn write(
    path: &Path,
    frames: &[Frame],
    each: usize,
    input: Input,
    maps: Option<&Labelled>,
    reading: &Reading<'_>,
    args: &EvalArgs,
) -> Result<()> {
    let sections = [
        (
            "hits and maybes with the lowest P(hit) + P(maybe)",
            ranked(frames, true, each),
        ),
        (
            "misses with the highest P(hit) + P(maybe)",
            ranked(frames, false, each),
        ),
    ];
    let cells = input.size as usize;
    let factor = TILE.div_ceil(cells);
    let side = factor * cells;
    let row = side + LINES * LETTER[1] + GAP;
    let heading = 2 * LETTER[1];
    let rows = |frames: &[&Frame]| frames.len().div_ceil(COLUMNS);
    let height: usize = sections
        .iter()
        .map(|(_, frames)| heading + rows(frames) * row)
        .sum();
    let mut page = Canvas::new(GAP + COLUMNS * (side + GAP), GAP + height);
    let mut top = GAP;
    for (words, frames) in &sections {
        page.text([GAP, top], words);
        top += heading;
        let tiles: Vec<Tile> = frames
            .par_iter()
            .map(|frame| Tile::of(frame, input, maps, reading, args))
            .collect();
        for (i, tile) in tiles.iter().enumerate() {
            let left = GAP + i % COLUMNS * (side + GAP);
            tile.draw(&mut page, [left, top + i / COLUMNS * row], factor, cells);
        }
        top += rows(frames) * row;
    }
    page.write(path)
}

/// The worst of the frames that are wanted, or of those that are not; the worst first.
fn ranked(frames: &[Frame], wanted: bool, count: usize) -> Vec<&Frame> {
    let mut of_kind: Vec<&Frame> = frames
        .iter()
        .filter(|frame| frame.scored.wanted() == wanted)
        .collect();
    of_kind.sort_by(|a, b| a.scored.keep().total_cmp(&b.scored.keep()));
    if !wanted {
        of_kind.reverse();
    }
    of_kind.truncate(count);
    of_kind
}

/// A frame as it is shown.
struct Tile {
    /// Of each cell of its map. `None` where the frame cannot be prepared; the words say why.
    grey: Option<Vec<u8>>,
    /// Counted spots, in cells.
    spots: Vec<[f64; 2]>,
    words: [String; LINES],
}

impl Tile {
    fn of(
        frame: &Frame,
        input: Input,
        maps: Option<&Labelled>,
        reading: &Reading<'_>,
        args: &EvalArgs,
    ) -> Tile {
        let (grey, spots, counted) = match &frame.origin {
            Origin::Simulated(index) => {
                let channels = input.reduce.channels();
                let mut map = vec![0; (input.size as usize).pow(2) * channels as usize];
                let mut scratch = Scratch::default();
                let simulator = simulator(args);
                let made = simulator.map(*index, input.size, input.reduce, &mut map, &mut scratch);
                let counted = format!(" of {} spots", made.truth.spots);
                (Ok(grey(&map, channels)), made.spots, counted)
            }
            Origin::Prepared(index) => {
                let map = maps.map_or(&[][..], |maps| maps.levels(*index));
                let grey = grey(map, input.reduce.channels());
                (Ok(grey), Vec::new(), String::new())
            }
            Origin::File { path, index, .. } => {
                let map = reading.open(path).and_then(|mut pictures| {
                    FrameMap::of_pictures(&mut pictures, *index, input, reading.raw.as_ref())
                });
                (map.map(|map| map.grey()), Vec::new(), String::new())
            }
        };
        let set = match &grey {
            Ok(_) => frame.set.clone(),
            Err(error) => format!("{error:#}"),
        };
        let [hit, maybe, _] = frame.scored.p;
        Tile {
            words: [
                frame.origin.name(),
                format!("{}{counted}, {set}", frame.scored.truth),
                format!("P(hit) {hit:.3}  P(maybe) {maybe:.3}"),
            ],
            grey: grey.ok(),
            spots,
        }
    }

    /// Draws it from `[left, top]` on, a cell as `factor` pixels each way.
    fn draw(&self, page: &mut Canvas, [left, top]: [usize; 2], factor: usize, input: usize) {
        let side = factor * input;
        page.square([left, top], side, |x, y| {
            let grey = self.grey.as_ref();
            let level = grey.map_or(128, |grey| grey[y / factor * input + x / factor]);
            [level; 3]
        });
        for spot in &self.spots {
            let [x, y] = spot.map(|at| at * factor as f64);
            page.circle([left as f64 + x, top as f64 + y], RADIUS, RED);
        }
        let letters = side / LETTER[0];
        for (i, words) in self.words.iter().enumerate() {
            page.text([left, top + side + 2 + i * LETTER[1]], &fit(words, letters));
        }
    }
}

/// The line, or its end where it is too long: names differ at their ends.
fn fit(line: &str, letters: usize) -> String {
    let count = line.chars().count();
    match count > letters {
        true => line.chars().skip(count - letters).collect(),
        false => line.to_string(),
    }
}
