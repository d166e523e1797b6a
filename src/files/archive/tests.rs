//! Good archives unpack; every hostile or damaged kind is refused.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::files::path::PathError;
use build::*;

mod build;

fn limits() -> Limits {
    Limits {
        total_bytes_max: 40 << 20,
        entry_bytes_max: 30 << 20,
        entries_max: 50,
        ..Limits::default()
    }
}

type Files = Vec<(String, Vec<u8>)>;

fn unpack_with(bytes: Vec<u8>, limits: &Limits) -> Result<(Summary, Files), ArchiveError> {
    let mut files = Vec::new();
    let outcome = walk(&mut Cursor::new(bytes), limits, &mut |member, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        files.push((member.path.as_str().to_owned(), bytes));
        Ok(())
    });
    match outcome {
        Ok(summary) => Ok((summary, files)),
        Err(crate::files::Error::Archive(error)) => Err(error),
        Err(other) => panic!("not an archive error: {other}"),
    }
}

fn unpack(bytes: Vec<u8>) -> Result<(Summary, Files), ArchiveError> {
    unpack_with(bytes, &limits())
}

fn refusal(bytes: Vec<u8>) -> ArchiveError {
    unpack(bytes).unwrap_err()
}

fn kinds(tar: &[u8]) -> [Vec<u8>; 3] {
    [tar.to_vec(), gz(tar), bz2(tar)]
}

#[test]
fn unpacks_every_format_by_content() {
    let tar = tar_of(&[
        header("./", b'5', 0),
        header("./bp/", b'5', 0),
        member("./bp/blueprint.yaml", b"a: 1\n"),
        member("./bp/scripts/run.sh", &[7; 700]),
    ]);
    let zip = zip_of(&[
        ("bp/", b""),
        ("bp/blueprint.yaml", b"a: 1\n"),
        ("bp/scripts/run.sh", &[7; 700]),
    ]);
    let [plain, gz, bz2] = kinds(&tar);
    let table = [
        (plain, Format::Tar),
        (gz, Format::TarGz),
        (bz2, Format::TarBz2),
        (zip, Format::Zip),
    ];
    for (bytes, format) in table {
        let (summary, files) = unpack(bytes).unwrap();
        assert_eq!(summary.format, format);
        assert_eq!(summary.single_directory(), Ok("bp"));
        let expected: Files = vec![
            ("bp/blueprint.yaml".into(), b"a: 1\n".to_vec()),
            ("bp/scripts/run.sh".into(), vec![7; 700]),
        ];
        assert_eq!(files, expected, "{format:?}");
    }
}

#[test]
fn refuses_paths_that_leave_the_root() {
    let table = [
        ("../evil", PathError::Relative),
        ("bp/../../evil", PathError::Relative),
        ("./../evil", PathError::Relative),
        ("/etc/passwd", PathError::Absolute),
        (".//etc/passwd", PathError::Absolute),
        ("bp\\..\\evil", PathError::Character),
        ("bp/a\nb", PathError::Character),
        ("bp//a", PathError::EmptySegment),
    ];
    for (name, source) in table {
        let expected = ArchiveError::Path {
            name: name.into(),
            source,
        };
        for bytes in kinds(&tar_of(&[member(name, b"x")])) {
            assert_eq!(refusal(bytes), expected);
        }
        let zip = patch(
            zip_of(&[(&"z".repeat(name.len()), b"x")]),
            "z".repeat(name.len()).as_bytes(),
            name.as_bytes(),
        );
        assert_eq!(refusal(zip), expected);
    }
    assert!(matches!(
        refusal(tar_of(&[header("../dir/", b'5', 0)])),
        ArchiveError::Path {
            source: PathError::Relative,
            ..
        }
    ));
}

#[test]
fn refuses_links_devices_and_the_like() {
    // Hard link, symbolic link, character and block device, directory-like types, pipe, sparse,
    // multi-volume, long link name.
    for kind in [b'1', b'2', b'3', b'4', b'6', b'S', b'M', b'K', b'V'] {
        let tar = tar_of(&[member("bp/ok", b"x"), header("bp/evil", kind, 0)]);
        for bytes in kinds(&tar) {
            let refused = refusal(bytes);
            assert!(
                matches!(refused, ArchiveError::Special { .. }),
                "{} {refused}",
                kind as char
            );
        }
    }
    let pax = b"28 GNU.sparse.major=1\n";
    let pax = format!("{} GNU.sparse.major=1\n", pax.len());
    let mut sparse = header("PaxHeaders/x", b'x', pax.len() as u64);
    sparse.extend(pax.as_bytes());
    sparse.resize(1024, 0);
    assert!(matches!(
        refusal(tar_of(&[sparse, member("bp/x", b"x")])),
        ArchiveError::Special { .. }
    ));
}

