//! The model: the one in the program, or a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use hitgate_core::net::{Arena, Model, Plan, format};
use hitgate_kernels::Level;

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

/// Refuses an ONNX network where a model file is wanted.
pub fn refuse_onnx(bytes: &[u8], path: &Path) -> Result<()> {
    let named = path
        .extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("onnx"));
    match named && !bytes.starts_with(&format::MAGIC) {
        true => bail!(
            "{} is an ONNX network by its name: `hitgate import` makes a model file (.hgm) of it, which every command takes; `hitgate eval --engine tract` and `hitgate bench --engine tract` run it as it is",
            path.display()
        ),
        false => Ok(()),
    }
}

/// Refuses a model file where an ONNX network is wanted. A file that is not there is for its reader to tell.
pub fn refuse_finished(path: &Path) -> Result<()> {
    let mut start = [0; format::MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    match read.is_ok() && start == format::MAGIC {
        true => bail!(
            "{} is a model file of hitgate, and no ONNX network: `hitgate inspect` shows it, and `--model` of screen, run and eval (without --engine tract) takes it",
            path.display()
        ),
        false => Ok(()),
    }
}

/// A checked view of a model's bytes.
pub fn parse<'m>(bytes: &'m [u8], path: Option<&Path>) -> Result<Model<'m>> {
    if let Some(path) = path {
        refuse_onnx(bytes, path)?;
    }
    Model::parse(bytes).with_context(|| format!("{} cannot be used", name(path)))
}

/// The same, of a model that is to run on `level`: it is refused where it does not give its golden
/// vector's answer there.
pub fn parse_for<'m>(bytes: &'m [u8], path: Option<&Path>, level: Level) -> Result<Model<'m>> {
    let model = parse(bytes, path)?;
    if !is_exact(&model, level)? {
        bail!(
            "{} cannot be used: on {} it does not give the answer of its own golden vector, so that the file or this CPU is not to be trusted; `hitgate inspect` with the file tries every level",
            name(path),
            level.name()
        );
    }
    Ok(model)
}

/// Whether the model gives its golden vector's answer on this level, to the bit.
pub fn is_exact(model: &Model<'_>, level: Level) -> Result<bool> {
    let memory = Plan::memory(model, level);
    let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
    let plan = Plan::new(model, level, &mut packed)?;
    let golden = model.golden();
    Ok(plan.infer(&mut Arena::new(&mut arena), golden.map)? == golden.logits)
}

fn name(path: Option<&Path>) -> String {
    path.map_or("the model built in".into(), |path| {
        path.display().to_string()
    })
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
