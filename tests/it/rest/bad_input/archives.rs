//! Archives made to do harm.
use std::io::Write;

use super::{
    archive,
    row::{Row, row},
};
use crate::support::wagon::zip;

const BLOCK_BYTES: usize = 512;

/// A member as no tool would write it: any name, any type; links point to `/etc/passwd`.
fn member(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut block = vec![0_u8; BLOCK_BYTES];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000640");
    block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    block[136..147].copy_from_slice(b"15276444345");
    block[156] = kind;
    if matches!(kind, b'1' | b'2') {
        block[157..168].copy_from_slice(b"/etc/passwd");
    }
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend(content);
    block.resize(block.len().next_multiple_of(BLOCK_BYTES), 0);
    block
}

fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 2 * BLOCK_BYTES, 0);
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Names and contents; each is recognised as an archive and must not be unpacked.
pub(super) fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let file = |name: &str| member(name, b'0', b"a: b\n");
    let good = || file("app/blueprint.yaml");
    let zeros = vec![0_u8; 32 * 1024 * 1024];
    let whole = gzipped(&tar(&[good()]));
    vec![
        (
            "a symbolic link",
            tar(&[good(), member("app/link", b'2', b"")]),
        ),
        ("a hard link", tar(&[good(), member("app/link", b'1', b"")])),
        ("a device", tar(&[good(), member("app/null", b'3', b"")])),
        ("a pipe", tar(&[good(), member("app/pipe", b'6', b"")])),
        (
            "a member above the root",
            tar(&[good(), file("app/../../evil")]),
        ),
        ("an absolute member", tar(&[good(), file("/etc/evil")])),
        ("a member twice", tar(&[good(), good()])),
        (
            "a file as directory",
            tar(&[file("app/x"), file("app/x/y")]),
        ),
        (
            "a bomb",
            gzipped(&tar(&[good(), member("app/zeros", b'0', &zeros)])),
        ),
        ("half an archive", whole[..whole.len() / 2].to_vec()),
        ("damage", damaged(whole)),
    ]
}

fn damaged(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bytes[middle + 1] ^= 0xff;
    bytes
}

/// Unpacked on the spot into a working directory, and uploads that are no archives.
pub(super) fn rows() -> Vec<Row> {
    let workdir = "/resources/deployments/default_tenant/dep/";
    let mut rows: Vec<Row> = hostile()
        .into_iter()
        .map(|(_, bytes)| {
            row("PUT", format!("{workdir}?extract=yes"))
                .bytes(bytes)
                .bad()
        })
        .collect();
    for (_, bytes) in hostile() {
        let wrapped = zip(&[("p.wgn", &bytes), ("plugin.yaml", b"")]);
        for upload in [bytes, wrapped] {
            let row = row("POST", "plugins").bytes(upload);
            rows.push(row.is(400, "invalid_plugin_error"));
        }
    }
    let form = "multipart/form-data; boundary=b";
    let part = "--b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"../x\"\r\n\r\nx\r\n";
    rows.extend([
        row("PUT", format!("{workdir}?extract=yes"))
            .bytes("junk")
            .bad(),
        row("PUT", workdir).bytes("x").bad(),
        row("DELETE", workdir).bad(),
        row("POST", workdir)
            .bytes("x")
            .is(400, "upload_missing_file"),
        row("POST", workdir)
            .header("Content-Type", form)
            .bytes("--b--\r\n")
            .is(400, "upload_missing_file"),
        row("POST", workdir)
            .header("Content-Type", form)
            .bytes(format!("{part}--b--\r\n"))
            .bad(),
        row("PUT", format!("{workdir}x"))
            .header("Content-Type", form)
            .bytes(format!("{part}{part}--b--\r\n"))
            .bad(),
        row("PUT", "blueprints/new?async_upload=true")
            .bytes("junk")
            .bad(),
        row("PUT", "blueprints/bp/archive").bytes("junk").bad(),
        row("PUT", "blueprints/no/archive")
            .bytes(archive("b.yaml", "a: b"))
            .missing(),
    ]);
    rows
}