#[test]
fn refuses_special_zip_members() {
    for mode in [0o120_777, 0o020_644, 0o060_644, 0o010_644, 0o140_755] {
        let zip = zip_with(&[("bp/evil", 0o100_644, b"/etc/passwd")]);
        let plain = (0o100_644_u32 << 16).to_le_bytes();
        let zip = patch(zip, &plain[2..], &(mode as u32).to_le_bytes()[..2]);
        assert_eq!(
            refusal(zip),
            ArchiveError::Special {
                name: "bp/evil".into()
            },
            "{mode:o}"
        );
    }
    // The flag of an encrypted member, in both headers.
    let zip = zip_of(&[("bp/secret", b"x")]);
    let zip = patch(
        zip,
        b"PK\x03\x04\x14\x00\x00\x00",
        b"PK\x03\x04\x14\x00\x01\x00",
    );
    let at = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let mut zip = zip;
    zip[at + 8] |= 1;
    assert!(matches!(refusal(zip), ArchiveError::Encrypted { .. }));
}

#[test]
fn refuses_duplicates_and_collisions() {
    let table: [&[&str]; 6] = [
        &["bp/a", "bp/a"],
        &["bp/a", "./bp/a"],
        &["bp/a", "bp/a/b"],
        &["bp/a/b", "bp/a"],
        &["bp/a/", "bp/a"],
        &["bp/a", "bp/a/"],
    ];
    for names in table {
        let members: Vec<_> = names
            .iter()
            .map(|name| match name.ends_with('/') {
                true => header(name, b'5', 0),
                false => member(name, b"x"),
            })
            .collect();
        let refused = refusal(tar_of(&members));
        assert!(
            matches!(refused, ArchiveError::Duplicate { .. }),
            "{names:?} {refused}"
        );
    }
    let zip = patch(zip_of(&[("bp/a", b"x"), ("bp/b", b"y")]), b"bp/b", b"bp/a");
    assert!(matches!(refusal(zip), ArchiveError::Duplicate { .. }));
    let zip = zip_of(&[("bp/a", b"x"), ("bp/a/b", b"y")]);
    assert!(matches!(refusal(zip), ArchiveError::Duplicate { .. }));
    // Directories may be named again.
    let repeated = tar_of(&[
        header("bp/", b'5', 0),
        header("bp/", b'5', 0),
        member("bp/a", b"x"),
    ]);
    assert!(unpack(repeated).is_ok());
}

#[test]
fn refuses_bombs_and_too_much() {
    let zeros = vec![0; 20 << 20];
    let bomb = tar_of(&[member("bp/zeros", &zeros)]);
    for bytes in [gz(&bomb), bz2(&bomb), zip_of(&[("bp/zeros", &zeros)])] {
        assert_eq!(refusal(bytes), ArchiveError::Bomb { ratio_max: 200 });
    }
    // Padding behind the end counts as well.
    let mut padded = tar_of(&[member("bp/a", b"x")]);
    padded.resize(20 << 20, 0);
    assert_eq!(refusal(gz(&padded)), ArchiveError::Bomb { ratio_max: 200 });

    let tight = Limits {
        total_bytes_max: 1000,
        entry_bytes_max: 600,
        ..limits()
    };
    let check = |bytes, what, limit| {
        let refused = unpack_with(bytes, &tight).unwrap_err();
        assert_eq!(refused, ArchiveError::Limit { what, limit });
    };
    let half = &[1; 550][..];
    check(tar_of(&[member("a", &[1; 601])]), "bytes in one file", 600);
    check(zip_of(&[("a", &[1; 601])]), "bytes in one file", 600);
    check(
        tar_of(&[member("a", half), member("b", half)]),
        "bytes unpacked",
        1000,
    );
    check(zip_of(&[("a", half), ("b", half)]), "bytes unpacked", 1000);
}

