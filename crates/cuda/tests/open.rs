//! What is said where there is no GPU; where there is one, it proves itself.

use std::sync::Arc;

use hitgate_core::frame::PixelType;
use hitgate_core::net::Model;
use hitgate_core::prep::{Preparation, Window};
use hitgate_cuda::cuda::{Cuda, CudaError, Options};
use hitgate_cuda::driver::{Context, OpenError};

const FILE: &[u8] = include_bytes!("../../../models/mobilenet-v1-025-224/model.hgm");

/// The built-in model proves itself on the GPU.
fn prove(context: &Arc<Context>) -> Result<(), CudaError> {
    let model = Model::parse(FILE).unwrap();
    let input = model.input();
    let preparations = [Preparation::plain(
        64,
        48,
        PixelType::U16,
        Window::whole(64, 48, input.size),
        input.reduce,
    )];
    let options = Options {
        limit_ns: u64::MAX,
        proof_ns: u64::MAX,
        maps: true,
    };
    Cuda::new(context, &model, &preparations, options).map(|_| ())
}

#[test]
fn a_gpu_proves_itself_or_what_is_missing_is_said() {
    match Context::open(0) {
        Ok(context) => {
            prove(&context).unwrap();
            println!("proved on {}", context.name());
        }
        Err(OpenError::Failed(failed)) => panic!("{failed}"),
        Err(lack) => println!("NOT TESTED HERE: the model on a GPU ({lack})"),
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let error = Context::open(u32::MAX).unwrap_err();
    assert!(!matches!(error, OpenError::Failed(_)), "{error}");
}

#[test]
fn each_lack_says_what_to_do() {
    let name = "Tesla T4".to_owned();
    for (lack, said) in [
        (OpenError::NoDriver, "libcuda.so.1 is not found"),
        (OpenError::Static, "is linked statically"),
        (OpenError::Stub, "is the CUDA toolkit's stub"),
        (
            OpenError::OldDriver(12_080),
            "it knows CUDA 12.8, and 13.0 is needed",
        ),
        (
            OpenError::NoDevice {
                number: 1,
                found: 1,
            },
            "finds no GPU 1 (there are 1)",
        ),
        (
            OpenError::OldDevice {
                name,
                major: 7,
                minor: 5,
            },
            "Tesla T4 has compute capability 7.5",
        ),
    ] {
        let text = lack.to_string();
        assert!(
            text.contains(said) && text.contains("run on the CPU"),
            "{text}"
        );
    }
}
