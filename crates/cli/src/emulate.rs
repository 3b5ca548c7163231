//! Emulated devices: each writes a vendor's layout, byte for byte, and the vendor's adapter makes our
//! slots of it.

pub mod aes;
pub mod sls;
pub mod xdma;

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use hitgate_adapters::Shape;
use hitgate_core::frame::{FrameHeader, PixelType};

use crate::slot::SlotFrame;

/// The interface by way of which frames are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// UDP packets of an SLS detector: to a receiver elsewhere, or over the loopback into our own.
    SlsUdp(Option<SocketAddr>),
    /// DMA buffers of aes-stream-drivers.
    Aes,
    /// The C2H stream of an XDMA.
    Xdma,
}

impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None => match text {
                "sls-udp" => Ok(Interface::SlsUdp(None)),
                "aes" => Ok(Interface::Aes),
                "xdma" => Ok(Interface::Xdma),
                _ => Err("there are sls-udp, sls-udp=HOST:PORT, aes and xdma".into()),
            },
            Some(("sls-udp", to)) => {
                let found = to.to_socket_addrs().map_err(|error| error.to_string());
                match found?.next() {
                    Some(address) => Ok(Interface::SlsUdp(Some(address))),
                    None => Err(format!("{to} has no address")),
                }
            }
            Some((name, _)) => Err(format!("{name} takes no address")),
        }
    }
}

/// The header and the pixels of a frame that a vendor's device is to send.
fn parts(frame: &SlotFrame) -> Result<(FrameHeader, Shape, &[u8])> {
    let header = frame.header();
    if header.is_some_and(|header| header.compression() != Ok(None)) {
        bail!("a kept frame is compressed: only `feed` without --emulate plays it as it is");
    }
    let parts = header.and_then(|header| {
        let shape = Shape {
            rows: header.rows,
            columns: header.columns,
            pixel_type: PixelType::from_code(header.pixel_type)?,
            modules: header.modules,
        };
        Some((header, shape, frame.pixels(&header)?))
    });
    parts.context("a kept frame is damaged: only `feed` without --emulate plays it as it is")
}