#[test]
fn refuses_too_many_entries() {
    let names: Vec<String> = (0..51).map(|n| format!("bp/{n}")).collect();
    let expected = ArchiveError::Limit {
        what: "entries",
        limit: 50,
    };
    let files: Vec<_> = names.iter().map(|name| member(name, b"")).collect();
    assert_eq!(refusal(tar_of(&files)), expected);
    let directories: Vec<_> = names.iter().map(|name| header(name, b'5', 0)).collect();
    assert_eq!(refusal(tar_of(&directories)), expected);
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert_eq!(refusal(zip_of(&files)), expected);
    // A declared number alone, before anything is read into memory.
    let mut zip = zip_of(&[("bp/a", b"x")]);
    let end = zip.len() - 22;
    zip[end + 10..end + 12].copy_from_slice(&[0xff, 0x7f]);
    assert_eq!(refusal(zip), expected);
}

#[test]
fn refuses_huge_declared_sizes() {
    let huge = 0o77_777_777_777;
    let tar = tar_of(&[header("bp/huge", b'0', huge)]);
    for bytes in kinds(&tar) {
        assert_eq!(
            refusal(bytes),
            ArchiveError::Limit {
                what: "bytes in one file",
                limit: 30 << 20
            }
        );
    }
    let zip = zip_of(&[("bp/huge", b"12345")]);
    let at = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let mut lying = zip.clone();
    lying[at + 24..at + 28].copy_from_slice(&0xf000_0000_u32.to_le_bytes());
    assert!(matches!(
        refusal(lying),
        ArchiveError::Limit {
            what: "bytes in one file",
            ..
        }
    ));
    // Declares less, and more, than there is.
    for size in [2_u32, 9] {
        let mut lying = zip.clone();
        lying[at + 24..at + 28].copy_from_slice(&size.to_le_bytes());
        assert!(matches!(
            refusal(lying),
            ArchiveError::Damaged(_) | ArchiveError::Truncated
        ));
    }
    let long_name = tar_of(&[header("././@LongLink", b'L', 1 << 20)]);
    assert!(matches!(
        refusal(long_name),
        ArchiveError::Path {
            source: PathError::TooLong,
            ..
        }
    ));
}

