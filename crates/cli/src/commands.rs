//! One file a verb.

pub mod audit;
pub mod bench;
pub mod dataset;
pub mod demo;
pub mod eval;
pub mod explain;
pub mod feed;
pub mod import;
pub mod inspect;
pub mod rejudge;
pub mod run;
pub mod screen;
pub mod simulate;
pub mod spots;
