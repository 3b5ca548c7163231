//! The model: the one in the program, or a file.

use std::path::Path;

use anyhow::{Context, Result};
use hitgate_core::net::Model;

use crate::module::Input;

/// The model that is built in.
pub static EMBEDDED: &[u8] = include_bytes!("../../../models/mobilenet-v1-025-224/model.hgm");

/// The bytes of the model at `path`, or of the one that is built in.
pub fn bytes(path: Option<&Path>) -> Result<Vec<u8>> {
    match path {
        None => Ok(EMBEDDED.to_vec()),
        Some(path) => std::fs::read(path).with_context(|| {
            format!(
                "cannot read the model {} (leave out --model to use the one built in)",
                path.display()
            )
        }),
    }
}

/// A checked view of a model's bytes.
pub fn parse<'m>(bytes: &'m [u8], path: Option<&Path>) -> Result<Model<'m>> {
    let name = path.map_or("the model built in".into(), |path| {
        path.display().to_string()
    });
    Model::parse(bytes).with_context(|| format!("{name} cannot be used"))
}

/// What the model asks of the preparation.
pub fn input(model: &Model<'_>) -> Input {
    let input = model.input();
    Input {
        size: input.size,
        d_water: f64::from(input.d_water),
        reduce: input.reduce,
    }
}
