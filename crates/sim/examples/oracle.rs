//! How well an ideal counter sorts frames, which knows every spot's place: `oracle SEED FRAMES`.

use hitgate_core::verdict::Class;
use hitgate_sim::{Mix, Simulator};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, frames] = arguments.as_slice() else {
        return Err("usage: oracle SEED FRAMES".into());
    };
    let simulator = Simulator::new(seed.parse()?, Mix::Natural);
    let sorted: Vec<_> = (0..frames.parse()?)
        .into_par_iter()
        .map(|index| simulator.oracle(index))
        .collect();
    println!("label      counted hit    maybe     miss");
    for truth in Class::ALL {
        let count = |class| {
            let both = |(t, c): &&(hitgate_sim::Truth, hitgate_sim::Truth)| {
                t.class == truth && c.class == class
            };
            sorted.iter().filter(both).count()
        };
        let [hit, maybe, miss] = Class::ALL.map(count);
        println!("  {:<8} {hit:>11} {maybe:>8} {miss:>8}", truth.name());
    }
    let right = sorted.iter().filter(|(t, c)| t.class == c.class).count();
    println!("three classes right {right}/{}", sorted.len());
    Ok(())
}
