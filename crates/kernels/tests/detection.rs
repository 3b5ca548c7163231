//! Which levels there are, and how they are had by name.

use hitgate_kernels::Level;

#[test]
fn detection_agrees_with_the_standard_library() {
    let names: Vec<_> = Level::all_available().map(Level::name).collect();
    let mut expected = vec!["scalar"];
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        if is_x86_feature_detected!("avx2") {
            expected.push("avx2");
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni") {
            expected.push("avxvnni");
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
        {
            expected.push("avx512vnni");
        }
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        use std::arch::is_aarch64_feature_detected as detected;
        if detected!("neon") {
            expected.push("neon");
        }
        if detected!("dotprod") {
            expected.push("neon-dotprod");
        }
        if detected!("dotprod") && detected!("i8mm") {
            expected.push("neon-i8mm");
        }
    }
    assert_eq!(names, expected);
    assert_eq!(Some(Level::detect().name()), expected.last().copied());
}

#[test]
fn an_unknown_level_is_named_with_what_there_is() {
    let error = Level::by_name("sse9")
        .expect_err("no such level")
        .to_string();
    assert!(
        error.starts_with(
            "no such CPU level; there are scalar, avx2, avxvnni, avx512vnni, neon, neon-dotprod, \
             neon-i8mm; this machine has scalar"
        ),
        "{error}"
    );
    for name in Level::NAMES {
        match Level::by_name(name) {
            Ok(level) => assert_eq!(level.name(), name),
            Err(error) => assert!(error.to_string().starts_with(&format!(
                "this machine lacks {name}; this machine has scalar"
            ))),
        }
    }
}
