//! A map of activations → three integer logits.
//!
//! [`Model`] is a checked view of a model file's bytes; [`Plan`] is its weights packed for one CPU
//! level, in the caller's memory; [`Arena`] is the caller's memory for one inference at a time:
//!
//! ```
//! use hitgate_core::net::{Arena, FormatError, Model, Plan};
//! use hitgate_core::verdict::Score;
//! use hitgate_kernels::Level;
//!
//! fn score(file: &[u8], map: &[u8]) -> Result<Score, Box<dyn std::error::Error>> {
//!     let model = Model::parse(file)?;
//!     let memory = Plan::memory(&model, Level::detect());
//!     let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
//!     let plan = Plan::new(&model, Level::detect(), &mut packed)?;
//!     let logits = plan.infer(&mut Arena::new(&mut arena), map)?;
//!     Ok(model.score(logits))
//! }
//! assert_eq!(Model::parse(b"GIF89a").err(), Some(FormatError::NotAModel));
//! # assert!(score(b"", b"").is_err());
//! ```

mod alike;
mod arena;
pub mod format;
mod model;
mod plan;
mod statistics;

pub use arena::Arena;
pub use format::{FormatError, Layer, Problem, Section};
pub use model::{Block, Convolution, Golden, Head, Input, Model, OperatingPoint, Provenance};
pub use plan::{InferError, Memory, Plan, PlanError};
pub use statistics::{Range, Statistics};
