//! Archives for the tests, hostile ones included: made by hand where no tool would write them.
use std::io::{Cursor, Write};

use ::zip::write::SimpleFileOptions;

/// A tar header with any name and type; the tar crate refuses to write hostile ones.
pub(super) fn header(name: &str, kind: u8, size_bytes: u64) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000640");
    block[124..135].copy_from_slice(format!("{size_bytes:011o}").as_bytes());
    block[136..147].copy_from_slice(b"15276444345");
    block[156] = kind;
    if matches!(kind, b'1' | b'2') {
        block[157..168].copy_from_slice(b"/etc/passwd");
    }
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

pub(super) fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, b'0', content.len() as u64);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(super) fn tar_of(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(super) fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(super) fn zip_with(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut out = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in files {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        if name.ends_with('/') {
            out.add_directory(*name, options).unwrap();
        } else {
            out.start_file(*name, options).unwrap();
            out.write_all(content).unwrap();
        }
    }
    out.finish().unwrap().into_inner()
}

pub(super) fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(
        &files
            .iter()
            .map(|(name, content)| (*name, 0o644, *content))
            .collect::<Vec<_>>(),
    )
}

/// Overwrites every occurrence of a byte string by one of the same length.
pub(super) fn patch(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> = (0..=bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
