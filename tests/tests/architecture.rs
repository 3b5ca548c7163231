//! The byte layouts in `ARCHITECTURE.md` and `docs/adapters.md` are those of the code.

use hitgate_adapters::{aes, sls, xdma};
use hitgate_core::frame::FrameHeader;
use hitgate_core::link::Record;

const PAGE: &str = include_str!("../../ARCHITECTURE.md");
const ADAPTERS: &str = include_str!("../../docs/adapters.md");

/// The section of the page under a heading.
fn section(heading: &str) -> &'static str {
    section_of(PAGE, heading)
}

fn section_of(page: &'static str, heading: &str) -> &'static str {
    let start = page.find(heading).expect("the heading is there") + heading.len();
    let rest = &page[start..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

fn size_of(kind: &str) -> usize {
    let bits: usize = kind[1..].parse().expect("a type such as u16");
    bits / 8
}

/// The fields of a table: offset, type, name. A row may hold several, one after another; `u16 ×3`
/// stands for three.
fn fields(section: &str) -> Vec<(usize, String, String)> {
    let mut fields = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let Ok(mut offset) = cells[0].parse::<usize>() else {
            continue;
        };
        let names: Vec<_> = cells[2].split(", ").collect();
        let kinds: Vec<_> = match cells[1].split_once(" ×") {
            Some((kind, times)) => vec![kind; times.parse().expect("how many")],
            None => cells[1].split(", ").collect(),
        };
        assert_eq!(kinds.len(), names.len(), "{row}");
        for (kind, name) in kinds.into_iter().zip(names) {
            fields.push((offset, kind.to_string(), name.to_string()));
            offset += size_of(kind);
        }
    }
    fields
}

fn of(code: &[(usize, &str, &str)]) -> Vec<(usize, String, String)> {
    let field = |&(offset, kind, name): &(usize, &str, &str)| (offset, kind.into(), name.into());
    code.iter().map(field).collect()
}

#[test]
fn the_frame_header_is_as_written() {
    let written = fields(section("## Frame header, 128 bytes"));
    assert_eq!(written, of(FrameHeader::FIELDS));
}

#[test]
fn the_record_is_as_written() {
    let written = fields(section("## Record, 64 bytes"));
    assert_eq!(written, of(Record::FIELDS));
}

#[test]
fn the_vendors_headers_are_as_written() {
    let written = |heading| fields(section_of(ADAPTERS, heading));
    assert_eq!(written("## SLS UDP"), of(sls::PacketHeader::FIELDS));
    let aes = [aes::TimingHeader::FIELDS, aes::DmaReadData::FIELDS].concat();
    assert_eq!(written("## aes-stream-drivers"), of(&aes));
    let xdma = written("## XDMA, and metadata behind the pixels");
    let (result, trailer) = xdma.split_at(xdma::C2hResult::FIELDS.len());
    assert_eq!(result, of(xdma::C2hResult::FIELDS));
    // The trailer has one reader, `fields.rs` of the adapters has its offsets a second time.
    let mut end = 0;
    for (offset, kind, name) in trailer {
        assert_eq!(*offset, end, "{name}");
        end = offset + size_of(kind);
    }
    assert_eq!(end, 48);
}

/// Ring and model file are described in the code, and the page says the same, word by word.
#[test]
fn the_page_says_what_the_code_says_of_ring_and_model_file() {
    let sources = [
        ("## Ring", include_str!("../../crates/ring/src/layout.rs")),
        (
            "## Model file",
            include_str!("../../crates/core/src/net/format.rs"),
        ),
    ];
    for (heading, source) in sources {
        let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
        // The first line is a title; a link of the documentation is plain code on the page.
        let lines = lines.skip(2).map(|line| {
            let line = line.strip_prefix(' ').unwrap_or(line);
            line.replace("[`", "`").replace("`]", "`")
        });
        let lines: Vec<_> = lines.collect();
        assert!(lines.len() > 40, "{heading}: {} lines", lines.len());
        let written: Vec<_> = section(heading).trim().lines().take(lines.len()).collect();
        assert_eq!(written, lines, "{heading}");
    }
}