#[test]
fn refuses_what_is_cut_or_damaged() {
    let content: Vec<u8> = (0..5000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let tar = tar_of(&[member("bp/a", &content), member("bp/b", b"x")]);
    let [plain, gz, bz2] = kinds(&tar);
    let zip = zip_of(&[("bp/a", &content), ("bp/b", b"x")]);
    for (name, bytes) in [("tar", plain), ("gz", gz), ("bz2", bz2), ("zip", zip)] {
        for keep in [
            600,
            bytes.len() / 2,
            bytes.len() - 1024 - 512,
            bytes.len() - 1024,
        ] {
            let refused = unpack(bytes[..keep].to_vec()).unwrap_err();
            assert_eq!(
                refused,
                ArchiveError::Truncated,
                "{name} {keep} of {}",
                bytes.len()
            );
        }
        if name != "tar" {
            let mut damaged = bytes.clone();
            damaged[bytes.len() / 2] ^= 0x55;
            assert!(unpack(damaged).is_err(), "{name}");
        }
    }
}

#[test]
fn refuses_what_is_no_archive() {
    let garbage = "#!/bin/sh\nexit 1\n".repeat(100).into_bytes();
    for bytes in [
        vec![],
        b"PK".to_vec(),
        garbage.clone(),
        gz(&garbage),
        bz2(&garbage),
        gz(b""),
    ] {
        assert_eq!(refusal(bytes), ArchiveError::UnknownFormat);
    }
    assert!(matches!(
        refusal(b"\x1f\x8bnonsense".to_vec()),
        ArchiveError::UnknownFormat
    ));
}

#[test]
fn a_blueprint_has_one_directory_at_its_top() {
    let roots = |names: &[&str]| {
        let members: Vec<_> = names.iter().map(|name| member(name, b"x")).collect();
        let (summary, _) = unpack(tar_of(&members)).unwrap();
        summary.single_directory().map(str::to_owned)
    };
    assert_eq!(roots(&["bp/a", "bp/b/c"]), Ok("bp".to_owned()));
    for names in [
        &["bp/a", "other/b"][..],
        &["bp/a", "readme"],
        &["blueprint.yaml"],
        &[],
    ] {
        assert_eq!(
            roots(names),
            Err(ArchiveError::NoSingleDirectory),
            "{names:?}"
        );
    }
}

#[test]
fn long_names_and_exact_times() {
    let long = format!("bp/{}", "d/".repeat(50) + &"n".repeat(150));
    let mut out = ::tar::Builder::new(Vec::new());
    let mut head = ::tar::Header::new_gnu();
    head.set_size(1);
    head.set_mode(0o4755);
    head.set_mtime(1_700_000_000);
    out.append_pax_extensions([("mtime", &b"1700000000.25"[..])])
        .unwrap();
    out.append_data(&mut head, &long, &b"x"[..]).unwrap();
    let mut members = Vec::new();
    let bytes = out.into_inner().unwrap();
    walk(&mut Cursor::new(bytes), &limits(), &mut |member, _| {
        members.push(member.clone());
        Ok(())
    })
    .unwrap();
    assert_eq!(members[0].path.as_str(), long);
    assert_eq!(members[0].mode, 0o755);
    assert_eq!(members[0].mtime_us, Some(1_700_000_000_250_000));
}

#[tokio::test]
async fn unpacks_to_a_directory_and_to_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let packed = dir.path().join("a.tar");
    fs::write(
        &packed,
        tar_of(&[member("bp/a", b"one"), member("bp/b/c", b"two")]),
    )
    .unwrap();
    let target = dir.path().join("out");
    let archive = || File::open(&packed).unwrap();
    unpack_to_directory(archive(), limits(), &target)
        .await
        .unwrap();
    assert_eq!(fs::read(target.join("bp/b/c")).unwrap(), b"two");
    let mode = fs::metadata(target.join("bp/a"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(
        unpack_to_directory(archive(), limits(), &target)
            .await
            .is_err()
    );

    let blobs = BlobStore::local(&dir.path().join("store")).unwrap();
    let unpacked = unpack_to_blobs(archive(), limits(), &blobs).await.unwrap();
    let paths: Vec<_> = unpacked
        .files
        .iter()
        .map(|file| file.member.path.as_str())
        .collect();
    assert_eq!(paths, ["bp/a", "bp/b/c"]);
    assert_eq!(
        blobs.bytes(&unpacked.files[1].stored.digest).await.unwrap(),
        "two"
    );
    // A late failure commits nothing.
    let bad = tar_of(&[member("bp/new", b"three"), member("../x", b"")]);
    fs::write(&packed, bad).unwrap();
    assert!(unpack_to_blobs(archive(), limits(), &blobs).await.is_err());
    let digest = crate::files::Digest::of(b"three");
    assert_eq!(blobs.size_bytes(&digest).await.unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the names, nothing is written outside the target.
    #[test]
    fn never_leaves_its_root(names in proptest::collection::vec("[./ab\\\\]{1,12}", 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let members: Vec<_> = names.iter().map(|name| member(name, b"x")).collect();
        let packed = dir.path().join("a.tar");
        fs::write(&packed, tar_of(&members)).unwrap();
        let target = dir.path().join("deep/er/out");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let archive = File::open(&packed).unwrap();
        let _ = runtime.block_on(unpack_to_directory(archive, limits(), &target));
        for found in walkdir::WalkDir::new(dir.path()) {
            let found = found.unwrap();
            if found.file_type().is_file() && found.path() != packed {
                prop_assert!(found.path().starts_with(&target), "{:?}", found.path());
            }
        }
    }

    /// Random damage is an error or harmless, never a panic.
    #[test]
    fn survives_damage(at in 0_usize..2000, byte: u8, cut in 0_usize..3000, kind in 0_usize..4) {
        let content: Vec<u8> = (0..300_u32).flat_map(u32::to_le_bytes).collect();
        let tar = tar_of(&[member("bp/a", &content), member("bp/b", b"x")]);
        let [plain, gz, bz2] = kinds(&tar);
        let mut bytes = [plain, gz, bz2, zip_of(&[("bp/a", &content)])][kind].clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut.max(1));
        let _ = unpack(bytes);
    }
}
